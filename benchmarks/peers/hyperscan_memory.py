"""Hyperscan on all processors over documents in memory: the best CPU engine, given everything a GPU
scan is given.

Processes attach to one shared arena and take documents in turns; each has the whole pack as one
block-mode database with HS_FLAG_SINGLEMATCH (at most one report for each document and rule).
Debian's libhyperscan through ctypes where there is one (it picks code for the processor; the PyPI
wheel does not), else the wheel.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

_SINGLEMATCH, _BLOCK = 8, 1
_ON_EVENT = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_ulonglong,
    ctypes.c_ulonglong,
    ctypes.c_uint,
    ctypes.c_void_p,
)


class _Library:
    """Debian's (or any) libhs."""

    def __init__(self, path: str, patterns: Sequence[bytes]) -> None:
        self._hs = ctypes.CDLL(path)
        self._hs.hs_version.restype = ctypes.c_char_p
        self.name = f"libhs {self._hs.hs_version().decode()}"
        count = len(patterns)
        database, error = ctypes.c_void_p(), ctypes.c_void_p()
        code = self._hs.hs_compile_multi(
            (ctypes.c_char_p * count)(*patterns),
            (ctypes.c_uint * count)(*[_SINGLEMATCH] * count),
            (ctypes.c_uint * count)(*range(count)),
            ctypes.c_uint(count),
            ctypes.c_uint(_BLOCK),
            None,
            ctypes.byref(database),
            ctypes.byref(error),
        )
        if code:
            raise RuntimeError(f"hs_compile_multi: {code}")
        self._database, self._scratch = database, ctypes.c_void_p()
        self._hs.hs_alloc_scratch(database, ctypes.byref(self._scratch))
        self.hits = 0

        def on_event(*_: Any) -> int:
            self.hits += 1
            return 0

        self._on_event = _ON_EVENT(on_event)

    def scan(self, address: int, length: int) -> None:
        self._hs.hs_scan(
            self._database,
            ctypes.c_void_p(address),
            ctypes.c_uint(length),
            ctypes.c_uint(0),
            self._scratch,
            self._on_event,
            None,
        )


class _Wheel:
    """The PyPI wheel's."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        import hyperscan

        self.name = f"PyPI wheel {hyperscan.__version__}"
        self._database = hyperscan.Database()
        self._database.compile(
            expressions=list(patterns),
            ids=list(range(len(patterns))),
            flags=hyperscan.HS_FLAG_SINGLEMATCH,
        )
        self.hits = 0

    def _on_event(self, *_: Any) -> None:
        self.hits += 1

    def scan(self, address: int, length: int) -> None:
        self._database.scan(ctypes.string_at(address, length), match_event_handler=self._on_event)


def _open(patterns: Sequence[bytes], library: str | None) -> _Library | _Wheel:
    path = library or ctypes.util.find_library("hs")
    return _Library(path, patterns) if path else _Wheel(patterns)


def _worker(
    shared: str,
    starts: Any,
    ends: Any,
    patterns: Sequence[bytes],
    library: str | None,
    counter: Any,
    start: Any,
    out: Any,
) -> None:
    engine = _open(patterns, library)
    memory = SharedMemory(shared)
    base = np.frombuffer(memory.buf, np.uint8).ctypes.data
    start.wait()
    while True:
        with counter.get_lock():
            first = counter.value
            counter.value += 64
        if first >= len(starts):
            break
        for low, high in zip(starts[first : first + 64], ends[first : first + 64], strict=True):
            engine.scan(base + low, high - low)
    out.put((engine.hits, engine.name, time.perf_counter()))
    out.close()
    out.join_thread()
    # the views go with the process; closing the memory first would be an error
    import os

    os._exit(0)


def measure(
    data: np.ndarray[Any, Any],
    starts: Sequence[int],
    ends: Sequence[int],
    patterns: Sequence[bytes],
    workers: int,
    library: str | None = None,
) -> tuple[float, int, str]:
    """(seconds from the common start to the last end, (document, rule) hits, which Hyperscan)."""
    context = multiprocessing.get_context("spawn")
    memory = SharedMemory(create=True, size=data.size)
    view = np.ndarray(data.shape, np.uint8, memory.buf)
    view[:] = data
    del view
    counter, start, out = context.Value("L", 0), context.Barrier(workers + 1), context.Queue()
    arguments = (
        memory.name,
        list(starts),
        list(ends),
        list(patterns),
        library,
        counter,
        start,
        out,
    )
    processes = [context.Process(target=_worker, args=arguments) for _ in range(workers)]
    for process in processes:
        process.start()
    start.wait()
    began = time.perf_counter()
    done = [out.get() for _ in processes]
    for process in processes:
        process.join()
    memory.close()
    memory.unlink()
    # CLOCK_MONOTONIC is one clock for all processes
    return max(ended for _, _, ended in done) - began, sum(hits for hits, _, _ in done), done[0][1]
