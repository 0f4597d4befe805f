"""Simulation: a run in a made-up world, from its first driver to its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from simulator.checks import Checks, ViolationError, merged
from simulator.corpus import made_up
from simulator.drivers import CONFIG, PLACE, CheckedRun, Driver
from simulator.schedule import Schedule
from simulator.storage import SCHEME, Disk, ProcessStorage
from simulator.workers import SimulatedPool
from simulator.world import Machine, Process, World
from vyre_dist.errors import VyreError
from vyre_dist.ledger.owner import RunBusyError, RunTakenError
from vyre_dist.storage.places import SCHEMES

_MOST_DRIVERS = 60
_MOST_SECONDS = 40_000.0


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
        self.corpus = made_up(self.world.random)
        self.config = CONFIG
        self.disk = Disk(self.world, objects=self.schedule.objects)
        self.disk.troubles = self.schedule.storage
        self.machines = [Machine(f"machine-{i}") for i in range(self.schedule.machines)]
        self.checks = Checks(self)
        self.drivers: list[Driver] = []
        self.longest_wait = 45.0
        self.blamed: set[int] = set()
        self.over = False
        self._operator: Process | None = None

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
            same_machine=self.schedule.same_machine,
        )
        pool.blamed = self.blamed
        return pool

    def resumed(self, driver: Driver, run: CheckedRun) -> None:
        """A driver has opened the run."""

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
            while not driver.process.ended:
                world.wait(1.0)
                if calm and world.now - self._begun > _MOST_SECONDS / 20:
                    raise ViolationError("the last driver does not come to an end")
            self._look_at(driver)
            if not self.over:
                schedule.between(self)
                world.sleep(random.choice([0.5, 10.0, 40.0]))

    def _begin(self) -> Driver:
        random = self.world.random
        driver = Driver(self, random.choice(self.machines), random.randint(1, 5))
        self.drivers.append(driver)
        self._begun = self.world.now
        driver.start()
        return driver

    def _look_at(self, driver: Driver) -> None:
        """A driver has ended: was it right to?"""
        error = driver.process.error
        self.world.note(f"driver {len(self.drivers)} ended: {error or 'killed or finished'}")
        if isinstance(error, AssertionError):
            raise error
        if error is not None and not isinstance(
            error, KeyboardInterrupt | OSError | RunBusyError | RunTakenError
        ):
            raise error
        view = self.storage(PLACE)
        if driver.finished:
            outcome = driver.outcome
            if outcome is None:
                raise ViolationError("a driver finished without an outcome")
            self.checks.whole("scan", driver.lines.whole(), driver.problems, outcome)
            lines, problems, outcome, history = merged(view)
            if history.end is None:
                raise ViolationError("the run is over, and its plan is not")
            self.checks.whole("merge", lines, problems, outcome)
            self.over = True
        elif self.known() and self.world.random.random() < 0.5:
            try:
                lines = merged(view)[0]
            except VyreError:
                raise
            self.checks.part("merge of a part", lines, self.corpus.expected())

    def storage(self, place: str) -> ProcessStorage:
        """The storage, as the current process sees it."""
        process = self.world.current
        if process is None:
            raise AssertionError("no process is running")
        return ProcessStorage(self.disk, process, place)


@contextmanager
def _scheme(simulation: Simulation) -> Iterator[None]:
    SCHEMES[SCHEME] = simulation.storage
    try:
        yield
    finally:
        del SCHEMES[SCHEME]


def simulate(seed: int, *, traced: bool = False) -> Result:
    """One seed."""
    return Simulation(seed, traced=traced).run()
