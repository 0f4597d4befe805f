"""ExtractionPool: processes that turn a GPU's rows into findings, each at the other end of a pipe.

What drives a GPU has a few milliseconds for each batch. A pool with threads in this process, such
as the standard library's executor, would compete with it for the interpreter, several times a
batch.
"""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import pickle
import queue
import selectors
import signal
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from vyre_dist.engine.worker_process import STOP_SECONDS, detail_of, end, receive
from vyre_dist.errors import VyreError
from vyre_dist.import_path import guarded_children
from vyre_dist.program import CompiledPack
from vyre_dist.rows.reading import RowReading
from vyre_dist.rules.codec import decode_pack, encode_pack
from vyre_dist.rules.model import PackData
from vyre_dist.stream.extraction import Extractor, Found, RowJob


class ExtractionWorkerError(VyreError):
    """A job failed, or its worker ended. What was found of its batch is incomplete: scan the batch
    again.
    """


class Extraction:
    """A job on its way. Not thread-safe, like its pool."""

    def __init__(self, pool: ExtractionPool) -> None:
        self._pool = pool
        self._found: Found | None = None
        self._error = ""

    def done(self) -> bool:
        """Whether `result` returns at once."""
        if not self._settled:
            self._pool.poll(0)
        return self._settled

    def result(self) -> Found:
        """The findings, when they are there. Raises ExtractionWorkerError: the job failed, or its
        worker ended.
        """
        while not self._settled:
            self._pool.poll(None)
        if self._found is None:
            raise ExtractionWorkerError(self._error)
        return self._found

    @property
    def _settled(self) -> bool:
        return self._found is not None or bool(self._error)

    def settle(self, found: Found | None, error: str) -> None:
        """For the pool: what came of it."""
        self._found, self._error = found, error


@dataclass(slots=True, eq=False)
class _Worker:
    process: Any
    connection: Connection
    ready: bool = False
    waiting: deque[Extraction] = field(default_factory=deque)


class ExtractionPool:
    """`workers` processes that extract. `close` it, or use `with`. Not thread-safe."""

    def __init__(
        self, pack: PackData, compiled: CompiledPack, reading: RowReading, workers: int
    ) -> None:
        """Start the processes; they need seconds to be ready, and take jobs meanwhile."""
        self.workers = workers
        self._selector = selectors.DefaultSelector()
        self._pool: list[_Worker] = []
        # spawned: a forked child would inherit a CUDA context that it can't use
        context = multiprocessing.get_context("spawn")
        start = (encode_pack(pack), compiled, reading)
        for number in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(theirs, *start), name=f"vyre-extraction-{number}", daemon=True
            )
            with guarded_children():
                process.start()
            theirs.close()
            worker = _Worker(process, ours)
            self._pool.append(worker)
            self._selector.register(ours, selectors.EVENT_READ, worker)

    def __enter__(self) -> ExtractionPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Return when all workers have started. Raises ExtractionWorkerError when one ends
        instead.
        """
        while not all(worker.ready for worker in self._pool):
            self.poll(None)
            for worker in self._pool:
                if worker.connection.closed:
                    raise ExtractionWorkerError(_obituary(worker))

    def submit(self, shared: str, jobs: Sequence[RowJob]) -> list[Extraction]:
        """Extract `jobs` from the shared memory called `shared`. Raises ExtractionWorkerError when
        no worker is left.
        """
        taken = []
        for job in jobs:
            alive = [worker for worker in self._pool if not worker.connection.closed]
            if not alive:
                raise ExtractionWorkerError("all extraction workers have ended; start a new pool")
            worker = min(alive, key=lambda worker: len(worker.waiting))
            message = pickle.dumps((shared, job))
            extraction = Extraction(self)
            worker.waiting.append(extraction)
            taken.append(extraction)
            try:
                worker.connection.send_bytes(message)
            except OSError:
                pass  # it is gone: poll reads the end of its pipe and says so
            except BaseException as error:
                self._lose(worker, f"a job for it was broken off ({error!r})")
                raise
        return taken

    def forget(self, shared: Sequence[str]) -> None:
        """Tell the workers that these shared memories are not used any more: while one has them
        mapped they take room.
        """
        for worker in self._pool:
            with contextlib.suppress(OSError):
                worker.connection.send_bytes(pickle.dumps((tuple(shared), None)))

    def poll(self, timeout: float | None) -> None:
        """Take in what workers have answered; waits for `timeout` seconds (None: as long as it
        takes) for an answer.
        """
        for key, _ in self._selector.select(timeout):
            self._read(key.data)

    def _read(self, worker: _Worker) -> None:
        try:
            data = worker.connection.recv_bytes()
            if not worker.ready:
                worker.ready = True
                return
            # from a process of this pool over a pipe of its own, not from a network
            found, error = pickle.loads(data)  # noqa: S301
        except (EOFError, OSError):
            self._lose(worker, "")
        except BaseException as broken:
            self._lose(worker, f"an answer of it was broken off ({broken!r})")
            raise
        else:
            worker.waiting.popleft().settle(found, error)

    def _lose(self, worker: _Worker, why: str) -> None:
        """Do without `worker`, which is gone, or of which nobody knows any more what its next
        answer is to.
        """
        self._selector.unregister(worker.connection)
        worker.connection.close()
        error = why and f"extraction worker {worker.process.pid} was given up: {why}"
        error = error or _obituary(worker)
        while worker.waiting:
            worker.waiting.popleft().settle(None, error)

    def close(self) -> None:
        """End the workers. What is still on its way is dropped."""
        for worker in self._pool:
            worker.connection.close()
        for worker in self._pool:
            end(worker.process)
        self._pool.clear()
        self._selector.close()


def _obituary(worker: _Worker) -> str:
    worker.process.join(STOP_SECONDS)
    return f"extraction worker {worker.process.pid} ended with exit code {worker.process.exitcode}"


def _serve(
    connection: Connection, pack: bytes, compiled: CompiledPack, reading: RowReading
) -> None:
    """The worker's life: load, then answer until the pool is gone."""
    # Ctrl-C reaches the whole process group; the pool's process ends its workers by closing their
    # pipes
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    extractor = Extractor.of(decode_pack(pack), compiled, reading)
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=receive, args=(connection, tasks), daemon=True).start()
    attached: dict[str, memoryview] = {}
    with contextlib.suppress(OSError):
        connection.send_bytes(b"ready")
        while True:
            shared, job = pickle.loads(tasks.get())  # noqa: S301  # the pool's end of our own pipe
            if job is None:
                for name in shared:
                    attached.pop(name, None)
            else:
                connection.send_bytes(pickle.dumps(_answer(extractor, attached, shared, job)))


def _answer(
    extractor: Extractor, attached: dict[str, memoryview], shared: str, job: RowJob
) -> tuple[Found | None, str]:
    try:
        data = attached.get(shared)
        if data is None:
            data = attached[shared] = _attach(shared)
        return extractor.run(data, job), ""
    except Exception as error:  # noqa: BLE001 - it is raised where the job came from, and the worker lives on
        return None, detail_of(error)


def _attach(name: str) -> memoryview:
    """The shared memory's bytes, for reading. The parent owns it: a worker's end must not take it
    away from the others.

    (Before Python 3.13, SharedMemory registers whatever is attached for removal at this process's
    end.)
    """
    with open(f"/dev/shm/{name}", "rb") as file:  # noqa: S108  # where shm_open keeps it, on Linux
        # pages are mapped as they are read: a worker reads few of them, and to map them all takes
        # longer than a batch
        return memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
