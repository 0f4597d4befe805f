"""Routing of one dispatch, on a small backend that really prefilters, confirms and counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from vyre_dist.dispatch.backend import DispatchConfig, SpeculationMode
from vyre_dist.dispatch.errors import (
    CounterTailError,
    DispatchError,
    MissingCounterOutputError,
    UnsupportedFeatureError,
)
from vyre_dist.dispatch.prefilter_confirm import SpeculationPlan, dispatch_prefilter_confirm
from vyre_dist.dispatch.report import ByteBuffer, SpeculationReport, encode_counter_tail
from vyre_dist.dispatch.speculator import AdaptiveSpeculator, ProbingSpeculator
from vyre_dist.errors import UsageError

TILE = 16


@dataclass(frozen=True)
class Search:
    """Finds `literal`: candidates are its first byte, confirmed by comparing the rest."""

    name: str
    literal: bytes


@dataclass
class TileBackend:
    """Outputs u32 positions; the fused program confirms them tile by tile and appends the counter
    tail.
    """

    name: str = "tiles"
    supports_speculation: bool = True
    dispatched: list[str] = field(default_factory=list)

    def dispatch(
        self, program: Search, inputs: Sequence[bytes], config: DispatchConfig
    ) -> list[bytes]:
        self.dispatched.append(program.name)
        (text,) = inputs
        candidates = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == program.literal[0])
        if program.name == "prefilter":
            return [candidates.astype("<u4").tobytes()]
        hits = confirm(text, program.literal, candidates)
        attempted = set(candidates // TILE)
        committed = set(hits // TILE)
        report = SpeculationReport(len(committed), len(attempted - committed))
        return [b"header", hits.astype("<u4").tobytes() + encode_counter_tail(report)]


@dataclass
class FixedBackend:
    """Returns the same outputs whatever it is asked to run."""

    outputs: list[ByteBuffer]
    name: str = "fixed"
    supports_speculation: bool = True

    def dispatch(
        self, program: Search, inputs: Sequence[object], config: DispatchConfig
    ) -> list[ByteBuffer]:
        return self.outputs


def confirm(text: bytes, literal: bytes, candidates: np.ndarray) -> np.ndarray:
    return np.array([p for p in candidates if text.startswith(literal, p)], dtype=np.int64)


FUSED, PREFILTER = Search("fused", b"key"), Search("prefilter", b"key")
PLAN = SpeculationPlan(FUSED, PREFILTER, counter_output_index=1, strip_counter_tail=True)
TAIL_PLAN = SpeculationPlan(FUSED, PREFILTER, counter_output_index=0, strip_counter_tail=True)
TEXT = b"a key in tile 0.k in the second, nothing there, and a key at end"
HITS = np.array([2, 54], dtype="<u4").tobytes()
AUTO = DispatchConfig(SpeculationMode.AUTO)
FORCE = DispatchConfig(SpeculationMode.FORCE)
DISABLE = DispatchConfig(SpeculationMode.DISABLE)


def confirm_serial(outputs: Sequence[ByteBuffer]) -> list[ByteBuffer]:
    (candidates,) = outputs
    found = confirm(TEXT, b"key", np.frombuffer(candidates, dtype="<u4"))
    return [b"header", found.astype("<u4").tobytes()]


def not_reached(outputs: Sequence[ByteBuffer]) -> list[ByteBuffer]:
    raise AssertionError("the serial path ran")


def disabled(pct: int = 20) -> AdaptiveSpeculator:
    speculator = AdaptiveSpeculator(pct)
    for _ in range(20):
        speculator.record(SpeculationReport(0, 1))
    assert not speculator.enabled
    return speculator


@pytest.mark.parametrize(
    ("config", "enabled", "path"),
    [
        (FORCE, True, ["fused"]),
        (FORCE, False, ["fused"]),
        (DISABLE, True, ["prefilter"]),
        (DISABLE, False, ["prefilter"]),
        (AUTO, True, ["fused"]),
        (AUTO, False, ["prefilter"]),
        (DispatchConfig(), True, ["fused"]),
        (DispatchConfig(), False, ["prefilter"]),
    ],
)
def test_routing(config: DispatchConfig, enabled: bool, path: list[str]) -> None:
    """Mode and speculator choose the path; both give the same output; only the fused one is a
    sample.
    """
    backend = TileBackend()
    speculator = AdaptiveSpeculator() if enabled else disabled()
    before = speculator.samples
    outcome = dispatch_prefilter_confirm(backend, speculator, PLAN, [TEXT], config, confirm_serial)
    fused = path == ["fused"]
    assert backend.dispatched == path
    assert outcome.outputs == [b"header", HITS]
    assert outcome.used_speculative_path is fused
    assert outcome.report == (SpeculationReport(2, 1) if fused else None)
    assert speculator.samples - before == fused


def test_tail_only_output_is_stripped_to_nothing() -> None:
    """One output of just the tail (3, 1), stripped: outputs [b""], report (3, 1), one sample."""
    backend = FixedBackend([encode_counter_tail(SpeculationReport(3, 1))])
    speculator = AdaptiveSpeculator(15)
    outcome = dispatch_prefilter_confirm(
        backend, speculator, TAIL_PLAN, [], DispatchConfig(), not_reached
    )
    assert outcome.outputs == [b""]
    assert outcome.report == SpeculationReport.from_counts(3, 1)
    assert outcome.used_speculative_path
    assert speculator.samples == 1


def test_tail_stays_without_strip() -> None:
    """Without strip_counter_tail the output keeps its last 8 bytes."""
    tail = encode_counter_tail(SpeculationReport(3, 1))
    plan = SpeculationPlan(FUSED, PREFILTER, 0, strip_counter_tail=False)
    outcome = dispatch_prefilter_confirm(
        FixedBackend([b"data" + tail]), AdaptiveSpeculator(), plan, [], FORCE, not_reached
    )
    assert outcome.outputs == [b"data" + tail]
    assert outcome.report == SpeculationReport(3, 1)


def test_force_on_a_backend_that_cannot_speculate() -> None:
    """It is an error that names the feature and the backend, and nothing was dispatched."""
    backend = TileBackend(name="plain", supports_speculation=False)
    speculator = AdaptiveSpeculator()
    with pytest.raises(
        UnsupportedFeatureError, match=r"unsupported feature: speculative dispatch .*plain"
    ) as caught:
        dispatch_prefilter_confirm(backend, speculator, PLAN, [TEXT], FORCE, not_reached)
    assert (caught.value.feature, caught.value.backend) == ("speculative dispatch", "plain")
    assert backend.dispatched == []
    assert speculator.samples == 0


@pytest.mark.parametrize("count", [0, 1])
def test_missing_counter_output(count: int) -> None:
    """An index past the outputs is an error with the index, the count and the cure; no sample is
    taken.
    """
    backend = FixedBackend([b"x" * 8] * count)
    speculator = AdaptiveSpeculator()
    with pytest.raises(
        MissingCounterOutputError, match=r"output #1 .*Fix: set SpeculationPlan"
    ) as caught:
        dispatch_prefilter_confirm(backend, speculator, PLAN, [], AUTO, not_reached)
    error = caught.value
    assert (error.index, error.output_count, error.program, error.backend) == (
        1,
        count,
        "fused",
        "fixed",
    )
    assert isinstance(error, DispatchError)
    assert speculator.samples == 0


@pytest.mark.parametrize("length", [0, 4, 7, 9, 4098])
def test_output_without_a_tail(length: int) -> None:
    """A counter output too short or misaligned is an error with its length and the cure; no
    sample.
    """
    backend = FixedBackend([bytes(length)])
    speculator = AdaptiveSpeculator()
    with pytest.raises(CounterTailError, match=rf"has {length} bytes; expected .*Fix: ") as caught:
        dispatch_prefilter_confirm(backend, speculator, TAIL_PLAN, [], AUTO, not_reached)
    error = caught.value
    assert (error.found_bytes, error.index, error.program) == (length, 0, "fused")
    assert speculator.samples == 0


def test_stripping_big_outputs_copies_nothing() -> None:
    """Arrays and memoryviews are cut as views of the same memory; bytes and bytearrays keep their
    type.
    """
    raw = b"0123" + encode_counter_tail(SpeculationReport(1, 0))
    array = np.frombuffer(raw, dtype=np.uint8)
    words = np.frombuffer(raw, dtype="<u4").reshape(1, 3)
    given: list[ByteBuffer] = [raw, bytearray(raw), memoryview(raw), array, words]
    cut = []
    for buf in given:
        outcome = dispatch_prefilter_confirm(
            FixedBackend([buf]), AdaptiveSpeculator(), TAIL_PLAN, [], FORCE, not_reached
        )
        cut.append(outcome.outputs[0])
    assert [type(buf) for buf in cut] == [bytes, bytearray, memoryview, np.ndarray, memoryview]
    assert [bytes(buf) for buf in cut] == [b"0123"] * 5
    assert np.shares_memory(cut[3], array)
    assert np.shares_memory(np.frombuffer(cut[4], dtype=np.uint8), words)


def test_the_backends_list_is_not_touched() -> None:
    """Stripping changes the outcome's list, not one that the backend may keep."""
    backend = FixedBackend([encode_counter_tail(SpeculationReport(3, 1))])
    dispatch_prefilter_confirm(backend, AdaptiveSpeculator(), TAIL_PLAN, [], FORCE, not_reached)
    assert len(backend.outputs[0]) == 8


def test_errors_of_the_serial_path_pass_through() -> None:
    """What confirm_serial raises reaches the caller unchanged."""
    with pytest.raises(AssertionError, match="the serial path ran"):
        dispatch_prefilter_confirm(
            TileBackend(), AdaptiveSpeculator(), PLAN, [TEXT], DISABLE, not_reached
        )


def test_negative_counter_index_is_refused() -> None:
    """A negative index does not count from the end: the plan cannot be made."""
    with pytest.raises(UsageError, match="counter_output_index"):
        SpeculationPlan(FUSED, PREFILTER, -1, strip_counter_tail=True)


def test_probing_dispatches_one_in_n_fused_and_recovers() -> None:
    """In AUTO a disabled speculator runs serially but for its probes, and comes back by what they
    count.
    """
    backend = TileBackend()
    speculator = ProbingSpeculator(disabled(), every=5)
    for _ in range(40):
        outcome = dispatch_prefilter_confirm(
            backend, speculator, PLAN, [TEXT], AUTO, confirm_serial
        )
        assert outcome.outputs == [b"header", HITS]
    assert speculator.speculator.enabled
    # From 0 % at 66 % observed: one probe gives 17 %, the second passes 25 %.
    assert backend.dispatched == (["prefilter"] * 4 + ["fused"]) * 2 + ["fused"] * 30


def test_probing_is_not_asked_outside_auto() -> None:
    """DISABLE never probes, and FORCE does not use up a probe."""
    speculator = ProbingSpeculator(disabled(), every=2)
    backend = TileBackend()
    for config in (DISABLE, DISABLE, DISABLE, FORCE):
        dispatch_prefilter_confirm(backend, speculator, PLAN, [TEXT], config, confirm_serial)
    assert backend.dispatched == ["prefilter"] * 3 + ["fused"]
    assert speculator.probes == 0
