"""Simulated scans that are tuned: drivers with their workers, a clock, and a store for all."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from noisy_pairs import log_time

from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.record import StoredRecord, beats
from vyre_dist.dispatch.keys import SpecCacheKey
from vyre_dist.driver.tuning import Tuning
from vyre_dist.driver.tuning_link import Found, Leased, News, Published, Target
from vyre_dist.driver.worker_facts import WorkerFacts
from vyre_dist.engine.tasks import ScanTask, TaskResult, TrialPair
from vyre_dist.program.program_facts import ProgramFacts

SERIAL = Choice.of(lane="serial")
LARGE = Choice.of(dispatch_bytes=4 << 20)
RUN_SECONDS = 0.01
TASK_SECONDS = 0.4


def programs(number: int = 0, **limits: int) -> ProgramFacts:
    """Of a kind of worker by its number."""
    spec = SpecCacheKey(number, 1, (1, 1, 1), 1)
    return ProgramFacts(f"device {number}", spec, spec, (), limits)


@dataclass
class Board:
    """A store that answers at once. `writes`: all records that were taken, in order."""

    records: dict[Target, StoredRecord] = field(default_factory=dict)
    failed: dict[Target, set[Choice]] = field(default_factory=dict)
    leases: dict[Target, BoardLink] = field(default_factory=dict)
    writes: list[StoredRecord] = field(default_factory=list)
    counter: int = 0


@dataclass(eq=False)
class BoardLink:
    """A driver's link to a board. `asked`: how often it has asked for the right to tune."""

    board: Board
    silent: bool = False
    asked: int = 0
    known: dict[Target, Found] = field(default_factory=dict)
    heard: list[News] = field(default_factory=list)

    def _found(self, target: Target) -> Found:
        return Found(target, self.board.records.get(target))

    def read(self, targets: Sequence[Target]) -> None:
        for target in targets:
            self.known[target] = self._found(target)
            self.heard.append(self.known[target])

    def lease(self, target: Target, choices: Sequence[Choice]) -> None:
        self.asked += 1
        granted = self.board.leases.setdefault(target, self) is self
        self.board.counter += granted
        fence = Fence("0123456789abcdef", self.board.counter) if granted else None
        bad = self.board.failed.get(target, set())
        failed = tuple(choice for choice in choices if choice in bad)
        self.heard.append(Leased(target, granted, fence, failed))

    def publish(self, target: Target, record: StoredRecord) -> None:
        board = self.board
        if record.failed_until:
            board.failed.setdefault(target, set()).add(record.choice)
            stored = True
        else:
            stored = beats(record, board.records.get(target))
            if stored:
                board.records[target] = record
        if stored:
            board.writes.append(record)
            self.known[target] = self._found(target)
        self.heard.append(Published(target, stored))

    def release(self, target: Target) -> None:
        if self.board.leases.get(target) is self:
            del self.board.leases[target]

    def news(self) -> Sequence[News]:
        if self.silent:
            return []
        for target, known in self.known.items():
            if (now := self._found(target)) != known:
                self.known[target] = now
                self.heard.append(now)
        heard, self.heard = self.heard, []
        return heard


class Simulation:
    """Drivers at work at the same time. `truth`: how long each choice takes, of the default's time.
    `wrong`: choices that find something else; `unfit`: choices that can't be run.
    """

    def __init__(self, truth: dict[Choice, float], seed: int = 1) -> None:
        self.truth = {DEFAULT_CHOICE: 1.0, **truth}
        self.rng = random.Random(seed)
        self.now = 0.0
        self.wrong: set[Choice] = set()
        self.unfit: set[Choice] = set()
        self.matches = 0
        self.scans: list[Scan] = []

    def scan(self, link: BoardLink, workers: int, tasks: int, *, number: int = 0) -> Scan:
        """One more driver, with so many tasks before it."""
        scan = Scan(self, link, workers, tasks, number)
        self.scans.append(scan)
        return scan

    def run(self, seconds: float = math.inf) -> None:
        """Until all are done, or for so long."""
        until = self.now + seconds
        for scan in self.scans:
            scan.begin()
        while any(scan.events for scan in self.scans):
            scan = min((each for each in self.scans if each.events), key=lambda s: s.events[0])
            if scan.events[0][0] > until:
                break
            self.now = scan.events[0][0]
            scan.step()
        if math.isinf(until):
            for scan in self.scans:
                scan.tuning.close()


class Scan:
    """A driver and its workers. Each has a task that it is at, and one that waits.

    `ran`: of each task when it was begun, who did it and with what. `trials`: when somebody began
    to run challengers, and who.
    """

    def __init__(
        self, simulation: Simulation, link: BoardLink, workers: int, tasks: int, number: int
    ) -> None:
        self.simulation, self.link = simulation, link
        self.programs = programs(number, dispatch_bytes=8 << 20)
        challengers = tuple(each for each in simulation.truth if not each.is_default)
        self.tuning = Tuning(
            link,
            lambda: simulation.now,
            lambda: 1e9 + simulation.now,
            variants=lambda _: challengers,
        )
        self.workers, self.left, self.next = workers, tasks, 0
        self.events: list[tuple[float, int, int]] = []
        self.queues: dict[int, list[tuple[int, ScanTask]]] = {}
        self.ran: list[tuple[float, int, Choice]] = []
        self.trials: list[tuple[float, int]] = []
        self.said: list[str] = []

    def begin(self) -> None:
        """Give all workers their first tasks."""
        for worker in range(self.workers):
            if worker not in self.queues:
                self.queues[worker] = []
                facts = WorkerFacts("", "host", worker + 1, "cpu")
                self.tuning.ready(worker, facts)
                for _ in range(2):
                    self._submit(worker)

    def _submit(self, worker: int) -> None:
        self.tuning.waiting, self.tuning.listing = self.left, False
        if not self.left:
            return
        self.left -= 1
        self.next += 1
        task = self.tuning.given(worker, self.next, ScanTask(()))
        queue = self.queues[worker]
        queue.append((self.next, task))
        if len(queue) == 1:
            self._start(worker)

    def _start(self, worker: int) -> None:
        task_id, task = self.queues[worker][0]
        simulation = self.simulation
        choice = DEFAULT_CHOICE if task.choice in simulation.unfit else task.choice
        self.ran.append((simulation.now, worker, choice))
        seconds = TASK_SECONDS * simulation.truth[choice] * simulation.rng.uniform(0.9, 1.1)
        if task.trial is not None and not task.trial.challenger.is_default:
            self.trials.append((simulation.now, worker))
        heapq.heappush(self.events, (simulation.now + seconds, worker, task_id))

    def step(self) -> None:
        """The next task is over."""
        _, worker, task_id = heapq.heappop(self.events)
        _, task = self.queues[worker].pop(0)
        self.tuning.done(worker, task_id, self._result(task))
        self.tuning.tick()
        self.said += self.tuning.lines
        self.tuning.lines.clear()
        if self.queues[worker]:
            self._start(worker)
        self._submit(worker)

    def _result(self, task: ScanTask) -> TaskResult:
        simulation, rng = self.simulation, self.simulation.rng
        result = TaskResult(bytes=1 << 20, documents=100, matches=simulation.matches)
        result.programs, result.ran = self.programs, task.choice
        result.seconds = TASK_SECONDS * simulation.truth[task.choice]
        result.fused = round(TASK_SECONDS / RUN_SECONDS)
        if task.choice in simulation.unfit:
            result.unfit, result.ran = "it can't be launched", DEFAULT_CHOICE
        if task.trial is None:
            return result
        challenger = task.trial.challenger
        workload = "rare-small" if simulation.matches < 16 else "some-small"
        for _ in range(task.trial.pairs):
            base = math.log(RUN_SECONDS)
            took = [
                base + math.log(simulation.truth[each]) + log_time(rng)
                for each in (task.choice, challenger)
            ]
            refused = "it can't be launched" if challenger in simulation.unfit else ""
            wrong = bool({challenger, task.choice} & simulation.wrong)
            ns = [0 if refused else round(math.exp(each) * 1e9) for each in took]
            ratio = 0.0 if refused else took[1] - took[0]
            pair = TrialPair(challenger, workload, ratio, *ns, not wrong and not refused, refused)
            result.pairs.append(pair)
            result.seconds += ns[1] / 1e9
            if refused or wrong:
                break
        return result
