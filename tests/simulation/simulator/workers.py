"""A pool of simulated workers (see vyre_dist.driver.pool): each takes its time, writes parts by
itself, and may die, stop, hang, answer twice or late, or be cut off from its driver.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from simulator.autotune_stores import StoreServer
from simulator.corpus import SHARD_BYTES, Corpus, documents_of, pieces_of
from simulator.world import Machine, Process, ViolationError, World
from vyre_dist.driver.events import (
    Event,
    TaskDone,
    TaskFailed,
    WorkerLost,
    WorkerReady,
    WorkerRefused,
    WorkersAdded,
)
from vyre_dist.engine.part_files import file_result
from vyre_dist.engine.shards import size_of
from vyre_dist.engine.task_codec import decode_result, decode_task, encode_result, encode_task
from vyre_dist.engine.tasks import AuditTask, ScanTask, Task, TaskResult

_FOREVER = 1e9
_VERY_LATE = 1.0, 10.0, 100.0


@dataclass(slots=True)
class WorkerTroubles:
    """How often which trouble comes to a task, and to its answer. `rate`: seconds for a shard."""

    rate: float = 0.5
    straggles: float = 0.0
    dies: float = 0.0
    cut_off: float = 0.0
    stops: float = 0.0
    fails: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    delay: float = 0.01
    joins: float = 0.0
    refused: float = 0.0


class Worker:
    """One life of a worker. `number`: the one that its pool knows it by. `kind`: of its machine."""

    def __init__(self, pool: SimulatedPool, number: int, machine: Machine) -> None:
        self.pool = pool
        self.number = number
        self.tasks: deque[tuple[int, bytes]] = deque()
        self.said_by = 0.0
        self.kind = pool.server.kinds.any()
        self.process = pool.world.spawn(f"worker {number}", machine, self._live)
        pool.owner_of[self.process] = self

    def _live(self) -> None:
        pool, world = self.pool, self.pool.world
        world.sleep(world.random.uniform(0.0, pool.start_seconds))
        if pool.refuses():
            refused = WorkerRefused(self.number, "another version", "node", pool.capacity)
            pool.say(self, refused)
            return
        facts = pool.server.kinds.facts(self.kind, self.process.machine.name, self.process.pid)
        pool.say(self, WorkerReady(self.number, world.random.choice([1, 1, 2]), facts))
        while True:
            while not self.tasks:
                world.wait(_FOREVER)
            self._do(*self.tasks.popleft())

    def _do(self, task_id: int, data: bytes) -> None:
        pool, world = self.pool, self.pool.world
        troubles, chance = pool.troubles, world.random.random
        task = decode_task(data)
        seconds = pool.troubles.rate * max(size_of(task), 1) / SHARD_BYTES
        if not isinstance(task, ScanTask):
            seconds = 0.1
        documents = documents_of(task)
        fates = [pool.corpus.documents[each] for each in documents]

        def meets(kind: str) -> bool:
            # one death is no reason to give a document up, but two are
            if chance() >= getattr(troubles, kind) or not pool.blamed.isdisjoint(documents):
                return False
            pool.blamed.update(documents)
            world.note(f"task {task_id} of {documents} {kind}")
            return True

        if meets("straggles"):
            seconds = seconds * 60 + 1.0
        world.sleep(seconds * world.random.uniform(0.3, 1.5))
        if isinstance(task, AuditTask) and fates[0].audit_deadly:
            pool.blamed.update(documents)
            self._die(f"it ended while it audited {fates[0].path}")
        for fate in fates:
            if fate.poison and not fate.skipped:
                pool.blamed.update(documents)
            if fate.skipped:
                continue
            if fate.deadly:
                self._die(f"it ended while it scanned {fate.path}")
            if fate.hangs:
                world.sleep(_FOREVER)
            if fate.raises:
                pool.say(self, TaskFailed(self.number, task_id, "ValueError: poison"))
                return
        if meets("dies"):
            self._die("killed", after=(chance() < 0.5 and task) or None)
        if chance() < troubles.cut_off:
            world.note("is cut off")
            pool.say(self, WorkerLost(self.number, "its node is gone", unrelated_to_tasks=True))
            self.number = -1  # it does not know, and writes its part all the same
        if meets("stops"):
            world.sleep(world.random.uniform(10.0, 200.0))
        if meets("fails"):
            pool.say(self, TaskFailed(self.number, task_id, "OSError: for a while"))
            return
        result = self._work(task)
        if task.part:
            with contextlib.suppress(OSError):
                result = file_result(result, task.part)
        answer = encode_result(result)
        if self.number < 0:
            world.sleep(_FOREVER)
        late = world.random.choice(_VERY_LATE) if meets("late") else 0.0
        pool.say(self, TaskDone(self.number, task_id, decode_result(answer)), late)
        if chance() < troubles.twice:
            late = world.random.choice([0.001, *_VERY_LATE])
            pool.say(self, TaskDone(self.number, task_id, decode_result(answer)), late)

    def _work(self, task: Task) -> TaskResult:
        result = self.pool.corpus.work(task)
        if isinstance(task, ScanTask):
            self.pool.server.kinds.tell(self.kind, task, result)
        return result

    def _die(self, detail: str, after: Task | None = None) -> None:
        """End; perhaps `after` all was done, but for telling so."""
        if after is not None and after.part:
            with contextlib.suppress(OSError):
                file_result(self._work(after), after.part)
        self.pool.say(self, WorkerLost(self.number, detail))
        self.process.kill()
        self.pool.world.sleep(_FOREVER)


class SimulatedPool:
    """See WorkerPool. `driver`: the process that polls it. `server`: of records about the workers'
    kinds. `blamed`: the documents of tasks that have ended a worker, or failed.
    """

    name = "simulated"

    def __init__(
        self,
        world: World,
        driver: Process,
        corpus: Corpus,
        machines: Sequence[Machine],
        workers: int,
        troubles: WorkerTroubles,
        server: StoreServer,
        *,
        same_machine: bool,
    ) -> None:
        self.world = world
        self.driver = driver
        self.corpus = corpus
        self.troubles = troubles
        self.server = server
        self.machines = machines
        self.same_machine = same_machine
        self.at_once = self.count = self.capacity = workers
        self.start_seconds = world.random.choice([0.1, 2.0])
        self.blamed: set[int] = set()
        self.owner_of: dict[Process, Worker] = {}
        self.done: frozenset[tuple[int, int]] = frozenset()
        """What must not be done again: documents, and pieces by their starts."""
        self.closed = False
        self._workers: dict[int, Worker] = {}
        self._inbox: deque[Event] = deque()

    # --- WorkerPool

    def start(self) -> Sequence[int]:
        """See WorkerPool."""
        return range(self.count)

    def begin(self, worker: int) -> None:
        """See WorkerPool."""
        self._workers[worker] = Worker(self, worker, self.world.random.choice(self.machines))

    def submit(self, worker: int, task_id: int, task: Task) -> None:
        """See WorkerPool."""
        self._check_news(task)
        to = self._workers[worker]
        self._check_choice(task, to)
        to.tasks.append((task_id, encode_task(task)))
        if not to.process.dead:
            self.world.wake(to.process)

    def poll(self, timeout: float) -> list[Event]:
        """See WorkerPool."""
        world = self.world
        if not self._inbox and not self.driver.interrupted:
            world.wait(timeout)
        if self.driver.interrupted:
            self.driver.interrupted = False
            raise KeyboardInterrupt
        if world.random.random() < self.troubles.joins:
            self.count += 1
            self.capacity += 1
            self._inbox.append(WorkersAdded((self.count - 1,)))
        number = len(self._inbox) if world.random.random() < 0.8 else 1
        return [self._inbox.popleft() for _ in range(min(number, len(self._inbox)))]

    def replace(self, worker: int) -> None:
        """See WorkerPool. The old one may live on for a while, and nobody hears what it says."""
        old = self._workers[worker]
        if not old.process.ended:
            seconds = self.world.random.choice([0.0, 0.0, 5.0, 300.0])
            self.world.after(seconds, old.process.kill)
        self.begin(worker)

    def unusable(self) -> str:
        """See WorkerPool."""
        return ""

    def notes(self) -> Sequence[str]:
        """See WorkerPool."""
        return ()

    def close(self) -> None:
        """See WorkerPool."""
        self.closed = True
        for worker in self._workers.values():
            worker.process.kill()

    def refuses(self) -> bool:
        """Whether a worker that has started can't work; one is left at least."""
        if self.capacity < 2 or self.world.random.random() >= self.troubles.refused:
            return False
        self.capacity -= 1
        return True

    def _check_news(self, task: Task) -> None:
        """What is done is not done again."""
        if self.done and isinstance(task, ScanTask):
            for piece in pieces_of(task):
                if (piece.document, -1 if piece.whole else piece.start) in self.done:
                    raise ViolationError(f"{piece.path} from {piece.start} on is scanned again")

    def _check_choice(self, task: Task, worker: Worker) -> None:
        """It was measured with workers of that kind."""
        if isinstance(task, ScanTask) and not self.server.may_be(task.choice, worker.kind):
            raise ViolationError(f"nobody has measured {task.choice} for kind {worker.kind}")

    # --- the network

    def say(self, worker: Worker, event: Event, late: float = 0.0) -> None:
        """An event is on its way to the driver, behind what the worker has said before. `late`: so
        much later, when others have overtaken it, perhaps after the end of the worker and that of
        its successor.
        """
        random, now = self.world.random, self.world.now
        seconds = random.uniform(0.0, self.troubles.delay)
        worker.said_by = max(worker.said_by, now + seconds)
        seconds, number = worker.said_by - now, worker.number

        def arrive() -> None:
            known = self._workers.get(number) is worker
            if not self.closed and (known or late):
                self._inbox.append(event)
                if not self.driver.ended:
                    self.world.wake(self.driver)

        self.world.after(seconds + late, arrive)
