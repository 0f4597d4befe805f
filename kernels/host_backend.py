"""HostBackend: what the backends have in common that let google-re2 confirm windows on one core.

How candidates are found is theirs: Hyperscan's (cpu.py) or google-re2's own
(cpu_without_hyperscan.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import starmap
from typing import Any

from vyre_dist.dispatch.backend import DispatchConfig
from vyre_dist.dispatch.report import SpeculationReport, encode_counter_tail
from vyre_dist.extract import Window
from vyre_dist.extract.spans import SpanRow, pack_spans
from vyre_dist.kernels.backends import rule_matchers
from vyre_dist.kernels.programs import CANDIDATE, ScanProgram
from vyre_dist.program import CompiledPack
from vyre_dist.rules.finder import Groups


class HostBackend(ABC):
    """One pack on one core, as the backend `cpu`. Not thread-safe."""

    name = used = "cpu"
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
        self.groups: dict[int, dict[int, dict[int, Groups]]] = {}

    def dispatch(
        self, program: ScanProgram, inputs: Sequence[Window], config: DispatchConfig
    ) -> list[bytes]:
        """Run `program` on `inputs` (see ScanProgram)."""
        del config
        self.groups.clear()
        if program.kind == "fused":
            return self._fused(inputs)
        pairs = [(w, rule) for w, rules in self._candidate_windows(inputs) for rule in rules]
        return [b"".join(starmap(CANDIDATE.pack, pairs))]

    def confirm_serial(self, windows: Sequence[Window], outputs: Sequence[Any]) -> list[bytes]:
        """See ScanBackend."""
        rows: list[SpanRow] = []
        for w, rule in CANDIDATE.iter_unpack(outputs[0]):
            self._confirm(w, windows[w], rule, None, rows)
        return [pack_spans(rows)]

    def _fused(self, inputs: Sequence[Window]) -> list[bytes]:
        rows: list[SpanRow] = []
        committed = rolled_back = 0
        for w, rules in self._candidate_windows(inputs):
            before = len(rows)
            for rule, ends in rules.items():
                self._confirm(w, inputs[w], rule, ends, rows)
            if len(rows) > before:
                committed += 1
            else:
                rolled_back += 1
        tail = encode_counter_tail(SpeculationReport.from_counts(committed, rolled_back))
        return [pack_spans(rows) + tail]

    @abstractmethod
    def _candidate_windows(
        self, inputs: Sequence[Window]
    ) -> Iterator[tuple[int, dict[int, list[int] | None]]]:
        """(window's number, the rules that may match in it, ascending, with their matches' ends as
        far as they are known). Windows without any are passed over.
        """

    def _confirm(
        self, w: int, window: Window, rule: int, ends: list[int] | None, rows: list[SpanRow]
    ) -> None:
        """Append the rule's matches in `window` to `rows`. `ends`: of its matches, where they are
        known.
        """
        matcher = self.matchers[rule]
        if ends is None:
            found: Iterable[tuple[int, int, int]] = matcher.iter_matches(window)
        else:
            seen: dict[int, Groups] = {}
            found = matcher.matches_at_ends(window, ends, seen)
            if seen:
                self.groups.setdefault(w, {})[rule] = seen
        rows += [(w, rule, start, end - start, flags) for start, end, flags in found]
