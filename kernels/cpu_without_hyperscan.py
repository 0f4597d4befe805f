"""Re2CpuBackend: the cpu backend where Hyperscan is not installed. google-re2 does its part, too.

The result is the same. It is slower: Hyperscan tells where matches end, a literal only that its
rule is to be searched for in all of the window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import starmap
from typing import Any

from vyre_dist.dispatch.backend import DispatchConfig
from vyre_dist.dispatch.report import SpeculationReport, encode_counter_tail
from vyre_dist.extract import Window
from vyre_dist.extract.spans import SpanRow, pack_spans
from vyre_dist.kernels.backends import rule_matchers
from vyre_dist.kernels.programs import CANDIDATE, ScanProgram
from vyre_dist.kernels.re2_candidates import Re2Candidates
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.rules.finder import Finder, Groups
from vyre_dist.rules.search import compile_pattern


class Re2CpuBackend:
    """One pack on one core. Not thread-safe."""

    name = used = "cpu"
    supports_speculation = True
    warm = True
    read_memory = None
    # as CpuBackend's
    dispatch_bytes = most_bytes = 2 << 20
    dispatch_windows = 256

    def __init__(self, compiled: CompiledPack, cache: ArtifactCache) -> None:
        del cache  # literals are worked out in less time than they are read
        self.compiled = compiled
        self.matchers = rule_matchers(compiled)
        self.groups: Mapping[int, Mapping[int, Mapping[int, Groups]]] = {}
        self._candidates = Re2Candidates(compiled.rules)
        self._rules = {rule.index: rule for rule in compiled.rules}
        self._gates = {
            rule.index: Finder(compile_pattern(rule.gate_pattern)[0])
            for rule in compiled.rules
            if rule.gate_pattern is not None
        }

    def dispatch(self, program: ScanProgram, inputs: Sequence[Window], config: DispatchConfig) -> list[bytes]:
        """Run `program` on `inputs` (see ScanProgram)."""
        del config
        if program.kind == "fused":
            return self._fused(inputs)
        pairs = [(w, rule) for w, rules in self._candidate_windows(inputs) for rule in rules]
        return [b"".join(starmap(CANDIDATE.pack, pairs))]

    def confirm_serial(self, windows: Sequence[Window], outputs: Sequence[Any]) -> list[bytes]:
        """See ScanBackend."""
        rows: list[SpanRow] = []
        for w, rule in CANDIDATE.iter_unpack(outputs[0]):
            self._confirm(w, windows[w], rule, rows)
        return [pack_spans(rows)]

    def _fused(self, inputs: Sequence[Window]) -> list[bytes]:
        rows: list[SpanRow] = []
        committed = rolled_back = 0
        for w, rules in self._candidate_windows(inputs):
            before = len(rows)
            for rule in rules:
                self._confirm(w, inputs[w], rule, rows)
            if len(rows) > before:
                committed += 1
            else:
                rolled_back += 1
        tail = encode_counter_tail(SpeculationReport.from_counts(committed, rolled_back))
        return [pack_spans(rows) + tail]

    def _candidate_windows(self, inputs: Sequence[Window]) -> Iterator[tuple[int, list[int]]]:
        """(window's number, the rules that may match in it, ascending); windows without any are
        passed over.
        """
        for w, window in enumerate(inputs):
            found = self._candidates.rules_for(window.data)
            if rules := [rule for rule in found if self._may_match(rule, window)]:
                yield w, rules

    def _may_match(self, rule: int, window: Window) -> bool:
        """Whether it matches somewhere in the window; of a rule that is looked for by keywords,
        whether one is in the document, as in CpuBackend.
        """
        if self._rules[rule].min_width == 0:
            return True
        gate = self._gates.get(rule)
        if gate is not None and window.is_whole:
            return gate.search(window.data, 0, len(window.data)) is not None
        return self.matchers[rule].occurs(window.data)

    def _confirm(self, w: int, window: Window, rule: int, rows: list[SpanRow]) -> None:
        found = self.matchers[rule].iter_matches(window)
        rows += [(w, rule, start, end - start, flags) for start, end, flags in found]
