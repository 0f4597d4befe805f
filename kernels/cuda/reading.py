"""RowReading: what the GPU's rows mean for the host: in which documents to look for which rules, and where.

No cupy in here: extraction workers, which have no GPU, read rows too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler import PackTables
from vyre_dist.compiler.rule_program import Route
from vyre_dist.compiler.tables import NOT_STORED
from vyre_dist.extract import RuleMatcher, Window
from vyre_dist.extract.places import matches_at_places
from vyre_dist.kernels.cuda.structs import HOST
from vyre_dist.rules.finder import Offsets

DocumentRule: TypeAlias = tuple[int, int, Sequence[int] | None]
"""(document, rule, places in the document, ascending, or None for anywhere)"""

_ANYWHERE = -1


@dataclass(frozen=True, slots=True)
class RowReading:
    """`everywhere`: the rules of which the programs say nothing: the host looks for them in every document.

    `by_run`: those that were found by a run of bytes, whose place is not in every match. `backs`: by rule, the most
    bytes of a match before its place, None where that is not known.
    """

    everywhere: tuple[int, ...]
    by_run: tuple[int, ...]
    backs: tuple[int | None, ...]

    @classmethod
    def of(cls, tables: PackTables) -> RowReading:
        """How to read the rows of these tables' programs."""
        silent = (tables.routes == Route.ALWAYS_ON) | ((tables.routes == Route.HOST) & ~tables.anchored())
        return cls(
            tuple(np.flatnonzero(silent).tolist()),
            tuple(tables.runs["rule"].tolist()),
            tuple(None if back == NOT_STORED else back for back in tables.backs.tolist()),
        )

    def pairs(self, rows: npt.NDArray[np.void], starts: npt.NDArray[np.int64]) -> Iterator[DocumentRule]:
        """Where to look for what, in order of document and rule.

        `rows`: ROW_DTYPE. `starts`: by document, where it lies in the arena.
        """
        rules = (rows["rule"] & np.uint32(~HOST & 0xFFFF_FFFF)).astype(np.int64)
        places = rows["place"].astype(np.int64) - starts[rows["document"]]
        if self.by_run:
            places[np.isin(rules, self.by_run)] = _ANYWHERE
        documents = rows["document"].astype(np.int64)
        if self.everywhere:
            count, each = starts.size, len(self.everywhere)
            documents = np.append(documents, np.repeat(np.arange(count), each))
            rules = np.append(rules, np.tile(np.array(self.everywhere, np.int64), count))
            places = np.append(places, np.full(count * each, _ANYWHERE))
        order = np.lexsort((places, rules, documents))
        documents, rules, places = documents[order], rules[order], places[order]
        cuts = np.flatnonzero((np.diff(documents) != 0) | (np.diff(rules) != 0)) + 1
        bounds = [0, *cuts.tolist(), documents.size]
        plain = places.tolist()
        for low, high in itertools.pairwise(bounds):
            if low < high:
                own = plain[low:high]
                yield int(documents[low]), int(rules[low]), None if own[0] == _ANYWHERE else own

    def matches(
        self,
        matcher: RuleMatcher,
        window: Window,
        rule: int,
        places: Sequence[int] | None,
        wanted: Callable[[Offsets], bool] | None = None,
    ) -> list[tuple[int, int, int]]:
        """The matches of a rule in a window, from where `pairs` says it may match. `wanted`: see matches_at_places."""
        if places is None:
            return list(matcher.iter_matches(window))
        return matches_at_places(matcher, window, places, self.backs[rule], wanted)
