"""GpuStream after errors: no slot is lost, nothing of one scan comes out of the next, and nothing
stays registered.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from gpu_device import Gpu
from gpu_support import PATTERNS, random_document

from vyre_dist import RulePack
from vyre_dist.compiler.arena import Arena
from vyre_dist.errors import UsageError
from vyre_dist.kernels.cuda.device_pack import DevicePack
from vyre_dist.kernels.cuda.host_memory import HostRegistry
from vyre_dist.program import ArtifactCache, CompiledPack, compile_pack
from vyre_dist.stream import ArenaBatch, ExtractionPool, ExtractionWorkerError, GpuStream

PACK = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})
SLOTS, SLOT_BYTES = 3, 1 << 15


@cache
def compiled_pack() -> tuple[CompiledPack, ArtifactCache]:
    """PACK, and a cache that has its tables from the second time on."""
    return compile_pack(PACK.data), ArtifactCache(os.environ["XDG_CACHE_HOME"])


@contextmanager
def open_stream(workers: int = 1) -> Iterator[tuple[GpuStream, ExtractionPool]]:
    compiled, artifacts = compiled_pack()
    device_pack = DevicePack(compiled, artifacts)
    with (
        ExtractionPool(PACK.data, compiled, device_pack.reading, workers) as pool,
        GpuStream(device_pack, PACK.data, pool, slots=SLOTS, slot_bytes=SLOT_BYTES) as stream,
    ):
        yield stream, pool


def documents(first: int, count: int) -> list[tuple[int, str, bytes]]:
    rng = random.Random(first)
    return [(first + n, f"d{first + n}", random_document(rng, 200)) for n in range(count)]


def numbers(stream: GpuStream, first: int) -> list[int]:
    """What a scan of 30 documents, numbered from `first`, is said to have scanned."""
    return [number for batch, _ in stream.scan(documents(first, 30)) for number in batch.numbers]


def test_errors_cost_no_slot(gpu: Gpu) -> None:
    """However often a scan ends with an error or is left, the next one has all slots and only its
    own documents.
    """
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
            worker.child.process.kill()
        for _ in range(SLOTS + 1):
            with pytest.raises(ExtractionWorkerError):
                numbers(stream, 0)
            assert len(stream._free) == SLOTS


def test_a_device_without_room_for_all_slots(emulated_gpu: Gpu) -> None:
    """What was made for the first of them is given back, registrations and shared memory
    included.
    """
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
    """It stays mapped; other memory may be gone while CUDA goes on with its pages. All of it is
    scanned alike.
    """
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
        warned = [
            r for r in caplog.records if "neither in a slot nor in Ray's object store" in r.message
        ]
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


def test_a_scan_that_somebody_still_holds(gpu: Gpu) -> None:
    """What a scan that was left has on its way comes out of no other one, and its iterator takes
    nothing from that.
    """
    del gpu
    with open_stream() as (stream, _):
        left = stream.scan(documents(0, 200))
        assert next(left)
        seen: list[int] = []
        for batch, _ in stream.scan(documents(1000, 120)):
            seen += batch.numbers
            with pytest.raises((UsageError, StopIteration), match=r"another scan has begun|^$"):
                next(left)
        assert seen == list(range(1000, 1120))
        assert len(stream._free) == SLOTS
        left.close()
        assert numbers(stream, 2000) == list(range(2000, 2030))


def test_a_scan_after_a_put(gpu: Gpu) -> None:
    """What was put and not taken is not dropped by a scan, nor taken for the scan's."""
    del gpu
    with open_stream() as (stream, _):
        slot = stream.free_slot()
        assert slot is not None
        batch, _ = slot.fill(iter(documents(0, 3)))
        assert list(stream.put(batch)) == []
        with pytest.raises(UsageError, match="take what `drain` yields"):
            numbers(stream, 100)
        assert [own.numbers for own, _ in stream.drain()] == [[0, 1, 2]]
        assert numbers(stream, 100) == list(range(100, 130))


def test_more_than_a_slot_is_refused(gpu: Gpu) -> None:
    """An arena that lies elsewhere must fit the slot; the slot is free again."""
    del gpu
    text = b"x" * (SLOT_BYTES // 2 + 1)
    with open_stream() as (stream, _):
        for _ in range(SLOTS + 1):
            slot = stream.free_slot()
            assert slot is not None
            batch = ArenaBatch(Arena.lay_out([text, text]), ["a", "b"], [0, 1], slot)
            with pytest.raises(UsageError, match=f"{2 * len(text)} bytes of documents"):
                list(stream.put(batch))
        assert numbers(stream, 0) == list(range(30))


def test_an_arena_outlives_its_stream(gpu: Gpu) -> None:
    """Whoever holds a batch's arena can read there as long as he likes."""
    del gpu
    with open_stream() as (stream, _):
        arenas = [batch.arena for batch, _ in stream.scan(documents(0, 3))]
    text = b"".join(text for _, _, text in documents(0, 3))
    held = b"".join(
        arena.data[low:high].tobytes()
        for arena in arenas
        for low, high in zip(arena.starts.tolist(), arena.ends.tolist(), strict=True)
    )
    assert held == text


@pytest.mark.parametrize("odd", [0, 1, 15])
def test_an_empty_file_behind_a_full_slot(gpu: Gpu, odd: int, tmp_path: Path) -> None:
    """A slot has room for an empty document behind its last byte, whatever size was asked for."""
    del gpu
    compiled = compile_pack(PACK.data)
    device_pack = DevicePack(compiled, ArtifactCache(None))
    files = []
    for number, size in enumerate((SLOT_BYTES + odd, 0, 5)):
        (tmp_path / str(number)).write_bytes(b"." * size)
        files.append((number, str(number), str(tmp_path / str(number))))
    with (
        ExtractionPool(PACK.data, compiled, device_pack.reading, 1) as pool,
        GpuStream(device_pack, PACK.data, pool, slots=SLOTS, slot_bytes=SLOT_BYTES + odd) as stream,
    ):
        assert [n for batch, _ in stream.scan_files(files) for n in batch.numbers] == [0, 1, 2]
        assert not stream.problems


def test_shared_memory_that_fills_up(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else takes what was free a moment ago: an error, and everything is given back."""
    del gpu
    real = os.posix_fallocate
    taken: list[str] = []

    def fills_up(file: int, offset: int, size: int) -> None:
        taken.append(os.readlink(f"/proc/self/fd/{file}"))
        if len(taken) == SLOTS:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", fills_up)
    with pytest.raises(UsageError, match="has no room for a slot"), open_stream():
        pass
    assert len(taken) == SLOTS
    assert not any(map(os.path.exists, taken))


@pytest.mark.parametrize("direction", ["dumps", "loads"])
def test_a_job_that_breaks_off(gpu: Gpu, direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that runs out while a job or its answer is on its way: no later batch gets another
    one's findings.
    """
    del gpu
    fired: list[str] = []

    def once(*arguments: object) -> object:
        if not fired:
            fired.append(direction)
            raise MemoryError("for once")
        return real(*arguments)

    with open_stream(workers=2) as (stream, _):
        want = [(batch.numbers, rows) for batch, rows in stream.scan(documents(0, 60))]
        assert sum(len(rows) for _, rows in want) > 10
        real = getattr(pickle, direction)
        monkeypatch.setattr(pickle, direction, once)
        with pytest.raises(MemoryError, match="for once"):
            list(stream.scan(documents(0, 60)))
        assert fired
        assert [(batch.numbers, rows) for batch, rows in stream.scan(documents(0, 60))] == want
        assert len(stream._free) == SLOTS


def test_parts_of_what_was_refused(gpu: Gpu) -> None:
    """Whoever puts the parts into the slot that he has does not share it with the next one who asks
    for a slot.
    """
    del gpu
    text = b"token=deadbeef " * (SLOT_BYTES // 16)
    with open_stream() as (stream, _):
        slot = stream.free_slot()
        assert slot is not None
        with pytest.raises(UsageError, match="put it in parts"):
            list(stream.put(ArenaBatch(Arena.lay_out([text, text]), ["a", "b"], [0, 1], slot)))
        assert list(stream.put(ArenaBatch(Arena.lay_out([text]), ["a"], [0], slot))) == []
        others = [stream.free_slot() for _ in range(SLOTS)]
        assert slot not in others and others.count(None) == 1
        assert [batch.numbers for batch, _ in stream.drain()] == [[0]]


def test_a_put_after_a_scan_that_was_left(gpu: Gpu) -> None:
    """The scan ends there; what was put comes out, and a scan does not begin before it has."""
    del gpu
    with open_stream() as (stream, _):
        left = stream.scan(documents(0, 200))
        assert next(left)
        slot = stream.free_slot() or stream.next_finished()[0].slot
        batch, _ = slot.fill(iter(documents(1000, 3)))
        assert list(stream.put(batch)) == []
        with pytest.raises(UsageError, match="take what `drain` yields"):
            numbers(stream, 100)
        with pytest.raises(UsageError, match="another scan has begun"):
            next(left)
        assert [own.numbers for own, _ in stream.drain()] == [[1000, 1001, 1002]]
        assert numbers(stream, 2000) == list(range(2000, 2030))
        assert len(stream._free) == SLOTS
