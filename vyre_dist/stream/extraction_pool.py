"""ExtractionPool: processes that turn a GPU's rows into findings, each at the other end of a pipe.

The process that drives a GPU has a few milliseconds for each batch. A pool that keeps threads in
it, as the standard library's executor does, would compete with it for the interpreter, several
times a batch.
"""

from __future__ import annotations

import contextlib
import mmap
import pickle
import selectors
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from vyre_dist.errors import VyreError
from vyre_dist.processes.child import Child
from vyre_dist.processes.messages import DONE, FAILED, message, read_message, text_message
from vyre_dist.processes.serve import answer_all, detail_of
from vyre_dist.processes.start import spawn
from vyre_dist.program import CompiledPack
from vyre_dist.rows.reading import RowReading
from vyre_dist.rules.codec import decode_pack, encode_pack
from vyre_dist.rules.model import PackData
from vyre_dist.stream.extraction import Extracted, Extractor, RowJob


class ExtractionWorkerError(VyreError):
    """A job failed, or its worker ended: its batch is incomplete, and is to be scanned again."""


class Extraction:
    """A job that a worker does. Not thread-safe, like its pool."""

    def __init__(self, pool: ExtractionPool) -> None:
        self._pool = pool
        self._found: Extracted | None = None
        self._error = ""

    def done(self) -> bool:
        """Whether `result` returns at once."""
        if not self._settled:
            self._pool.poll(0)
        return self._settled

    def result(self) -> Extracted:
        """Wait for the findings. Raises ExtractionWorkerError: job failed, or worker ended."""
        while not self._settled:
            self._pool.poll(None)
        if self._found is None:
            raise ExtractionWorkerError(self._error)
        return self._found

    @property
    def _settled(self) -> bool:
        return self._found is not None or bool(self._error)

    def settle(self, found: Extracted | None, error: str) -> None:
        """For the pool: what came of it."""
        self._found, self._error = found, error


@dataclass(slots=True, eq=False)
class _Worker:
    child: Child
    waiting: deque[Extraction] = field(default_factory=deque)

    @property
    def connection(self) -> Connection:
        return self.child.connection

    def death(self) -> str:
        """How it ended, in words."""
        return self.child.death("extraction worker")


class ExtractionPool:
    """`workers` processes that extract. `close` it, or use `with`. Not thread-safe."""

    def __init__(
        self, pack: PackData, compiled: CompiledPack, reading: RowReading, workers: int
    ) -> None:
        """Start the processes; they need seconds to be ready, and take jobs meanwhile."""
        self.workers = workers
        self._selector = selectors.DefaultSelector()
        self._pool: list[_Worker] = []
        start = (encode_pack(pack), compiled, reading)
        for number in range(workers):
            worker = _Worker(spawn(_serve, start, name=f"vyre-extraction-{number}"))
            self._pool.append(worker)
            self._selector.register(worker.connection, selectors.EVENT_READ, worker)

    def __enter__(self) -> ExtractionPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Wait until all workers have started. Raises ExtractionWorkerError if one ends instead."""
        while not all(worker.child.ready for worker in self._pool):
            self.poll(None)
            for worker in self._pool:
                if worker.connection.closed:
                    raise ExtractionWorkerError(worker.death())

    def submit(self, shared: str, jobs: Sequence[RowJob]) -> list[Extraction]:
        """Send `jobs` on memory `shared`. Raises ExtractionWorkerError when no worker is left."""
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
        """Have the workers unmap these shared memories, which take room while they are mapped."""
        for worker in self._pool:
            with contextlib.suppress(OSError):
                worker.connection.send_bytes(pickle.dumps((tuple(shared), None)))

    def poll(self, timeout: float | None) -> None:
        """Take in workers' answers. `timeout`: seconds to wait for one; None: without end."""
        for key, _ in self._selector.select(timeout):
            self._read(key.data)

    def _read(self, worker: _Worker) -> None:
        try:
            said = read_message(worker.connection.recv_bytes())
            if not worker.child.ready:
                worker.child.ready = True
                return
            found, error = None, ""
            if said.kind == DONE:
                # from a process of this pool over a pipe of its own, not from a network
                found = pickle.loads(said.body)  # noqa: S301
            else:
                error = said.text
        except (EOFError, OSError):
            self._lose(worker, "")
        except BaseException as broken:
            self._lose(worker, f"an answer of it was broken off ({broken!r})")
            raise
        else:
            worker.waiting.popleft().settle(found, error)

    def _lose(self, worker: _Worker, why: str) -> None:
        """Do without `worker`: it is gone, or out of step with its jobs."""
        self._selector.unregister(worker.connection)
        worker.connection.close()
        error = why and f"extraction worker {worker.child.pid} was given up: {why}"
        error = error or worker.death()
        while worker.waiting:
            worker.waiting.popleft().settle(None, error)

    def close(self) -> None:
        """End the workers. Jobs that are not done are dropped."""
        for worker in self._pool:
            worker.connection.close()
        for worker in self._pool:
            worker.child.end()
        self._pool.clear()
        self._selector.close()


def _serve(
    connection: Connection, pack: bytes, compiled: CompiledPack, reading: RowReading
) -> None:
    """The worker's life: load, then answer until the pool is gone."""
    extractor = Extractor.of(decode_pack(pack), compiled, reading)
    attached: dict[str, memoryview] = {}

    def answer(told: bytes) -> bytes | None:
        shared, job = pickle.loads(told)  # noqa: S301  # the pool's end of our own pipe
        if job is not None:
            return _answer(extractor, attached, shared, job)
        for name in shared:
            attached.pop(name, None)
        return None

    answer_all(connection, answer)


def _answer(
    extractor: Extractor, attached: dict[str, memoryview], shared: str, job: RowJob
) -> bytes:
    try:
        data = attached.get(shared)
        if data is None:
            data = attached[shared] = _attach(shared)
        return message(DONE, pickle.dumps(extractor.run(data, job)))
    except Exception as error:  # noqa: BLE001 - it is raised where the job came from, and the worker lives on
        return text_message(FAILED, detail_of(error))


def _attach(name: str) -> memoryview:
    """The shared memory's bytes, for reading. The parent owns it; a worker must not remove it.

    (Before Python 3.13, SharedMemory registers whatever is attached for removal at this process's
    end.)
    """
    with open(f"/dev/shm/{name}", "rb") as file:  # noqa: S108  # where shm_open keeps it, on Linux
        # pages are mapped as they are read: a worker reads few of them, and to map them all takes
        # longer than a batch
        return memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
