"""What a speculative dispatch can fail with, beside what the backend itself raises."""

from __future__ import annotations

from vyre_dist.errors import VyreError


class DispatchError(VyreError):
    """Base of the dispatch layer's errors; `backend` is the backend's name."""

    def __init__(self, message: str, *, backend: str) -> None:
        super().__init__(message)
        self.backend = backend


class UnsupportedFeatureError(DispatchError):
    """The backend lacks a feature that the caller insisted on; nothing was dispatched."""

    def __init__(self, feature: str, *, backend: str, fix: str) -> None:
        super().__init__(
            f"unsupported feature: {feature} (backend {backend!r}). Fix: {fix}", backend=backend
        )
        self.feature = feature


class MissingCounterOutputError(DispatchError):
    """The fused program returned no output of the number that should carry the counter tail."""

    def __init__(self, *, backend: str, program: str, index: int, output_count: int) -> None:
        allowed = (
            f"0 to {output_count - 1}" if output_count else "none, it returned no output at all"
        )
        super().__init__(
            f"fused program {program!r} on backend {backend!r} returned {output_count} outputs; "
            "expected "
            f"output #{index} to carry the counter tail (indices present: {allowed}). Fix: set "
            "SpeculationPlan.counter_output_index to the output that ends in the counter tail.",
            backend=backend,
        )
        self.program = program
        self.index = index
        self.output_count = output_count


class CounterTailError(DispatchError):
    """The counter output can't end in a tail: too short, or no whole number of u32 words."""

    def __init__(self, *, backend: str, program: str, index: int, found_bytes: int) -> None:
        super().__init__(
            f"output #{index} of fused program {program!r} on backend {backend!r} has "
            f"{found_bytes} bytes; "
            "expected at least 8 and a multiple of 4, ending in two LE u32 [committed, "
            "rolled_back]. "
            "Fix: let the fused program append both counters to that output, and pad what precedes "
            "them to a "
            "multiple of 4 bytes.",
            backend=backend,
        )
        self.program = program
        self.index = index
        self.found_bytes = found_bytes
