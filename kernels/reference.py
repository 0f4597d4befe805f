"""ReferenceBackend: every rule on every window by google-re2, nothing else. Slow, and obviously right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vyre_dist.dispatch.backend import DispatchConfig
from vyre_dist.dispatch.report import SpeculationReport, encode_counter_tail
from vyre_dist.extract import Window
from vyre_dist.extract.spans import spans_from_rows
from vyre_dist.kernels.backends import rule_matchers
from vyre_dist.kernels.programs import CANDIDATE_DTYPE, ScanProgram
from vyre_dist.program import CompiledPack


class ReferenceBackend:
    """The oracle that the other backends are compared with: no prefilter worth the name, no hints, no databases."""

    name = "reference"
    supports_speculation = True

    def __init__(self, compiled: CompiledPack) -> None:
        self.compiled = compiled
        self.matchers = rule_matchers(compiled)

    def dispatch(self, program: ScanProgram, inputs: Sequence[Window], config: DispatchConfig) -> list[bytes]:
        """Run `program` on `inputs` (see ScanProgram)."""
        del config
        everything = [(w, rule) for w in range(len(inputs)) for rule in self.matchers]
        if program.kind == "prefilter":
            return [np.array(everything, CANDIDATE_DTYPE).tobytes()]
        rows = self._confirm(inputs, everything)
        committed = len({row[0] for row in rows})
        attempted = len(inputs) if self.matchers else 0
        tail = encode_counter_tail(SpeculationReport.from_counts(committed, attempted - committed))
        return [spans_from_rows(rows).tobytes() + tail]

    def confirm_serial(self, windows: Sequence[Window], outputs: Sequence[Any]) -> list[bytes]:
        """See ScanBackend."""
        pairs = np.frombuffer(outputs[0], CANDIDATE_DTYPE).tolist()
        return [spans_from_rows(self._confirm(windows, pairs)).tobytes()]

    def _confirm(
        self, windows: Sequence[Window], pairs: list[tuple[int, int]]
    ) -> list[tuple[int, int, int, int, int]]:
        return [
            (w, rule, start, end - start, flags)
            for w, rule in pairs
            for start, end, flags in self.matchers[rule].iter_matches(windows[w])
        ]
