"""RowReading: in which documents to search for which rules, and where, as a device's rows say."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler import PackTables
from vyre_dist.compiler.routed_rule import Route
from vyre_dist.compiler.tables import NOT_STORED
from vyre_dist.extract import RuleMatcher, Window
from vyre_dist.extract.pivots import matches_at_pivots, matches_at_starts
from vyre_dist.rows.layout import HOST
from vyre_dist.rules.finder import Offsets

DocumentRule: TypeAlias = tuple[int, int, Sequence[int] | None]
"""(document, rule, places in the document, ascending, or None for anywhere)"""

_ANYWHERE = -1


class Starts(list[int]):
    """Places that are where the matches of a rule of one width start, all of them: nothing is left
    to be searched for.
    """


class RunStarts(list[int]):
    """Where runs begin, of which every match of the rule has a part; the places themselves need not
    be in any match.
    """


# Of runs' places that lie closer than this the window is searched as a whole: each takes a search
# of its own.
_BYTES_PER_PLACE = 256


@dataclass(frozen=True, slots=True)
class RunRule:
    """Every match has `length` bytes in a row that are in the class `members`."""

    length: int
    members: bytes

    def places(self, window: Window, starts: Sequence[int]) -> list[int] | None:
        """Places of which every match in `window` has one, where runs begin at `starts`; None:
        everywhere.

        Of `length` bytes in a row in a run, one is a multiple of `length`, less one, from its
        start.
        """
        run = re.compile(b"[%b]*" % b"".join(b"\\x%02x" % byte for byte in self.members))
        most = len(window.data) // _BYTES_PER_PLACE + 1
        found: list[int] = []
        for start in starts:
            # what has been read of a run is not read again
            if found and start <= found[-1]:
                continue
            match = run.match(window.data, start)
            found += range(start + self.length - 1, match.end() if match else start, self.length)
            if len(found) > most:
                return None
        return found


@dataclass(frozen=True, slots=True)
class RowReading:
    """`everywhere`: the rules of which the programs say nothing: the host looks for them in every
    document.

    `by_run`: those that were found by a run of bytes, by rule. `backs`: by rule, the most bytes of
    a match before its place, None where that is not known. `widths`: by rule, that of its every
    match; 0 if they differ. `always_on`: the rules whose places are where matches start, of which
    there may be one after the other.
    """

    everywhere: tuple[int, ...]
    by_run: dict[int, RunRule]
    backs: tuple[int | None, ...]
    widths: tuple[int, ...]
    always_on: frozenset[int]

    @classmethod
    def of(cls, tables: PackTables) -> RowReading:
        """How to read the rows of these tables' programs."""
        silent = (tables.routes == Route.HOST) & ~tables.anchored()
        return cls(
            tuple(np.flatnonzero(silent).tolist()),
            {
                rule: RunRule(length, _members(tables.probe_classes[byte_class]))
                for rule, length, byte_class in tables.runs[
                    ["rule", "length", "byte_class"]
                ].tolist()
            },
            tuple(None if back == NOT_STORED else back for back in tables.backs.tolist()),
            tuple(tables.widths.tolist()),
            frozenset(np.flatnonzero(tables.routes == Route.ALWAYS_ON).tolist()),
        )

    def pairs(
        self, rows: npt.NDArray[np.void], starts: npt.NDArray[np.int64]
    ) -> Iterator[DocumentRule]:
        """Where to look for what, in order of document and rule.

        The places are RunStarts where the rule was found by runs, Starts where its matches have one
        width and none of the rows is left to the host.

        `rows`: ROW_DTYPE. `starts`: by document, where it lies in the arena.
        """
        open_rows = rows["rule"] >= HOST
        rules = (rows["rule"] & np.uint32(~HOST & 0xFFFF_FFFF)).astype(np.int64)
        places = rows["place"].astype(np.int64) - starts[rows["document"]]
        documents = rows["document"].astype(np.int64)
        if self.everywhere:
            count, each = starts.size, len(self.everywhere)
            documents = np.append(documents, np.repeat(np.arange(count), each))
            rules = np.append(rules, np.tile(np.array(self.everywhere, np.int64), count))
            places = np.append(places, np.full(count * each, _ANYWHERE))
            open_rows = np.append(open_rows, np.ones(count * each, bool))
        order = np.lexsort((places, rules, documents))
        documents, rules, places = documents[order], rules[order], places[order]
        cuts = np.flatnonzero((np.diff(documents) != 0) | (np.diff(rules) != 0)) + 1
        bounds = [0, *cuts.tolist(), documents.size]
        if not documents.size:
            return
        # sums up to each place: how many of a pair's rows are open is a difference
        opened = np.append(0, np.cumsum(open_rows[order])).tolist()
        plain = places.tolist()
        for low, high in itertools.pairwise(bounds):
            own, rule = plain[low:high], int(rules[low])
            is_open = opened[low] != opened[high]
            if own[0] == _ANYWHERE or (is_open and rule in self.always_on):
                # a search from each of many open places could read the rest of the document each
                # time
                yield int(documents[low]), rule, None
            elif rule in self.by_run:
                yield int(documents[low]), rule, RunStarts(own)
            elif self.widths[rule] and not is_open:
                yield int(documents[low]), rule, Starts(own)
            else:
                yield int(documents[low]), rule, own

    def matches(
        self,
        matcher: RuleMatcher,
        window: Window,
        rule: int,
        places: Sequence[int] | None,
        wanted: Callable[[Offsets], bool] | None = None,
    ) -> list[tuple[int, int, int]]:
        """The matches of a rule in a window, from where `pairs` says it may match.

        `wanted`: see matches_at_pivots; it is not asked for matches that need no search.
        """
        if isinstance(places, RunStarts):
            places = self.by_run[rule].places(window, places)
        if places is None:
            return list(matcher.iter_matches(window))
        if isinstance(places, Starts):
            return matches_at_starts(window, places, self.widths[rule])
        return matches_at_pivots(matcher, window, places, self.backs[rule], wanted)


def _members(bits: npt.NDArray[np.uint8]) -> bytes:
    """The bytes of a class of which each is a bit."""
    return bytes(np.flatnonzero(np.unpackbits(bits, bitorder="little")).tolist())
