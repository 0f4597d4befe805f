"""ContractBackend: a scan backend as the dispatch core knows backends.

What it puts out are buffers: spans as records (extract/spans.py), a fused program's with the
counter tail behind them. A scan takes scan_backend.scan_windows, where nothing is packed that the
same process would unpack.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from vyre_dist.dispatch.backend import DispatchConfig
from vyre_dist.dispatch.prefilter_confirm import SpeculationPlan
from vyre_dist.dispatch.report import ByteBuffer, SpeculationReport, encode_counter_tail
from vyre_dist.errors import UsageError
from vyre_dist.extract import Window
from vyre_dist.extract.spans import encode_spans
from vyre_dist.kernels.scan_backend import PrefilterOutput, ScanBackend
from vyre_dist.program.scan_program import ScanProgram

_TICKET = struct.Struct("<Q")


class ContractBackend:
    """`backend`, for dispatch_prefilter_confirm. Not thread-safe.

    What the prefilter lists stays with the backend, as on a GPU it stays on the device; its output
    is a ticket of 8 bytes for confirm_serial.
    """

    def __init__(self, backend: ScanBackend) -> None:
        self._backend = backend
        self._tickets = 0
        self._listed: PrefilterOutput | None = None

    @property
    def name(self) -> str:
        """See Backend."""
        return self._backend.name

    @property
    def supports_speculation(self) -> bool:
        """See Backend."""
        return self._backend.supports_speculation

    @property
    def plan(self) -> SpeculationPlan[ScanProgram]:
        """The backend's two programs; the tail of the only output is cut off."""
        return SpeculationPlan(*self._backend.programs, 0, strip_counter_tail=True)

    def dispatch(
        self, program: ScanProgram, inputs: Sequence[Window], config: DispatchConfig
    ) -> list[ByteBuffer]:
        """Run `program` on `inputs`; one output. Raises UsageError for a foreign program."""
        del config
        programs = self._backend.programs
        if program not in programs:
            raise UsageError(
                f"the backend {self.name} does not run {program.name} with {program.tunables}; it "
                f"runs {programs.fused.name} and {programs.prefilter.name} with "
                f"{programs.fused.tunables}"
            )
        self._tickets += 1
        if program == programs.fused:
            self._listed = None
            outcome = self._backend.run_fused(inputs)
            report = outcome.report or SpeculationReport.empty()
            return [encode_spans(outcome.spans) + encode_counter_tail(report)]
        self._listed = self._backend.run_prefilter(inputs)
        return [_TICKET.pack(self._tickets)]

    def confirm_serial(
        self, windows: Sequence[Window], outputs: Sequence[ByteBuffer]
    ) -> list[ByteBuffer]:
        """The spans of what the latest dispatch of the prefilter listed, without a tail.

        `outputs`: what that dispatch returned. Raises UsageError for those of an earlier one.
        """
        if self._listed is None or bytes(outputs[0]) != _TICKET.pack(self._tickets):
            raise UsageError(
                f"the backend {self.name} confirms what its latest dispatch of the prefilter "
                "listed; there was another dispatch since"
            )
        listed, self._listed = self._listed, None
        return [encode_spans(self._backend.confirm(windows, listed).spans)]
