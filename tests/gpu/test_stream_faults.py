"""GpuStream after errors: no slot is lost, nothing of one scan comes out of the next, and nothing stays registered."""

from __future__ import annotations

import logging
import mmap
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from gpu_device import Gpu
from gpu_support import PATTERNS, random_document

from vyre_dist import RulePack
from vyre_dist.compiler.arena import Arena
from vyre_dist.engine.extraction_pool import ExtractionPool, ExtractionWorkerError
from vyre_dist.engine.gpu_stream import GpuStream
from vyre_dist.engine.slots import ArenaBatch
from vyre_dist.errors import UsageError
from vyre_dist.kernels.cuda.device_pack import DevicePack
from vyre_dist.kernels.cuda.host_memory import HostRegistry
from vyre_dist.program import ArtifactCache, compile_pack

PACK = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})
SLOTS, SLOT_BYTES = 3, 1 << 16


@contextmanager
def open_stream(workers: int = 1) -> Iterator[tuple[GpuStream, ExtractionPool]]:
    compiled = compile_pack(PACK.data)
    device_pack = DevicePack(compiled, ArtifactCache(None))
    with (
        ExtractionPool(PACK.data, compiled, device_pack.reading, workers) as pool,
        GpuStream(device_pack, PACK.data, pool, slots=SLOTS, slot_bytes=SLOT_BYTES) as stream,
    ):
        yield stream, pool


def documents(first: int, count: int) -> list[tuple[int, str, bytes]]:
    rng = random.Random(first)
    return [(first + n, f"d{first + n}", random_document(rng, 400)) for n in range(count)]


def numbers(stream: GpuStream, first: int) -> list[int]:
    """What a scan of 30 documents, numbered from `first`, is said to have scanned."""
    return [number for batch, _ in stream.scan(documents(first, 30)) for number in batch.numbers]


def test_errors_cost_no_slot(gpu: Gpu) -> None:
    """However often a scan ends with an error or is left, the next one has all slots and only its own documents."""
    del gpu
    with open_stream() as (stream, _):
        assert numbers(stream, 0) == list(range(30))
        big = (99, "big", b"x" * (SLOT_BYTES + 1))
        for turn in range(SLOTS + 1):
            with pytest.raises(UsageError, match="big has"):
                list(stream.scan([*documents(100 * turn, 20), big]))
            assert next(iter(stream.scan(documents(100 * turn, 60))))  # and no further
            assert len(stream._free) == SLOTS
        assert numbers(stream, 1000) == list(range(1000, 1030))


def test_workers_that_end_cost_no_slot(gpu: Gpu) -> None:
    """When all extraction workers are gone each scan says so, and the slots are free again."""
    del gpu
    with open_stream(workers=2) as (stream, pool):
        for worker in pool._pool:
            worker.process.kill()
        for _ in range(SLOTS + 1):
            with pytest.raises(ExtractionWorkerError):
                numbers(stream, 0)
            assert len(stream._free) == SLOTS


def test_a_device_without_room_for_all_slots(emulated_gpu: Gpu) -> None:
    """What was made for the first of them is given back, registrations and shared memory included."""
    assert emulated_gpu.emulated is not None
    emulated = emulated_gpu.emulated
    compiled = compile_pack(PACK.data)
    device_pack = DevicePack(compiled, ArtifactCache(None))
    before, registered = set(os.listdir("/dev/shm")), set(emulated._registered)  # noqa: S108
    with ExtractionPool(PACK.data, compiled, device_pack.reading, 1) as pool:
        emulated.memory.refuse_at = 1
        with pytest.raises(MemoryError, match="refused for once"):
            GpuStream(device_pack, PACK.data, pool, slots=SLOTS, slot_bytes=SLOT_BYTES)
        assert set(os.listdir("/dev/shm")) <= before  # noqa: S108
        assert emulated._registered == registered
        with GpuStream(device_pack, PACK.data, pool, slots=SLOTS, slot_bytes=SLOT_BYTES) as stream:
            assert numbers(stream, 0) == list(range(30))


@pytest.mark.parametrize("name", ["plasmaTEST", "other", ""])
def test_only_rays_store_is_registered(
    emulated_gpu: Gpu, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays mapped; other memory may be gone while CUDA goes on with its pages. All of it is scanned alike."""
    assert emulated_gpu.emulated is not None
    text = random_document(random.Random(4), 400)
    size = -(-len(text) // mmap.PAGESIZE) * mmap.PAGESIZE
    # as Ray does: a file of the shared memory that has no name any more
    folder = "/dev/shm" if name else str(tmp_path)  # noqa: S108
    path = f"{folder}/{name or 'plasma'}{os.getpid()}"
    with open(path, "x+b") as file:
        os.unlink(path)
        file.truncate(size)
        memory = mmap.mmap(file.fileno(), size)
    memory[: len(text)] = text
    data = np.frombuffer(memory, np.uint8, len(text))
    ends = np.array([len(text)], np.int64)
    whole = np.ones(1, bool)
    with open_stream() as (stream, _), caplog.at_level(logging.WARNING):
        rows = [row for _, own in stream.scan([(7, "d", text)]) for row in own]
        registered = set(emulated_gpu.emulated._registered)
        for _ in range(2):
            slot = stream.free_slot()
            assert slot is not None
            arena = Arena(data, np.zeros(1, np.int64), ends, whole, whole)
            assert list(stream.put(ArenaBatch(arena, ["d"], [7], slot))) == []
            [(_, got)] = stream.drain()
            assert got == rows
        assert len(rows) > 3
        new = emulated_gpu.emulated._registered - registered
        warned = [r for r in caplog.records if "neither in a slot nor in Ray's object store" in r.message]
    assert (len(new), len(warned)) == ((1, 0) if name.startswith("plasma") else (0, 1))


def test_mappings_that_were_refused_stay_so(emulated_gpu: Gpu) -> None:
    """Both ways to register know of each other."""
    del emulated_gpu
    memory = np.frombuffer(mmap.mmap(-1, 1 << 16), np.uint8)
    owner, other = HostRegistry(), HostRegistry()
    assert not owner.register_store(memory)
    assert owner.register(memory)
    assert owner.register_store(memory[100:])
    assert not other.register(memory)
    assert not other.register_store(memory)
    owner.close()
