"""Device memory that runs out at any allocation costs halving and nothing else.

On the emulated device: a real one can't be told when to refuse (test_backend.py and test_lane.py
fill one up).
"""

from __future__ import annotations

import gc
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
from emulated_cupy import EmulatedCupy
from gpu_device import Gpu
from gpu_support import PATTERNS, TUNABLES, expected, found, make_tables, random_document

from vyre_dist import RulePack
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import execute_arena
from vyre_dist.kernels.cuda import pending
from vyre_dist.kernels.cuda.backend import CudaBackend
from vyre_dist.kernels.cuda.device_pack import DevicePack
from vyre_dist.kernels.cuda.errors import DeviceMemoryError
from vyre_dist.program import ArtifactCache, compile_pack
from vyre_dist.stream import ExtractionPool, GpuStream

PACK = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})
TUNED = TUNABLES[3]


T = TypeVar("T")


def refuse_each(gpu: Gpu, prepare: Callable[[], T], attempt: Callable[[T], None]) -> int:
    """An attempt of which the first allocation fails, then one of which the second does, and so on;
    how many there are.
    """
    assert gpu.emulated is not None
    memory = gpu.emulated.memory
    for number in range(100):
        prepared = prepare()
        memory.refuse_at = number
        attempt(prepared)
        if memory.refuse_at is not None:
            memory.refuse_at = None
            return number
    raise AssertionError("there is no end to the allocations")


@pytest.mark.parametrize("with_spans", [False, True])
def test_lane(emulated_gpu: Gpu, with_spans: bool) -> None:
    """Whichever allocation of a new lane's first arena fails, rows and matches are the same, and
    those of the reference.
    """
    from vyre_dist.kernels.cuda.lane import Lane
    from vyre_dist.kernels.cuda.spans import SpanSearch
    from vyre_dist.program.span_tables import build_span_tables

    tables = make_tables(PATTERNS)
    spans = SpanSearch(
        emulated_gpu.device, TUNED, build_span_tables(compile_pack(PACK.data), tables)
    )
    programs = emulated_gpu.programs(tables, TUNED)
    rng = random.Random(4)
    arena = Arena.lay_out([random_document(rng, 100) for _ in range(9)])
    seen = []

    def make_lane() -> Lane:
        return Lane(programs, 0, spans if with_spans else None)

    def scan(lane: Lane) -> None:
        lane.start(arena)
        seen.append(lane.finish())

    scan(make_lane())
    assert refuse_each(emulated_gpu, make_lane, scan) >= 6 + 2 * with_spans
    want = expected(execute_arena(tables, arena, tile_bytes=TUNED.tile_bytes, max_steps=256))
    assert len(want[0]) > 100
    assert all(found(rows)[:2] == want[:2] for rows in seen)
    pairs = [
        sorted(
            {(row, str(match)) for row, match in zip(rows.rows.tolist(), rows.matches, strict=True)}
        )
        for rows in seen
        if rows.matches is not None
    ]
    assert len(pairs) == len(seen) * with_spans
    assert all(own == pairs[0] for own in pairs)


def test_lane_without_room(emulated_gpu: Gpu) -> None:
    """With room for a part of an arena a lane goes through it in pieces; a document that is too
    much alone is an error.
    """
    from vyre_dist.kernels.cuda.lane import Lane

    programs = emulated_gpu.programs(make_tables([PATTERNS[0]]), TUNED)
    text = b"int x;\n" * 30_000 + b"token=deadbeef\n"
    arena = Arena.lay_out([text] * 16)
    assert emulated_gpu.emulated is not None
    memory = emulated_gpu.emulated.memory
    lane = Lane(programs, 0)
    lane.start(arena)
    want = lane.finish()
    del lane
    whole, lane = memory.capacity, Lane(programs, 0)
    memory.capacity, memory.refused = memory.used + (3 << 20), 0
    try:
        lane.start(arena)
        got = lane.finish()
        assert memory.refused > 1
        lane.start(Arena.lay_out([b"." * (5 << 20)]))
        with pytest.raises(DeviceMemoryError, match="of 5 MiB"):
            lane.finish()
    finally:
        memory.capacity = whole
    assert want.rows.size == 16
    assert sorted(got.rows.tolist()) == sorted(want.rows.tolist())


def test_memory_that_grows_behind_a_run_without_rows(emulated_gpu: Gpu) -> None:
    """Nothing that such a run queued is still to come when the next one replaces its buffers."""
    from vyre_dist.kernels.cuda.lane import Lane
    from vyre_dist.kernels.cuda.spans import SpanSearch
    from vyre_dist.program.span_tables import build_span_tables

    tables = make_tables(PATTERNS)
    spans = SpanSearch(
        emulated_gpu.device, TUNED, build_span_tables(compile_pack(PACK.data), tables)
    )
    lane = Lane(emulated_gpu.programs(tables, replace(TUNED, tile_bytes=512)), 0, spans)
    lane.list_hits(Arena.lay_out([b"...." * 10]))
    assert lane.confirm().rows.size == 0
    gc.collect()
    lane.start(Arena.lay_out([b"token=deadbeef " * 8_000] * 2))
    assert lane.finish().rows.size >= 16_000


def test_more_rows_than_have_numbers(emulated_gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """An arena with more rows than one run can count goes through in pieces; a document that has
    too many is an error.
    """
    from vyre_dist.kernels.cuda.lane import Lane

    programs = emulated_gpu.programs(make_tables([PATTERNS[0]]), TUNED)
    arena = Arena.lay_out([b"int x;\ntoken=deadbeef\n" * 3] * 10)
    lane = Lane(programs, 0)
    lane.start(arena)
    want = lane.finish()
    assert want.rows.size == 30
    monkeypatch.setattr(pending, "MOST_ROWS", 7)
    lane.start(arena)
    assert sorted(lane.finish().rows.tolist()) == sorted(want.rows.tolist())
    lane.list_hits(arena)
    assert sorted(lane.confirm().rows.tolist()) == sorted(want.rows.tolist())
    lane.start(Arena.lay_out([b"token=deadbeef\n" * 8]))
    with pytest.raises(DeviceMemoryError):
        lane.finish()


def test_host_memory_that_can_not_be_pinned(
    emulated_gpu: Gpu, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where documents lie is told from other memory then, and the log says so."""
    import cupy

    from vyre_dist.kernels.cuda.lane import Lane

    def refuse(size: int) -> None:
        raise cupy.cuda.runtime.CUDARuntimeError(2)

    programs = emulated_gpu.programs(make_tables([PATTERNS[0]]), TUNED)
    lane = Lane(programs, 0)
    monkeypatch.setattr(cupy.cuda, "alloc_pinned_memory", refuse)
    with caplog.at_level(logging.WARNING):
        lane.start(Arena.lay_out([b"token=deadbeef\n"] * 5))
        assert lane.finish().rows.size == 5
    assert "can't be pinned" in caplog.text


def make_backend() -> CudaBackend:
    """One with small tiles."""
    compiled, cache = compile_pack(PACK.data), ArtifactCache(None)
    return CudaBackend(compiled, cache, DevicePack(compiled, cache, tunables=TUNED).lane())


def test_backend(emulated_gpu: Gpu) -> None:
    """Whichever allocation of the backend's first batch fails, the spans are the same on both
    paths.
    """
    from vyre_dist.extract.window import whole

    backend = make_backend()
    rng = random.Random(6)
    windows = [whole(random_document(rng, 30)) for _ in range(7)]
    want = backend.run_fused(windows).spans

    def run_fused(_: None) -> None:
        assert backend.run_fused(windows).spans == want

    def run_prefilter(_: None) -> None:
        assert backend.confirm(windows, backend.run_prefilter(windows)).spans == want

    assert sum(map(len, want.values())) > 1000 // 24
    forget = backend.lane._forget  # type: ignore[attr-defined]
    assert refuse_each(emulated_gpu, forget, run_fused) >= 6
    assert refuse_each(emulated_gpu, forget, run_prefilter) >= 6


def test_scanner_is_told_to_stop(emulation: EmulatedCupy, emulated_gpu: Gpu) -> None:
    """A single window that does not fit is an error with what to do, not an endless halving."""
    from vyre_dist.extract.window import whole

    backend = make_backend()
    whole_memory = emulation.memory.capacity
    emulation.memory.capacity = emulation.memory.used + (1 << 20)
    try:
        with pytest.raises(DeviceMemoryError, match="smaller --shard-size"):
            backend.run_fused([whole(b"." * (2 << 20))] * 3)
    finally:
        emulation.memory.capacity = whole_memory
    assert len(backend.run_fused([whole(b"token=deadbeef")]).spans[0]) > 0


DENSE_PACK = RulePack.from_patterns({"a": "token=[0-9a-f]{8}"})
DENSE = b"token=deadbeef " * 8_000


def dense_need(gpu: Gpu, device_pack: DevicePack) -> int:
    """The device memory that a lane holds when it is done with DENSE."""
    assert gpu.emulated is not None
    used = gpu.emulated.memory.used
    lane = device_pack.lane()
    assert lane.fused(Arena.lay_out([DENSE])).rows.size == 8_000
    need = gpu.emulated.memory.used - used
    del lane
    gc.collect()
    return need


def test_idle_slots_give_way(emulated_gpu: Gpu) -> None:
    """Lists that grew for other documents, which are done, or can be begun anew, take nobody's
    room.
    """
    assert emulated_gpu.emulated is not None
    memory = emulated_gpu.emulated.memory
    compiled = compile_pack(DENSE_PACK.data)
    device_pack = DevicePack(compiled, ArtifactCache(None))
    whole_memory = memory.capacity
    memory.capacity = memory.used + dense_need(emulated_gpu, device_pack) * 19 // 10
    try:
        with (
            ExtractionPool(DENSE_PACK.data, compiled, device_pack.reading, 1) as pool,
            GpuStream(device_pack, DENSE_PACK.data, pool, slots=3, slot_bytes=len(DENSE)) as stream,
        ):
            sizes = [len(rows) for _, rows in stream.scan((n, str(n), DENSE) for n in range(6))]
    finally:
        memory.capacity = whole_memory
    assert sizes == [8_000] * 6


@pytest.mark.parametrize("texts", [[], [b""], [b"token=deadbeef"]])
def test_a_lane_that_gave_way_between_both_halves(emulated_gpu: Gpu, texts: list[bytes]) -> None:
    """What it had listed is listed again, also where there was nothing to list."""
    del emulated_gpu
    lane = DevicePack(compile_pack(DENSE_PACK.data), ArtifactCache(None)).lane()
    lane.list_hits(Arena.lay_out(texts))
    lane.release()
    assert lane.confirm().rows.size == len(b"".join(texts)) // 14
