"""HostBackend: what the backends have in common that let google-re2 confirm windows on one core.

How candidates are found is theirs: Hyperscan's (cpu.py) or google-re2's own
(cpu_without_hyperscan.py).
"""

from __future__ import annotations

import itertools
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

from vyre_dist.dispatch.report import SpeculationReport
from vyre_dist.extract import Span, Window
from vyre_dist.extract.row_arena import RowArena
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome
from vyre_dist.kernels.processor import processor_adapter
from vyre_dist.kernels.scan_backend import (
    PrefilterOutput,
    ScanPrograms,
    checked_output,
    rule_matchers,
)
from vyre_dist.kernels.tuned import WithoutTunables
from vyre_dist.program import CompiledPack
from vyre_dist.program.program_facts import ProgramFacts
from vyre_dist.rules.finder import Groups

if TYPE_CHECKING:
    from vyre_dist.extract.dense import DenseMatches
    from vyre_dist.extract.line_shapes import LineShapes, ShapedMatches
    from vyre_dist.extract.secret_screen import SecretScreen
    from vyre_dist.kernels.backends import BackendOptions
    from vyre_dist.rules.byte_filters import ByteFilter


# From so many matches of a rule on, it is worth a look whether a window's lines are alike. For that
# NumPy has to be imported, which takes as long as to find the second number of matches.
MANY = 512
_WORTH_IMPORTING = 8192
# in so many bytes there are as many, if there are so many in few
_LARGE = 4 << 20
# and if there is one for so many bytes: the shapes of lines take some 50 ns a byte, a match 8 µs
_BYTES_TO_MATCH = 256
# from so many on, they are looked for with their groups
_DENSE = 64


@dataclass(frozen=True, slots=True)
class CandidatePairs(PrefilterOutput):
    """`rules`: by the number of a window, the rules that may match in it; both ascending.

    `unsearched`: see DispatchOutcome. `ends`: by window and rule, of the matches, as far as they
    are known.
    """

    rules: dict[int, tuple[int, ...]]
    unsearched: dict[int, frozenset[int]] = field(default_factory=dict)
    ends: dict[int, dict[int, list[int] | None]] = field(default_factory=dict)


class HostBackend(WithoutTunables, ABC):
    """One pack on one core, as the backend `cpu`. Not thread-safe.

    Its tiles are windows: one is attempted where a rule may match, and committed where one does.
    """

    name = "cpu"
    supports_speculation = True
    warm = True
    read_memory = None
    # enough to spread a dispatch's cost over, little enough to stay in a core's second-level cache
    # and to give the speculator a sample often
    dispatch_bytes, most_bytes = 2 << 20, 8 << 20
    dispatch_windows = 256

    def __init__(
        self,
        compiled: CompiledPack,
        options: BackendOptions | None = None,
    ) -> None:
        """`options`: which matches need not be found."""
        self.compiled = compiled
        self.matchers = rule_matchers(compiled)
        self._unsearched: dict[int, frozenset[int]] = {}
        self._options = options
        self._line_shapes: dict[int, LineShapes] = {}
        self._met = 0  # matches in windows that are full of them
        self.dense: dict[int, int] = {}
        """By rule, how many matches the last window had that it may match in."""

    @property
    @abstractmethod
    def engine(self) -> str:
        """What searches, and its version."""

    @cached_property
    def programs(self) -> ScanPrograms:
        """See ScanBackend."""
        return ScanPrograms.of(self.compiled, engine=self.engine, tables=self.compiled.rules_digest)

    @cached_property
    def facts(self) -> ProgramFacts:
        """See ScanBackend."""
        return self.programs.facts(processor_adapter(), {"dispatch_bytes": self.most_bytes})

    def run_fused(self, windows: Sequence[Window]) -> DispatchOutcome:
        """See ScanBackend."""
        self._unsearched = {}
        candidates = self._candidate_windows(windows)
        return self._confirmed(windows, candidates, self._unsearched, counted=True)

    def start_fused(self, windows: Sequence[Window]) -> DispatchOutcome:
        """See ScanBackend. It is over when this returns."""
        return self.run_fused(windows)

    def run_prefilter(self, windows: Sequence[Window]) -> CandidatePairs:
        """See ScanBackend."""
        self._unsearched = {}
        ends = dict(self._candidate_windows(windows))
        return CandidatePairs({w: tuple(own) for w, own in ends.items()}, self._unsearched, ends)

    def confirm(self, windows: Sequence[Window], output: PrefilterOutput) -> DispatchOutcome:
        """See ScanBackend."""
        pairs = checked_output(CandidatePairs, output)
        candidates = (
            (w, pairs.ends.get(w) or dict.fromkeys(rules)) for w, rules in pairs.rules.items()
        )
        return self._confirmed(windows, candidates, pairs.unsearched, counted=False)

    def scan_rows(self, rows: RowArena) -> DispatchOutcome:
        """The matches in rows, by the row's number: on the serial path, which lists candidates in
        all of the arena at once.
        """
        return self._confirmed(rows, self._candidate_rows(rows), {}, counted=False)

    def _confirmed(
        self,
        windows: Sequence[Window],
        candidates: Iterable[tuple[int, Mapping[int, list[int] | None]]],
        unsearched: Mapping[int, frozenset[int]],
        *,
        counted: bool,
    ) -> DispatchOutcome:
        """The matches of the candidates (see _candidate_windows); `counted`: with a report.

        `unsearched` is complete when the candidates have come.
        """
        spans: dict[int, list[Span]] = {}
        groups: dict[int, dict[int, dict[int, Groups]]] = {}
        attempted = committed = 0
        for w, rules in candidates:
            attempted += 1
            any_match = False
            window = windows[w]
            own: list[Span] = []
            seen: dict[int, dict[int, Groups]] = {}
            for rule, ends in rules.items():
                any_match |= self._confirm(window, rule, ends, own, seen)
            committed += any_match
            if own:
                spans[w] = own
            if seen:
                groups[w] = seen
        report = None
        if counted:
            report = SpeculationReport.from_counts(committed, attempted - committed)
        return DispatchOutcome(self.name, spans, groups, report, unsearched=unsearched)

    @abstractmethod
    def _candidate_windows(
        self, windows: Sequence[Window]
    ) -> Iterator[tuple[int, dict[int, list[int] | None]]]:
        """(window's number, the rules that may match in it, ascending, with their matches' ends as
        far as they are known). Windows without any are passed over.

        `_unsearched` is given what DispatchOutcome.unsearched says.
        """

    @abstractmethod
    def _candidate_rows(self, rows: RowArena) -> Iterable[tuple[int, dict[int, list[int] | None]]]:
        """_candidate_windows for rows."""

    def _confirm(
        self,
        window: Window,
        rule: int,
        ends: list[int] | None,
        spans: list[Span],
        groups: dict[int, dict[int, Groups]],
        stretches: Sequence[tuple[int, int]] = (),
    ) -> bool:
        """Append the rule's matches in `window` to `spans`, and their known groups to `groups`.

        `ends`: of the rule's matches, where they are known; `stretches`: see matches_at_ends.
        Returns whether there are matches; in whole documents some that byte filters drop may be
        left out.
        """
        matcher = self.matchers[rule]
        seen: dict[int, Groups] = {}
        enough = MANY
        if len(window.data) < _LARGE and not self._has_numpy:
            enough = _WORTH_IMPORTING
        expected = self.dense.get(rule, 0) if ends is None else len(ends)
        many: ShapedMatches | DenseMatches | None = None
        if expected >= max(enough, len(window.data) // _BYTES_TO_MATCH):
            many = self._by_shapes(window, rule)
        if many is None and expected >= _DENSE:
            many = self._by_one_search(window, rule, ends, stretches, expected)
        found: Iterable[tuple[int, int, int]] = ()
        if many is None and ends is not None:
            found = matcher.matches_at_ends(window, ends, seen, stretches)
        elif many is None:
            found = list(itertools.islice(matcher.iter_matches(window), MANY))
            if len(found) == MANY:
                if enough == MANY and found[-1][1] - window.lo <= MANY * _BYTES_TO_MATCH:
                    many = self._by_shapes(window, rule)
                if many is None:
                    many = self._by_one_search(window, rule, None, stretches, MANY)
        if many is not None:
            found, seen = many.found, many.groups
        if seen:
            groups[rule] = seen
        before = len(spans)
        # the cheapest way to make many: a call of Span takes twice as long
        made = Span._make
        spans += [made((start, rule, end, flags)) for start, end, flags in found]
        count = self.dense[rule] = len(spans) - before if many is None else many.matches
        if many is not None:
            self._met += count
        return count > 0

    @property
    def _has_numpy(self) -> bool:
        """Whether NumPy is there, or would have paid for itself."""
        return "numpy" in sys.modules or self._met >= _WORTH_IMPORTING

    def _by_one_search(
        self,
        window: Window,
        rule: int,
        ends: Sequence[int] | None,
        stretches: Sequence[tuple[int, int]],
        expected: int,
    ) -> DenseMatches:
        """The rule's matches in a window that is full of them."""
        from vyre_dist.extract.dense import dense_matches

        drops, screen = None, None
        # of few matches it would take longer to work out what drops them
        if window.is_whole and expected >= MANY and (filters := self._drops):
            drops = filters[rule]
            if self._has_numpy:
                screen = partial(self._screen, rule)
        return dense_matches(self.matchers[rule], window, ends, drops, screen, stretches)

    def _by_shapes(self, window: Window, rule: int) -> ShapedMatches | None:
        """The rule's matches in a window whose lines are alike; None for another."""
        shapes = self._line_shapes.get(rule)
        if shapes is None:
            from vyre_dist.extract.line_shapes import LineShapes

            shapes = LineShapes(self.matchers[rule], self._screen(rule))
            self._line_shapes[rule] = shapes
        return shapes.search(window)

    def _screen(self, rule: int) -> SecretScreen:
        """What drops matches of a rule by their secrets."""
        from vyre_dist.extract.secret_screen import SecretScreen

        if self._options is None or not self._drops:
            return SecretScreen()
        contents = self._options.contents
        return SecretScreen(
            self._drops[rule], None if contents is None else contents()[rule].secrets
        )

    @cached_property
    def _drops(self) -> Sequence[ByteFilter]:
        """The pack's byte filters; empty for none."""
        options = self._options
        return () if options is None or options.byte_filters is None else options.byte_filters()
