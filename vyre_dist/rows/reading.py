"""RowReading: in which documents to search for which rules, and where, as a device's rows say."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler import PackTables
from vyre_dist.compiler.routed_rule import Route
from vyre_dist.compiler.tables import NOT_STORED
from vyre_dist.extract import RuleMatcher, Window
from vyre_dist.extract.pivots import matches_at_pivots, matches_at_starts
from vyre_dist.rows.layout import HOST
from vyre_dist.rows.settling import UNKNOWN_BACK
from vyre_dist.rules.finder import Offsets

_ANYWHERE = -1


class RuleSearch(NamedTuple):
    """Where in a document a rule may match. `rule`: the tables' number. `offsets`: ascending, every
    match holds one of them; None: anywhere. See Starts and RunStarts for offsets that say more.
    """

    document: int
    rule: int
    offsets: Sequence[int] | None


class Starts(list[int]):
    """Offsets at which all matches of a rule of one width start: nothing is left to search for."""


class RunStarts(list[int]):
    """Offsets at which runs begin, of which every match of the rule has a part; the offsets
    themselves need not be in any match.
    """


# Where runs' offsets lie closer than this the window is searched as a whole: each takes a search of
# its own.
_BYTES_PER_OFFSET = 256


@dataclass(frozen=True, slots=True)
class RunRule:
    """Every match has `length` bytes in a row that are in the class `members`."""

    length: int
    members: bytes

    def offsets(self, window: Window, starts: Sequence[int]) -> list[int] | None:
        """Offsets of which every match in `window` holds one; None: anywhere. `starts`: the runs'.

        Of `length` bytes in a row in a run, one is a multiple of `length`, less one, from its
        start.
        """
        run = re.compile(b"[%b]*" % b"".join(b"\\x%02x" % byte for byte in self.members))
        most = len(window.data) // _BYTES_PER_OFFSET + 1
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


@dataclass(frozen=True)
class RowReading:
    """How to read rows. `everywhere`: rules that no program looks for; the host searches for them
    in every document.

    `by_run`: those that were found by a run of bytes, by rule. `backs`: by rule, the most bytes of
    a match before its row's position, None where that is not known. `widths`: by rule, that of its
    every match; 0 if they differ. `always_on`: the rules whose rows are at the starts of matches,
    which may follow each other closely.
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

    def searches(
        self, rows: npt.NDArray[np.void], starts: npt.NDArray[np.int64]
    ) -> Iterator[RuleSearch]:
        """What to search for where, in order of document and rule.

        The offsets are RunStarts where the rule was found by runs, Starts where its matches have
        one width and none of the rows is left to the host.

        `rows`: ROW_DTYPE. `starts`: by document, its position in the arena.
        """
        open_rows = rows["rule"] >= HOST
        rules = (rows["rule"] & np.uint32(~HOST & 0xFFFF_FFFF)).astype(np.int64)
        offsets = rows["position"].astype(np.int64) - starts[rows["document"]]
        documents = rows["document"].astype(np.int64)
        if self.everywhere:
            count, each = starts.size, len(self.everywhere)
            documents = np.append(documents, np.repeat(np.arange(count), each))
            rules = np.append(rules, np.tile(np.array(self.everywhere, np.int64), count))
            offsets = np.append(offsets, np.full(count * each, _ANYWHERE))
            open_rows = np.append(open_rows, np.ones(count * each, bool))
        order = np.lexsort((offsets, rules, documents))
        documents, rules, offsets = documents[order], rules[order], offsets[order]
        cuts = np.flatnonzero((np.diff(documents) != 0) | (np.diff(rules) != 0)) + 1
        bounds = [0, *cuts.tolist(), documents.size]
        if not documents.size:
            return
        # sums up to each row: how many of a pair's rows are open is a difference
        opened = np.append(0, np.cumsum(open_rows[order])).tolist()
        plain = offsets.tolist()
        for low, high in itertools.pairwise(bounds):
            own, rule = plain[low:high], int(rules[low])
            is_open = opened[low] != opened[high]
            if own[0] == _ANYWHERE or (is_open and rule in self.always_on):
                # a search from each of many open rows could read the rest of the document each
                # time
                yield RuleSearch(int(documents[low]), rule, None)
            elif rule in self.by_run:
                yield RuleSearch(int(documents[low]), rule, RunStarts(own))
            elif self.widths[rule] and not is_open:
                yield RuleSearch(int(documents[low]), rule, Starts(own))
            else:
                yield RuleSearch(int(documents[low]), rule, own)

    @cached_property
    def stretch_backs(self) -> npt.NDArray[np.int64]:
        """HostSearch.backs: of rules whose rows are positions that matches hold."""
        backs = np.array([UNKNOWN_BACK if back is None else back for back in self.backs], np.int64)
        for rule in (*self.always_on, *self.by_run, *np.flatnonzero(self.widths).tolist()):
            backs[rule] = UNKNOWN_BACK
        return backs

    def matches(
        self,
        matcher: RuleMatcher,
        window: Window,
        rule: int,
        offsets: Sequence[int] | None,
        wanted: Callable[[Offsets], bool] | None = None,
    ) -> list[tuple[int, int, int]]:
        """The matches of a rule in a window, from where `searches` says it may match.

        `wanted`: see matches_at_pivots; it is not asked for matches that need no search.
        """
        if isinstance(offsets, RunStarts):
            offsets = self.by_run[rule].offsets(window, offsets)
        if offsets is None:
            return list(matcher.iter_matches(window))
        if isinstance(offsets, Starts):
            return matches_at_starts(window, offsets, self.widths[rule])
        return matches_at_pivots(matcher, window, offsets, self.backs[rule], wanted)


def _members(bits: npt.NDArray[np.uint8]) -> bytes:
    """The bytes of a class of which each is a bit."""
    return bytes(np.flatnonzero(np.unpackbits(bits, bitorder="little")).tolist())
