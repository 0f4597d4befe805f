"""Slots: documents and files are packed until a slot is full; nothing is lost on the way."""

from __future__ import annotations

import itertools
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vyre_dist.engine.tasks import DocumentProblem
from vyre_dist.errors import UsageError
from vyre_dist.stream.gpu_stream import fitting_slots
from vyre_dist.stream.slots import ArenaBatch, Slot

SIZE = 4096


@pytest.fixture
def slot() -> Any:
    memory = SharedMemory(create=True, size=SIZE)
    lane: Any = None
    own = Slot(memory, np.ndarray((SIZE,), np.uint8, memory.buf), lane)
    yield own
    own.data = np.empty(0, np.uint8)
    memory.close()
    memory.unlink()


def contents(batch: ArenaBatch) -> list[tuple[int, str, bytes]]:
    """What a batch holds."""
    arena = batch.arena
    texts = [arena.data[s:e].tobytes() for s, e in zip(arena.starts, arena.ends, strict=True)]
    assert (arena.starts % 16 == 0).all()
    return list(zip(batch.numbers, batch.paths, texts, strict=True))


@pytest.mark.parametrize(
    ("device", "shared", "want"),
    [
        (9 << 30, 8 << 30, 1 << 30),
        (9 << 30, (8 << 30) - 1, 1 << 29),
        ((9 << 30) - 1, 8 << 30, 1 << 29),
        (9 << 20, 8 << 20, 1 << 20),
    ],
)
def test_slots_fit_into_what_is_free(device: int, shared: int, want: int) -> None:
    """Slots are halved until the device and shared memory hold all eight of them."""
    assert fitting_slots(8, 1 << 30, device, shared) == want


def test_too_little_memory_is_said() -> None:
    """Where not even the smallest slots fit, what is free is said and what helps."""
    with pytest.raises(UsageError, match=r"7 MiB of shared memory .* 8 slots of 1 MiB.*--shm-size"):
        fitting_slots(8, 1 << 30, 9 << 30, (8 << 20) - 1)


SIZES = [0, 1, 15, 16, 17, 1000, 3000, 0, 4096, 4095, 4081, 1, 2048, 2048, 1, 0]


def test_documents_fill_slots(slot: Slot) -> None:
    """Batches hold all documents in order, each as many as fit."""
    documents = [(n, f"d{n}", bytes([n]) * size) for n, size in enumerate(SIZES)]
    waiting, packed = iter(documents), []
    batches, left = 0, None
    while True:
        batch, left = slot.fill(waiting if left is None else itertools.chain([left], waiting))
        packed += contents(batch)
        batches += 1
        if left is None:
            break
    assert packed == documents
    assert batches == 6
    with pytest.raises(UsageError, match="big has 4097 bytes"):
        slot.fill([(0, "big", b"x" * 4097)])


def test_files_fill_slots(slot: Slot, tmp_path: Path) -> None:
    """The same of files; what can't be read or is too large is named, and the others are packed."""
    files, want = [], []
    for n, size in enumerate(SIZES):
        path = tmp_path / f"f{n}"
        path.write_bytes(bytes([n + 1]) * size)
        files.append((n, f"f{n}", str(path)))
        want.append((n, f"f{n}", path.read_bytes()))
    big = tmp_path / "big"
    big.write_bytes(b"x" * 4097)
    files[3:3] = [
        (100, "gone", str(tmp_path / "gone")),
        (101, "folder", str(tmp_path)),
        (102, "big", str(big)),
    ]
    files += [(103, "last", "/proc/self/cmdline")]
    problems: list[DocumentProblem] = []
    waiting, packed = iter(files), []
    left = None
    while True:
        batch, left = slot.fill_files(
            waiting if left is None else itertools.chain([left], waiting), problems
        )
        packed += contents(batch)
        if left is None:
            break
    assert packed[:-1] == want
    # its size is said to be 0
    assert packed[-1] == (103, "last", Path("/proc/self/cmdline").read_bytes())
    assert [(number, reason) for number, reason, _ in problems] == [
        (100, "vanished"),
        (101, "not-a-file"),
        (102, "too-large"),
    ]
    assert "4096 bytes" in problems[-1][2]
