"""One dispatch of a prefilter and its confirmer: fused and speculative, or one after the other.

The decision's arithmetic lives in speculator.py; here is routing, and the check of the fused
output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, cast

from vyre_dist.dispatch.backend import (
    Backend,
    DispatchConfig,
    ProgramT,
    Speculating,
    SpeculationMode,
)
from vyre_dist.dispatch.errors import (
    CounterTailError,
    MissingCounterOutputError,
    UnsupportedFeatureError,
)
from vyre_dist.dispatch.report import (
    COUNTER_TAIL_BYTES,
    ByteBuffer,
    SpeculationReport,
    as_bytes_view,
    check_counts,
    parse_counter_tail,
)
from vyre_dist.dispatch.speculator import Speculator


@dataclass(frozen=True, slots=True)
class SpeculationPlan(Generic[ProgramT]):
    """The programs of both paths. `counter_output_index`: of the fused one's outputs, from 0."""

    fused_program: ProgramT
    prefilter_program: ProgramT
    counter_output_index: int
    strip_counter_tail: bool

    def __post_init__(self) -> None:
        # A negative index would quietly count from the end.
        check_counts(self, None, "counter_output_index")


@dataclass(frozen=True, slots=True)
class SpeculationOutcome:
    """What one dispatch gave. `report` is None after the serial path."""

    outputs: list[ByteBuffer]
    report: SpeculationReport | None
    used_speculative_path: bool


def dispatch_prefilter_confirm(
    backend: Backend[ProgramT],
    speculator: Speculator,
    plan: SpeculationPlan[ProgramT],
    inputs: Sequence[Any],
    config: DispatchConfig,
    confirm_serial: Callable[[Sequence[ByteBuffer]], Sequence[ByteBuffer]],
) -> SpeculationOutcome:
    """Run `plan` on `inputs`, by the path that `config.speculation` and the speculator choose.

    FORCE runs the fused program, DISABLE the prefilter and then `confirm_serial` on its outputs.
    AUTO (also None) asks `speculator.choose()`, which alone decides: `supports_speculation` is not
    consulted, so give a backend without fused programs DISABLE. Only a fused dispatch whose output
    was in order is recorded.

    The stripped counter output keeps its type; memoryviews and one-dimensional uint8 arrays are
    sliced without a copy, bytes and bytearrays are copied.

    Raises UnsupportedFeatureError (FORCE on a backend that cannot speculate; nothing is
    dispatched), MissingCounterOutputError or CounterTailError (the fused program broke its promise;
    no sample), and whatever the backend or `confirm_serial` raise.
    """
    if takes_fused_path(backend, speculator, config):
        return _run_fused(backend, speculator, plan, inputs, config)
    prefiltered = backend.dispatch(plan.prefilter_program, inputs, config)
    return SpeculationOutcome(list(confirm_serial(prefiltered)), None, False)


def takes_fused_path(backend: Speculating, speculator: Speculator, config: DispatchConfig) -> bool:
    """Whether the next dispatch runs the fused program. In AUTO mode the speculator is asked.

    Raises UnsupportedFeatureError: FORCE on a backend that cannot speculate.
    """
    mode = config.speculation or SpeculationMode.AUTO
    if mode is SpeculationMode.FORCE:
        if not backend.supports_speculation:
            raise UnsupportedFeatureError(
                "speculative dispatch",
                backend=backend.name,
                fix="use SpeculationMode.AUTO or DISABLE, or a backend that has a fused program.",
            )
        return True
    return mode is SpeculationMode.AUTO and speculator.choose()


def _run_fused(
    backend: Backend[ProgramT],
    speculator: Speculator,
    plan: SpeculationPlan[ProgramT],
    inputs: Sequence[Any],
    config: DispatchConfig,
) -> SpeculationOutcome:
    outputs = list(backend.dispatch(plan.fused_program, inputs, config))
    index = plan.counter_output_index
    if index >= len(outputs):
        raise MissingCounterOutputError(
            backend=backend.name,
            program=plan.fused_program.name,
            index=index,
            output_count=len(outputs),
        )
    report = parse_counter_tail(outputs[index])
    if report is None:
        raise CounterTailError(
            backend=backend.name,
            program=plan.fused_program.name,
            index=index,
            found_bytes=as_bytes_view(outputs[index]).nbytes,
        )
    if plan.strip_counter_tail:
        outputs[index] = _without_tail(outputs[index])
    speculator.record(report)
    return SpeculationOutcome(outputs, report, True)


def _without_tail(buf: ByteBuffer) -> ByteBuffer:
    if isinstance(buf, bytes | bytearray):
        return buf[:-COUNTER_TAIL_BYTES]
    view = memoryview(cast(Any, buf))
    if view.ndim == 1 and view.itemsize == 1:
        return cast(ByteBuffer, buf[:-COUNTER_TAIL_BYTES])
    # Wider items or more dimensions: the tail need not be whole items, so hand out plain bytes.
    return as_bytes_view(buf)[:-COUNTER_TAIL_BYTES]
