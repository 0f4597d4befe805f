"""What bounds a scan of files: reading them alone, and copying from pinned memory to all GPUs."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import NamedTuple

import numpy as np

PIECE_BYTES = 32 << 20
PINNED_BYTES = 1 << 30
START_SECONDS = 120.0


class FilePiece(NamedTuple):
    """A part of a file, as a scan's task has it."""

    path: str
    start: int
    length: int


def pieces_of(files: Sequence[tuple[str, int]]) -> list[FilePiece]:
    """`files`: (path, size). Large ones are cut as a scan cuts them."""
    return [
        FilePiece(path, start, min(PIECE_BYTES, size - start))
        for path, size in files
        for start in range(0, size, PIECE_BYTES)
    ]


def reader_rate(pieces: list[FilePiece], processes: int, seconds: float) -> float:
    """Bytes a second of so many processes, each of which reads its share of the pieces into one
    buffer, again and again for so many seconds.

    They are forked, and have touched their buffers, before the clock starts.
    """
    context = get_context("fork")
    barrier = context.Barrier(processes)
    ends = []
    children = []
    for number in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        # fewer pieces than processes: they share
        share = pieces[number::processes] or pieces
        child = context.Process(target=_read, args=(share, barrier, seconds, theirs), daemon=True)
        child.start()
        theirs.close()
        ends.append(ours)
        children.append(child)
    return _sum_of(ends, children)


def _read(share: list[FilePiece], barrier: Barrier, seconds: float, end: Connection) -> None:
    buffer = memoryview(bytearray(b"\1") * max(piece.length for piece in share))
    barrier.wait(START_SECONDS)
    began = time.perf_counter()
    total, taken = 0, 0.0
    while taken < seconds:
        for path, start, length in share:
            fd = os.open(path, os.O_RDONLY)
            total += os.preadv(fd, [buffer[:length]], start)
            os.close(fd)
            taken = time.perf_counter() - began
            if taken >= seconds:
                break
    end.send(total / taken)


def copies_rate(gpus: int, seconds: float) -> float:
    """Bytes a second of copies from pinned memory to the first `gpus` GPUs at once, each from a
    process of its own.
    """
    context = get_context("spawn")  # CUDA does not outlive a fork
    barrier = context.Barrier(gpus)
    ends, children = [], []
    for gpu in range(gpus):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_copy, args=(gpu, barrier, seconds, theirs), daemon=True)
        child.start()
        theirs.close()
        ends.append(ours)
        children.append(child)
    return _sum_of(ends, children)


def _copy(gpu: int, barrier: Barrier, seconds: float, end: Connection) -> None:
    import cupy

    runtime = cupy.cuda.runtime
    with contextlib.suppress(OSError, ValueError):
        os.sched_setaffinity(0, near(runtime.deviceGetPCIBusId(gpu)))
    with cupy.cuda.Device(gpu):
        pinned = cupy.cuda.alloc_pinned_memory(PINNED_BYTES)
        np.frombuffer(pinned, np.uint8, PINNED_BYTES)[:] = 7  # by a processor near the GPU
        there, stream = cupy.cuda.alloc(PINNED_BYTES), cupy.cuda.Stream(non_blocking=True)

        def copy() -> None:
            runtime.memcpyAsync(
                there.ptr, pinned.ptr, PINNED_BYTES, runtime.memcpyHostToDevice, stream.ptr
            )

        copy()
        stream.synchronize()
        barrier.wait(START_SECONDS)
        began = time.perf_counter()
        total, taken = 0, 0.0
        copy()
        while taken < seconds:  # one is always queued behind the one under way
            event = stream.record()
            copy()
            event.synchronize()
            total += PINNED_BYTES
            taken = time.perf_counter() - began
        end.send(total / taken)
        stream.synchronize()


def near(bus_id: str) -> set[int]:
    """The processors near a PCI device that this process may use; all of them if none is."""
    ours = os.sched_getaffinity(0)
    folder = Path("/sys/bus/pci/devices") / bus_id.lower()[-12:]
    listed = (folder / "local_cpulist").read_text().strip()
    spans = [part.split("-") for part in listed.split(",") if part]
    return {n for span in spans for n in range(int(span[0]), int(span[-1]) + 1)} & ours or ours


def _sum_of(ends: list[Connection], children: Sequence[BaseProcess]) -> float:
    try:
        rates = [end.recv() for end in ends]
    except EOFError:
        raise SystemExit("a process that measures has ended before it had a result") from None
    for child in children:
        child.join()
    return float(sum(rates))
