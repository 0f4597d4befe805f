"""Schedule: what a seed decides: which troubles there are, and how drivers end."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from simulator.storage import Troubles
from simulator.workers import WorkerTroubles

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.drivers import Driver
    from simulator.simulation import Simulation


_ENDS = ["operation"] * 6 + ["kill", "interrupt", "power", "power", "full", "none"]
_ENDS += ["stop", "stop", "stop", "rival", "rival"]
"""How drivers end."""


@dataclass
class Schedule:
    """`disturbed`: how many drivers meet troubles; what comes then is left alone. `machines`: how
    many there are. `staged`: the first driver names no run directory. `changes`: documents are
    changed while no driver is at work. `clocks`: clocks jump.
    """

    objects: bool
    machines: int
    same_machine: bool
    disturbed: int
    staged: bool
    changes: bool
    clocks: bool
    watched: bool
    storage: Troubles = field(default_factory=Troubles)
    workers: WorkerTroubles = field(default_factory=WorkerTroubles)

    @classmethod
    def of(cls, random: Random) -> Schedule:
        """A schedule. Each kind of trouble is in some worlds, and not in others: where all are at
        once, each one hides others.
        """

        def some(chance: float, rates: list[float]) -> float:
            return random.choice(rates) if random.random() < chance else 0.0

        storage = Troubles(
            slow=random.choice([0.0, 0.005, 0.02, 0.3]),
            very_slow=some(0.1, [0.003, 0.02]),
            fails=some(0.15, [0.002, 0.02]),
            fails_though_done=some(0.3, [0.01, 0.05]),
            stale_list=some(0.1, [0.05, 0.5]),
        )
        workers = WorkerTroubles(
            rate=random.choice([0.05, 0.5, 2.0]),
            straggles=some(0.15, [0.02, 0.1]),
            dies=some(0.25, [0.05, 0.2]),
            cut_off=some(0.25, [0.05, 0.15]),
            stops=some(0.08, [0.02, 0.1]),
            fails=some(0.15, [0.05, 0.2]),
            twice=some(0.2, [0.1, 0.5]),
            late=some(0.2, [0.1, 0.3]),
            delay=random.choice([0.0, 0.01, 0.3, 2.0]),
            joins=some(0.1, [0.01, 0.05]),
            refused=some(0.1, [0.1, 0.3]),
        )
        return cls(
            random.random() < 0.4,
            machines=random.choice([1, 2, 3]),
            same_machine=random.random() < 0.8,
            disturbed=random.choice([0, 1, 1, 2, 2, 3, 4, 6]),
            staged=random.random() < 0.15,
            changes=random.random() < 0.3,
            clocks=random.random() < 0.2,
            watched=random.random() < 0.3,
            storage=storage,
            workers=workers,
        )

    def calm(self) -> None:
        """No troubles any more."""
        self.storage.slow = min(self.storage.slow, 0.02)
        self.storage.very_slow = self.storage.fails = self.storage.fails_though_done = 0.0
        self.storage.stale_list = 0.0
        self.storage.full = False
        troubles = self.workers
        troubles.straggles = troubles.dies = troubles.cut_off = troubles.stops = 0.0
        troubles.fails = troubles.late = troubles.joins = troubles.refused = 0.0
        troubles.delay = min(troubles.delay, 0.01)

    def trouble(self, simulation: Simulation, driver: Driver) -> None:
        """Decide how a driver ends, if it does not come to the run's end before."""
        random, world = simulation.world.random, simulation.world
        seconds = random.choice([0.5, 3.0, 10.0, 30.0, 80.0]) * random.random()

        def later(what: Callable[[], None]) -> None:
            def now() -> None:
                if not driver.process.ended:
                    what()

            world.after(seconds, now)

        end = random.choice(_ENDS)
        if simulation.disk.unsynced and random.random() < 0.5:
            end = "power"
        world.note(f"driver {len(simulation.drivers)} will meet: {end}")
        if end == "operation":
            driver.process.dies_at = int(2 ** random.uniform(0, 8))
        elif end == "kill":
            later(driver.process.kill)
            if self.changes:
                soon = max(0.0, seconds - random.choice([0.1, 1.0]))
                world.after(soon, lambda: simulation.change_under(driver))
        elif end == "interrupt":
            later(driver.process.interrupt)
        elif end == "power":
            later(simulation.power_failure)
        elif end == "full":
            later(simulation.fill_up)
        elif end == "stop":
            driver.stops_at = int(2 ** random.uniform(0, 7))
        elif end == "rival":
            later(lambda: simulation.rival(driver))

    def between(self, simulation: Simulation) -> None:
        """What happens while no driver is at work."""
        random, world = simulation.world.random, simulation.world
        self.storage.full = False
        if random.random() < 0.1:
            simulation.power_failure()
        if self.clocks and random.random() < 0.5:
            machine = random.choice(simulation.machines)
            machine.skew += random.choice([-3600.0, -5.0, 5.0, 3600.0])
            simulation.most_ahead = max(simulation.most_ahead, machine.skew)
            world.note(f"{machine.name}'s clock is {machine.skew:+.0f} s now")
        if self.changes and not simulation.anybody_works():
            simulation.change_some()
