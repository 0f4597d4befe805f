"""HostBackend: what the backends have in common that let google-re2 confirm windows on one core.

How candidates are found is theirs: Hyperscan's (cpu.py) or google-re2's own
(cpu_without_hyperscan.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vyre_dist.dispatch.report import SpeculationReport
from vyre_dist.extract import Span, Window
from vyre_dist.extract.row_arena import RowArena
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome
from vyre_dist.kernels.scan_backend import (
    PrefilterOutput,
    ScanPrograms,
    checked_output,
    rule_matchers,
)
from vyre_dist.program import CompiledPack
from vyre_dist.rules.finder import Groups


@dataclass(frozen=True, slots=True)
class CandidatePairs(PrefilterOutput):
    """`rules`: by the number of a window, the rules that may match in it; both ascending.

    `unsearched`: see DispatchOutcome.
    """

    rules: dict[int, tuple[int, ...]]
    unsearched: dict[int, frozenset[int]] = field(default_factory=dict)


class HostBackend(ABC):
    """One pack on one core, as the backend `cpu`. Not thread-safe.

    Its tiles are windows: one is attempted where a rule may match, and committed where one does.
    """

    name = "cpu"
    supports_speculation = True
    warm = True
    read_memory = None
    # enough to spread a dispatch's cost over, little enough to stay in a core's second-level cache
    # and to give the speculator a sample often
    dispatch_bytes = most_bytes = 2 << 20
    dispatch_windows = 256

    def __init__(self, compiled: CompiledPack) -> None:
        self.compiled = compiled
        self.matchers = rule_matchers(compiled)
        self.programs = ScanPrograms.of(compiled)
        self._unsearched: dict[int, frozenset[int]] = {}

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
        pairs = {w: tuple(rules) for w, rules in self._candidate_windows(windows)}
        return CandidatePairs(pairs, self._unsearched)

    def confirm(self, windows: Sequence[Window], output: PrefilterOutput) -> DispatchOutcome:
        """See ScanBackend."""
        pairs = checked_output(CandidatePairs, output)
        candidates = ((w, dict.fromkeys(rules)) for w, rules in pairs.rules.items())
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
        attempted = 0
        for w, rules in candidates:
            attempted += 1
            window = windows[w]
            own: list[Span] = []
            seen: dict[int, dict[int, Groups]] = {}
            for rule, ends in rules.items():
                self._confirm(window, rule, ends, own, seen)
            if own:
                spans[w] = own
            if seen:
                groups[w] = seen
        report = None
        if counted:
            report = SpeculationReport.from_counts(len(spans), attempted - len(spans))
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
    ) -> None:
        """Append the rule's matches in `window` to `spans`, and their known groups to `groups`.

        `ends`: of the rule's matches, where they are known; `stretches`: see matches_at_ends.
        """
        matcher = self.matchers[rule]
        if ends is None:
            found: Iterable[tuple[int, int, int]] = matcher.iter_matches(window)
        else:
            seen: dict[int, Groups] = {}
            found = matcher.matches_at_ends(window, ends, seen, stretches)
            if seen:
                groups[rule] = seen
        # the cheapest way to make many: a call of Span takes twice as long
        made = Span._make
        spans += [made((start, rule, end, flags)) for start, end, flags in found]
