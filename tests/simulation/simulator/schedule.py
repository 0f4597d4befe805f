"""Schedule: what a seed decides: which troubles there are, and when drivers end how."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from simulator.storage import Troubles
from simulator.workers import WorkerTroubles

if TYPE_CHECKING:
    from simulator.drivers import Driver
    from simulator.simulation import Simulation


@dataclass
class Schedule:
    """`disturbed`: how many drivers meet troubles; what comes then is left alone."""

    objects: bool
    machines: int
    same_machine: bool
    disturbed: int
    storage: Troubles = field(default_factory=Troubles)
    workers: WorkerTroubles = field(default_factory=WorkerTroubles)

    @classmethod
    def of(cls, random: Random) -> Schedule:
        """A schedule."""
        objects = random.random() < 0.4
        return cls(
            objects,
            machines=random.choice([1, 3]),
            same_machine=random.random() < 0.8,
            disturbed=random.choice([0, 1, 2, 3, 5]),
        )

    def calm(self) -> None:
        """No troubles any more."""
        self.storage.slow = 0.01
        self.storage.very_slow = self.storage.fails = self.storage.fails_though_done = 0.0
        self.storage.stale_list = 0.0
        self.storage.full = False

    def trouble(self, simulation: Simulation, driver: Driver) -> None:
        """Decide how a driver ends."""
        random = simulation.world.random
        driver.process.dies_at = int(2 ** random.uniform(0, 8))

    def between(self, simulation: Simulation) -> None:
        """What happens while no driver is at work."""
