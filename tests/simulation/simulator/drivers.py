"""One driver's life: it opens the run, scans, and says that the run is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.checks import ViolationError
from simulator.corpus import RULES, SHARD_BYTES, SHARD_DOCUMENTS
from simulator.rendered import Lines
from simulator.world import Machine, MachineView, Process
from vyre_dist.driver.events import PlanEnded, ShardPlanned
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.recorded_plan import RecordedPlan
from vyre_dist.driver.run import Callbacks, ScanOutcome, run_scan
from vyre_dist.driver.totals import Totals
from vyre_dist.input_problem import InputProblem
from vyre_dist.ledger.run_directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.simulation import Simulation

PLACE = "simulated://run"
FACTS = {"PATHS": ["d"]}
PACK = b"the rules"


class CheckedRun(RunDirectory):
    """A run directory that tells when something was committed that must not be."""

    def watch(self, simulation: Simulation) -> CheckedRun:
        """Check from now on."""
        self._simulation = simulation
        return self

    @property
    def epoch(self) -> int:
        """The driver's number."""
        return self._owner.epoch

    @property
    def waiting_since(self) -> float | None:
        """Since when something waits to be committed."""
        return self._since

    def commit(self, *, idle: bool) -> int | None:
        """See RunDirectory."""
        owner = self._simulation.owner()
        number = super().commit(idle=idle)
        if number is not None and owner > self.epoch:
            raise ViolationError(f"driver {self.epoch} committed after driver {owner} took over")
        return number

    def finish(self, report: bytes) -> None:
        """See RunDirectory."""
        owner = self._simulation.owner()
        super().finish(report)
        if owner > self.epoch:
            raise ViolationError(f"driver {self.epoch} ended the run of driver {owner}")


class CountedPlan(RecordedPlan):
    """A plan that knows how many of its shards are open."""

    planned = finished = 0

    def next(self) -> ShardPlanned | PlanEnded:
        """See Plan."""
        found = super().next()
        if isinstance(found, ShardPlanned):
            self.planned += 1
            ends = self.__dict__.setdefault("_ends", {})
            for item in found.pieces:
                last = item.first + len(item.names) - 1 if hasattr(item, "names") else item.document
                ends[last] = self.planned
        return found

    def forget(self, documents: Iterable[int]) -> None:
        """See Plan."""
        documents = list(documents)
        super().forget(documents)
        ends: dict[int, int] = self.__dict__.get("_ends", {})
        self.finished = max([self.finished, *[ends.get(each, 0) for each in documents]])


@dataclass(eq=False)
class Driver:
    """`emitted`: what it has given its outputs, by document number and lines."""

    simulation: Simulation
    machine: Machine
    workers: int
    lines: Lines = field(default_factory=Lines)
    problems: list[InputProblem] = field(default_factory=list)
    outcome: ScanOutcome | None = None
    epoch: int = 0
    finished: bool = False
    process: Process = field(init=False)

    def start(self) -> None:
        """Begin to live."""
        name = f"driver {len(self.simulation.drivers)}"
        self.process = self.simulation.world.spawn(name, self.machine, self._live)

    def _live(self) -> None:
        simulation, world = self.simulation, self.simulation.world
        resume = simulation.known()
        world.note(f"begins with {self.workers} workers{', resumes' if resume else ''}")
        run = CheckedRun(
            PLACE,
            FACTS,
            PACK,
            resume=resume,
            clock=lambda: world.wall(self.machine),
            monotonic=lambda: world.now,
            host=MachineView(self.process),
        ).watch(simulation)
        self.epoch = run.epoch
        try:
            self._scan(run)
            run.finish(b"{}")
            self.finished = True
            world.note("finished")
        finally:
            run.close()

    def _scan(self, run: CheckedRun) -> None:
        simulation, world = self.simulation, self.simulation.world
        corpus = simulation.corpus
        plan = CountedPlan(
            run.history, run.void, corpus.inputs(), SHARD_BYTES, SHARD_DOCUMENTS, stat=corpus.stat
        )
        self.pool = pool = simulation.pool_of(self)
        simulation.resumed(self, run)

        def progress(totals: Totals, plan_now: Plan) -> None:
            simulation.checks.bounded(plan.planned - plan.finished, pool.count, run.waiting_since)

        told = Callbacks(
            self.lines.write, self.problems.append, lambda text: world.note(text), progress
        )
        self.outcome = run_scan(
            plan,
            pool,
            RULES,
            told,
            simulation.config,
            recording=run,
            clock=lambda: world.now,
            wall_ns=lambda: int(world.wall(self.machine) * 1e9),
        )


def counts_of(outcome: ScanOutcome) -> dict[str, int]:
    """What a scan has counted that does not depend on how it went."""
    totals = outcome.totals
    names: Sequence[str] = ("documents", "bytes", "findings", "skipped", "committed")
    return {name: getattr(totals, name) for name in names}


CONFIG = MachineConfig(shards_ahead=6, lease_seconds=8.0)
