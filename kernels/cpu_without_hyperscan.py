"""Re2CpuBackend: the cpu backend where Hyperscan is not installed. google-re2 does its part, too.

The result is the same. It is slower: Hyperscan tells where matches end, a literal only that its
rule is to be searched for in all of the window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vyre_dist.extract import Window
from vyre_dist.extract.row_arena import RowArena
from vyre_dist.kernels.host_backend import HostBackend
from vyre_dist.kernels.re2_candidates import Re2Candidates
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.rules.finder import Finder
from vyre_dist.rules.search import compile_pattern

if TYPE_CHECKING:
    from vyre_dist.kernels.backends import BackendOptions

# An arena of rows in which a literal was seen is cut into so many parts. Few rows are looked at one
# by one.
_PARTS = 16


class Re2CpuBackend(HostBackend):
    """One pack on one core. Not thread-safe."""

    engine = "google-re2"

    def __init__(
        self,
        compiled: CompiledPack,
        cache: ArtifactCache,
        options: BackendOptions | None = None,
    ) -> None:
        """`options`: which matches need not be found."""
        del cache  # literals are worked out in less time than they are read
        super().__init__(compiled, options)
        self._candidates = Re2Candidates(compiled.rules)
        self._rules = {rule.index: rule for rule in compiled.rules}
        self._keyword_finders = {
            rule.index: Finder(compile_pattern(rule.keyword_pattern).regexp)
            for rule in compiled.rules
            if rule.keyword_pattern is not None
        }

    def _candidate_windows(
        self, windows: Sequence[Window]
    ) -> Iterator[tuple[int, dict[int, list[int] | None]]]:
        for w, window in enumerate(windows):
            found = self._candidates.rules_for(window.data)
            rules = [rule for rule in found if self._may_match(rule, window)]
            if self._keyword_finders and not window.is_whole:
                passed = [r for r in found if r not in rules and r in self._keyword_finders]
                if passed:
                    self._unsearched[w] = frozenset(passed)
            if rules:
                yield w, dict.fromkeys(rules)

    def _candidate_rows(self, rows: RowArena) -> Iterator[tuple[int, dict[int, list[int] | None]]]:
        """A row's literals are literals of its arena."""
        step = len(rows) // _PARTS
        if step < 2 or self._candidates.always:
            yield from self._candidate_windows(rows)
            return
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            if self._candidates.rules_for(part.data):
                for row, rules in self._candidate_rows(part):
                    yield first + row, rules

    def _may_match(self, rule: int, window: Window) -> bool:
        """Whether it matches somewhere in the window; of a rule that is looked for by keywords,
        whether one is in the window, as in CpuBackend.
        """
        if self._rules[rule].min_width == 0:
            return True
        finder = self._keyword_finders.get(rule)
        if finder is not None:
            return finder.search(window.data, 0, len(window.data)) is not None
        return self.matchers[rule].occurs(window.data)
