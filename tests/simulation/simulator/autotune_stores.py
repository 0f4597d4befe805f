"""The autotune store that drivers ask: a server that is dead, slow, hangs, lies, forgets, or dies
between two questions, and what a driver has of it.

How records are judged, counted and told of is the product's (vyre_dist.autotune.store); what takes
time takes the world's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from simulator.world import Process, World
from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.autotune.codec import InvalidRecordError, decode, encode
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.record import StoredRecord, beats
from vyre_dist.autotune.store import Offer, RecordStore
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey
from vyre_dist.driver.worker_facts import WorkerFacts
from vyre_dist.engine.tasks import ScanTask, TaskResult, TrialPair
from vyre_dist.program.program_facts import ProgramFacts
from vyre_dist.tuning.variants import SERIAL
from vyre_dist.tuning.workload import WorkloadClass

ADDRESS = "redis://simulated"
OPERATION_SECONDS = 0.6
"""After which an operation that hangs is given up."""
CLOSE_SECONDS = 1.0
"""What closing waits for those that are under way."""

_PATIENCE_SECONDS = 0.4
_WORKLOADS = "rare-small", "rare-medium"


@dataclass(slots=True)
class StoreTroubles:
    """How often an operation meets which trouble. `slow`: seconds that one takes at most. `dies`:
    the operation from which on the server is dead, -1 for none.
    """

    slow: float = 0.001
    hangs: float = 0.0
    lies: float = 0.0
    forgets: float = 0.0
    dies: int = -1

    @classmethod
    def of(cls, random: Random) -> StoreTroubles:
        """Each kind of trouble is in some worlds, and not in others."""

        def some(chance: float, rates: list[float]) -> float:
            return random.choice(rates) if random.random() < chance else 0.0

        return cls(
            slow=random.choice([0.001, 0.001, 0.05, 0.35]),
            hangs=some(0.3, [0.2, 1.0]),
            lies=some(0.3, [0.3, 1.0]),
            forgets=some(0.2, [0.5]),
            dies=random.choice([-1, -1, -1, 0, 1, 2, 5]),
        )


class Kinds:
    """The kinds of workers there are. Each has times of its own, so that a record of another kind
    is known by sight.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._number = random.choice([1, 2, 8])

    def any(self) -> int:
        """The kind of a new worker."""
        return self._random.randrange(self._number)

    def facts(self, kind: int, host: str = "", pid: int = 0) -> WorkerFacts:
        """What a worker of a kind says of itself."""
        return WorkerFacts("", host, pid, "cpu", version="1", device=f"device {kind}")

    def programs(self, kind: int) -> ProgramFacts:
        """What a worker of a kind runs by default: the same programs, on another device."""
        spec = SpecCacheKey(1, 1, (1, 1, 1), 1)
        return ProgramFacts(f"device {kind}", spec, spec, (), {})

    def tell(self, kind: int, task: ScanTask, result: TaskResult) -> None:
        """Have a worker's answer say what it has run, and what its trial has shown."""
        result.programs, result.ran = self.programs(kind), task.choice
        result.fused, result.rolled_back = 10, 2 * result.committed
        scanned = WorkloadClass.of(result.bytes, result.documents + len(result.parts), 0)
        if task.trial is None or scanned is None:
            return
        costs = [self.ratio(kind, each) * 1e-3 for each in (task.choice, task.trial.challenger)]
        ratio = math.log(costs[1] / costs[0])
        ns = [int(cost * 1e9) for cost in costs]
        result.pairs += [
            TrialPair(task.trial.challenger, scanned.name, ratio, *ns, equal=True)
        ] * task.trial.pairs

    def ratio(self, kind: int, choice: Choice) -> float:
        """A choice's time over the default's. The default is the faster one on half of the kinds,
        and nowhere by a little.
        """
        return 1.0 if choice.is_default else (1.6, 0.6)[kind % 2] + 0.01 * kind

    def all(self) -> range:
        """Their numbers."""
        return range(self._number)


class StoreServer:
    """What all drivers have in common. `operations`: how many were begun."""

    def __init__(self, world: World, random: Random) -> None:
        self.world = world
        self.troubles = StoreTroubles.of(random)
        self.kinds = Kinds(random)
        self.operations = 0
        self._random = random
        self._records: dict[Any, bytes] = {}
        self._kind_of = {self.kinds.programs(kind).adapter: kind for kind in self.kinds.all()}
        if random.random() < 0.7:
            self._learn()

    def _learn(self) -> None:
        """An earlier scan has published what it measured."""
        for kind in self.kinds.all():
            programs = self.kinds.programs(kind)
            choice = SERIAL if self.kinds.ratio(kind, SERIAL) < 1 else DEFAULT_CHOICE
            ratio = self.kinds.ratio(kind, choice)
            for workload in _WORKLOADS:
                record = StoredRecord(
                    AutotuneKey.of(programs.fused, programs.adapter),
                    AutotuneRecord((1, 1, 1), 1),
                    programs.fused,
                    workload=workload,
                    choice=choice,
                    gain=Gain(ratio, 0.9 * ratio, ratio, 20),
                )
                self._records[record.place] = encode(record)

    def may_be(self, choice: Choice, kind: int) -> bool:
        """Whether that is faster on workers of a kind, or the default."""
        return choice.is_default or (choice == SERIAL and self.kinds.ratio(kind, choice) < 1)

    def is_true(self, record: StoredRecord) -> bool:
        """Whether that was measured with workers of the kind that a record is filed under."""
        kind, gain = self._kind_of[record.key.adapter_id], record.gain
        if gain is None or not self.may_be(record.choice, kind):
            return False
        return math.isclose(gain.ratio, self.kinds.ratio(kind, record.choice), rel_tol=1e-6)

    # --- operations

    def fate(self) -> tuple[float, str]:
        """The seconds that the next operation takes, and why it fails, "" if it does not."""
        troubles = self.troubles
        dead = 0 <= troubles.dies <= self.operations
        self.operations += 1
        if dead:
            return 0.0, "connection refused"
        if self._random.random() < troubles.hangs:
            return OPERATION_SECONDS, "it did not answer in time"
        return self._random.uniform(0.0, troubles.slow), ""

    def answer(self, key: Any) -> bytes | None:
        """What it says that it has under a key."""
        random, true = self._random, self._records.get(key)
        if random.random() >= self.troubles.lies:
            return true
        others = [payload for each, payload in sorted(self._records.items()) if each != key]
        return random.choice([None, b"", random.randbytes(40), (true or b"x")[:-1], *others])

    def take(self, record: StoredRecord) -> bool:
        """Keep a record if it is better than what is there. It says so, and may lose it."""
        there = self._records.get(_filed_at(record))
        if there is not None and not beats(record, decode(there)):
            return False
        if self._random.random() >= self.troubles.forgets:
            self._records[_filed_at(record)] = encode(record)
        return True


class SimulatedStore(RecordStore):
    """See AutotuneStore. What the server says is there for a later look-up, as with TieredStore.

    `process`: who waits; for None nothing takes time, or fails. `waited`: seconds. `asked`: the
    keys that were looked up. `offered`: what was put. `misled`: whether an answer was no record.
    """

    def __init__(self, server: StoreServer, process: Process | None) -> None:
        super().__init__()
        self._server = server
        self._process = process
        self._memory: dict[Any, StoredRecord] = {}
        self._jobs: deque[Callable[[], None]] = deque()
        self._at_work = self.broken = self.misled = False
        self.waited = 0.0
        self.asked: list[Any] = []
        self.offered: list[StoredRecord] = []

    @property
    def address(self) -> str:
        return ADDRESS

    def fetch(self, keys: Sequence[Any]) -> list[StoredRecord | None]:
        new = [key for key in keys if key not in self.asked]
        self.asked += new
        if new:
            self._begin(lambda: self._take_in(new))
            self._wait(_PATIENCE_SECONDS)
        return [self._memory.get(key) for key in keys]

    def offer(self, record: StoredRecord) -> Offer:
        self.offered.append(record)
        if not beats(record, self._memory.get(_filed_at(record))):
            return Offer.KEPT
        self._memory[_filed_at(record)] = record
        self._begin(lambda: self._give(record))
        return Offer.STORED

    def items(self) -> Iterator[StoredRecord]:
        return iter(list(self._memory.values()))

    def remove(self, places: Sequence[Any]) -> int:
        return sum([self._memory.pop(place, None) is not None for place in places])

    def _release(self) -> None:
        self._wait(CLOSE_SECONDS)

    # --- in the background

    def _take_in(self, keys: Sequence[Any]) -> None:
        for key in keys:
            payload = self._server.answer(key)
            record = None if payload is None else self.decoded(payload, key)
            self.misled |= payload is not None and not _is_record(payload)
            if record is not None:
                self._memory[key] = record

    def _give(self, record: StoredRecord) -> None:
        self._server.take(record)

    def _begin(self, job: Callable[[], None]) -> None:
        if self._process is None:
            job()
            return
        self._jobs.append(job)
        if not self._at_work:
            self._next()

    def _next(self) -> None:
        """Go on with what waits; once something has failed, nothing more is tried."""
        while self._jobs and self.broken:
            self._jobs.popleft()
            self._counters.add("skipped")
        self._at_work = bool(self._jobs)
        if self._jobs:
            job = self._jobs.popleft()
            seconds, reason = self._server.fate()
            self._server.world.after(seconds, lambda: self._done(job, reason))

    def _done(self, job: Callable[[], None], reason: str) -> None:
        process = self._process
        if process is None or process.dead or process.ended:
            return
        if reason:
            self.broken = True
            self._counters.failed(reason)
        else:
            job()
        self._next()
        if not self._at_work:
            self._server.world.wake(process)

    def _wait(self, seconds: float) -> None:
        world = self._server.world
        until = world.now + seconds
        while self._at_work and world.now < until:
            began, most = world.now, until - world.now
            world.wait(most)
            # the process may have been stopped meanwhile
            self.waited += min(world.now - began, most)


def _filed_at(record: StoredRecord) -> Any:
    return getattr(record, "place", record.key)


def _is_record(payload: bytes) -> bool:
    try:
        decode(payload)
    except InvalidRecordError:
        return False
    return True
