"""Simulation: a run in a made-up world, from its first driver to its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from unittest.mock import patch

from simulator.auditing import Auditing
from simulator.autotune_stores import SimulatedStore, StoreServer
from simulator.checks import Checks, merged
from simulator.corpus import made_up
from simulator.drivers import CONFIG, PLACE, Driver
from simulator.objects import SimulatedTime, open_objects
from simulator.schedule import Schedule
from simulator.storage import SCHEME, Disk, ProcessStorage
from simulator.workers import SimulatedPool
from simulator.world import Machine, Process, ViolationError, World
from vyre_dist.autotune import urls
from vyre_dist.driver.run import ScanAbortedError
from vyre_dist.errors import UsageError
from vyre_dist.ledger.owner import RunBusyError, RunTakenError
from vyre_dist.storage import Storage, attempts
from vyre_dist.storage.places import SCHEMES

_MOST_DRIVERS = 60
_MOST_SECONDS = 40_000.0
_PATIENCE = 2_000.0
"""Seconds in which a run must end that nothing disturbs any more."""

_REASONS = KeyboardInterrupt, OSError, RunBusyError, RunTakenError, ScanAbortedError
"""What drivers may end with, where there are troubles."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a seed. `violation`: "" if all held. `digest`: of all that happened."""

    seed: int
    violation: str
    digest: int
    drivers: int
    events: int
    seconds: float
    trace: list[str]


class Simulation:
    """One seed's world."""

    def __init__(self, seed: int, *, traced: bool = False) -> None:
        self.seed = seed
        self.world = World(seed, traced=traced)
        self.schedule = Schedule.of(self.world.random)
        self.corpus = made_up(self.world.random, Auditing(Random(f"{seed} audits")))
        self.server = StoreServer(self.world, Random(f"{seed} autotune store"))
        self.config = CONFIG
        self.disk = Disk(self.world, objects=self.schedule.objects)
        self.disk.troubles = self.schedule.storage
        self.machines = [Machine(f"machine-{i}") for i in range(self.schedule.machines)]
        self.checks = Checks(self)
        self.drivers: list[Driver] = []
        self.blamed: set[int] = set()
        self.durable: set[tuple[int, int]] = set()
        """What was committed: documents, and pieces by their starts."""
        self.changed = False
        """Whether any document was changed."""
        self.most_ahead = 0.0
        """Seconds that any machine's clock has ever been ahead."""
        self.over = False
        self._operator: Process | None = None
        self.stopped: list[Driver] = []
        self._seen: list[Driver] = []
        self._begun = 0.0
        self._recorded = self._had_rivals = False
        self._changed_under: list[Driver] = []

    # --- what drivers ask for

    def owner(self) -> int:
        """The highest epoch."""
        names = [name for name in self.disk.files if name.startswith("run/owner/")]
        return max([int(name.rpartition("/")[2]) for name in names], default=0)

    def known(self) -> bool:
        """Whether there is a run."""
        return "run/run.json" in self.disk.files

    def pool_of(self, driver: Driver) -> SimulatedPool:
        """A pool for a driver."""
        pool = SimulatedPool(
            self.world,
            driver.process,
            self.corpus,
            self.machines,
            driver.workers,
            self.schedule.workers,
            self.server,
            same_machine=self.schedule.same_machine,
        )
        pool.blamed = self.blamed
        return pool

    def open_store(self, url: str | None, *, local_path: object = None) -> SimulatedStore:
        """See vyre_dist.autotune.urls."""
        process = self._current()
        (driver,) = [each for each in self.drivers if each.process is process]
        store = SimulatedStore(self.server, process)
        driver.stores.append(store)
        return store

    @property
    def lists_are_true(self) -> bool:
        """Whether the storage lists all that there is."""
        return not (self.disk.objects and self.schedule.storage.stale_list)

    @property
    def storage_is_fast(self) -> bool:
        """Whether no operation of the storage takes long."""
        troubles = self.schedule.storage
        fails = self.disk.objects and (troubles.fails or troubles.full)
        return not (troubles.slow >= 0.1 or troubles.very_slow or fails)

    def anybody_works(self) -> bool:
        """Whether any driver is at work, or believes so."""
        return any(not driver.process.ended for driver in self.drivers)

    def taken_over(self, driver: Driver) -> None:
        """A driver has got the run: nobody else may be at work on it."""
        if self.schedule.clocks or not self.storage_is_fast or not self.lists_are_true:
            return  # who is at work can be taken for dead
        if self.owner() != driver.epoch:
            return  # and it has been, while it opened the run
        for other in self.drivers:
            alive = other.epoch and not other.process.ended and not other.process.dead
            if alive and not other.closes and other is not driver and other not in self.stopped:
                raise ViolationError(f"{other.process.name} works on the run, too")

    def is_alone(self, driver: Driver) -> bool:
        """Whether no other driver is at work."""
        return all(each.process.ended for each in self.drivers if each is not driver)

    # --- troubles

    def power_failure(self) -> None:
        """All machines lose power, and what was not synced may be lost."""
        self.world.note("power failure")
        for machine in self.machines:
            for process in list(machine.running.values()):
                process.kill()
            machine.boot += 1
        self.disk.power_failure()

    def fill_up(self) -> None:
        """There is no room left."""
        self.world.note("the disk is full")
        self.schedule.storage.full = True

    def stop(self, driver: Driver) -> None:
        """A driver does nothing for a while, and is taken for dead."""
        seconds = self.world.random.choice([20.0, 60.0, 200.0])
        self.world.note(f"stopped for {seconds:.0f} s")
        driver.process.stopped_until = self.world.now + seconds
        self.stopped.append(driver)
        self._had_rivals = True

    def rival(self, driver: Driver) -> None:
        """Somebody starts another driver, though there is one."""
        self.world.note("another driver is started")
        rival = Driver(self, self.world.random.choice(self.machines), 2)
        self.drivers.append(rival)
        rival.start()
        self._had_rivals = True

    def change_some(self) -> None:
        """Somebody writes to some documents. The clock that stamps them is behind nobody's, and has
        never been.
        """
        random = self.world.random
        now = self.world.now + self.most_ahead
        share = random.choice([0.1, 0.4])
        for number, document in enumerate(self.corpus.documents):
            if random.random() < share:
                self.corpus.change(number, now, random)
                self.world.note(f"{document.path} is changed")
                self.changed = True
                self.durable.clear()

    def change_under(self, driver: Driver) -> None:
        """The same while a driver is at work, which is about to be killed. If it comes to the end
        before, it may have scanned what was there before. Not when another one has finished that
        was taken for dead: it is still to be looked at, and has scanned what is there now.
        """
        if any(each.finished for each in self.drivers):
            return
        if not driver.process.ended and len([d for d in self.drivers if not d.process.ended]) == 1:
            self.change_some()
            if driver.pool is not None:
                driver.pool.done = frozenset()
            self._changed_under.append(driver)

    # --- the operator, who starts drivers and ends them

    def run(self) -> Result:
        """Let everything happen."""
        violation = ""
        try:
            with _scheme(self):
                self._operator = self.world.spawn("operator", Machine("desk"), self._operate)
                self.world.run(lambda: self._operator is not None and self._operator.ended)
                if self._operator.error is not None:
                    raise self._operator.error
                if not self._operator.ended:
                    raise ViolationError("nothing is left to happen, and the run is not over")
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed is to be told
            violation = f"{type(error).__name__}: {error}"
            self.error = error
        world = self.world
        return Result(
            self.seed,
            violation,
            world.digest,
            len(self.drivers),
            world.events,
            world.now,
            world.trace,
        )

    def _operate(self) -> None:
        """Start drivers until one has finished."""
        world, random, schedule = self.world, self.world.random, self.schedule
        while not self.over:
            calm = len(self.drivers) >= schedule.disturbed
            if calm:
                schedule.calm()
            if len(self.drivers) > _MOST_DRIVERS or world.now > _MOST_SECONDS:
                raise ViolationError(f"no end after {len(self.drivers)} drivers")
            driver = self._begin()
            if not calm:
                schedule.trouble(self, driver)
            while not driver.process.ended and driver not in self.stopped:
                world.wait(1.0)
                if calm and world.now - self._begun > _PATIENCE:
                    raise ViolationError("the last driver does not come to an end")
                if schedule.watched and random.random() < 0.1:
                    self._watch(driver)
            self._look_at_all()
            if not self.over:
                schedule.between(self)
                world.sleep(random.choice([0.5, 10.0, 40.0]))
                # one that was taken for dead may have finished meanwhile, and whoever goes on with
                # its run may do much of it again, as the clocks differ
                self._look_at_all()
        until = world.now + _PATIENCE
        while self.anybody_works():
            if world.now > until:
                raise ViolationError("a driver goes on when the run is over")
            world.wait(10.0)
        self._look_at_all()
        if self._recorded:
            self._check_merge()

    def _begin(self) -> Driver:
        random = self.world.random
        driver = Driver(self, random.choice(self.machines), random.randint(1, 5))
        self.drivers.append(driver)
        self._begun = self.world.now
        driver.start()
        return driver

    def _look_at_all(self) -> None:
        for driver in self.drivers:
            if driver.process.ended and driver not in self._seen:
                self._seen.append(driver)
                self._look_at(driver)

    def _look_at(self, driver: Driver) -> None:
        """A driver has ended: was it right to?"""
        error = driver.process.error
        self.world.note(f"{driver.process.name} has ended: {error!r}")
        misled = isinstance(error, UsageError) and self._had_rivals
        self.checks.of_store(driver)
        if error is not None and not misled and not isinstance(error, _REASONS):
            raise error
        if isinstance(error, RunTakenError) and driver.epoch == self.owner():
            raise ViolationError("a driver gave its run up, and has it")
        if driver.finished and driver in self._changed_under:
            self.over = True
        elif driver.finished:
            outcome = driver.outcome
            if outcome is None:
                raise ViolationError("a driver finished without an outcome")
            self.checks.whole("scan", driver.lines.whole(), driver.problems, outcome, audited=True)
            self.over = True
            self._recorded = driver.recorded
            if driver.recorded:
                self._check_merge()
        elif self.known():
            lines, _, _, history = merged(self._exact())
            self.checks.part("merge of a part", lines)
            self.checks.once(history)
            if driver.epoch == self.owner() and driver.keeps and self.lists_are_true:
                self.checks.kept(driver.lines.whole(), lines)

    def _watch(self, driver: Driver) -> None:
        """Merge what there is so far, while drivers are at work."""
        if self.known() and driver.epoch:
            emitted = driver.lines.whole()
            try:
                lines = merged(self.storage(PLACE))[0]
            except OSError:
                return
            self.checks.part("merge of a run under way", lines)
            if driver.epoch == self.owner() and driver.keeps and self.lists_are_true:
                self.checks.kept(emitted, lines)

    def _check_merge(self) -> None:
        lines, problems, outcome, history = merged(self._exact())
        if history.end is None:
            raise ViolationError("the run is over, and its plan is not")
        self.checks.whole("merge", lines, problems, outcome)
        self.checks.once(history)

    def _exact(self) -> Storage:
        return self.storage(PLACE)

    def storage(self, place: str) -> Storage:
        """The storage, as the current process sees it. For the operator nothing fails there."""
        process = self._current()
        exact = process is self._operator
        if self.disk.objects:
            return open_objects(self.disk, process, place, exact=exact)
        return ProcessStorage(self.disk, process, place, exact=exact)

    def _current(self) -> Process:
        if self.world.current is None:
            raise AssertionError("no process is running")
        return self.world.current


@contextmanager
def _scheme(simulation: Simulation) -> Iterator[None]:
    SCHEMES[SCHEME] = simulation.storage
    try:
        with (
            patch.object(attempts, "time", SimulatedTime(simulation.world)),
            patch.object(urls, "open_store", simulation.open_store),
        ):
            yield
    finally:
        del SCHEMES[SCHEME]


def simulate(seed: int, *, traced: bool = False) -> Result:
    """One seed."""
    return Simulation(seed, traced=traced).run()
