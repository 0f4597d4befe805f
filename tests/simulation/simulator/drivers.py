"""One driver's life: it opens the run, scans, and says that the run is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.autotune_stores import SimulatedStore
from simulator.checks import covered, covered_in
from simulator.corpus import RULES, SHARD_BYTES, SHARD_DOCUMENTS
from simulator.rendered import Lines
from simulator.workers import SimulatedPool
from simulator.world import Machine, MachineView, Process, ViolationError
from vyre_dist.cli.console import Console
from vyre_dist.driver.events import PlanEnded, ShardPlanned
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.recorded_plan import RecordedPlan, _left_out
from vyre_dist.driver.run import Callbacks, ScanOutcome, run_scan
from vyre_dist.driver.totals import Totals
from vyre_dist.input_problem import InputProblem
from vyre_dist.ledger.run_directory import RunDirectory
from vyre_dist.ledger.staged import StagedRun
from vyre_dist.runs.options import ScanOptions
from vyre_dist.runs.stores import RunStores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from simulator.simulation import Simulation
    from vyre_dist.engine.tasks import Item
    from vyre_dist.ledger.entries import Entry

PLACE = "simulated://run"
FACTS = {"PATHS": ["d"]}
PACK = b"the rules"
_SHARE = 5.0  # of the scan's time, for trials: the scans are short
_STORE = "sqlite:///simulated"  # of these no cache folder is looked for


class CheckedRun(RunDirectory):
    """A run directory that tells when something was committed that must not be."""

    def __init__(self, simulation: Simulation, process: Process, *, resume: bool) -> None:
        """Open the run for the driver in `process`."""
        self.simulation = simulation
        self._uncommitted: list[tuple[int, Entry]] = []
        world = simulation.world
        super().__init__(
            PLACE,
            FACTS,
            PACK,
            resume=resume,
            clock=lambda: world.wall(process.machine),
            monotonic=lambda: world.now,
            host=MachineView(process),
        )
        self.found = covered_in(self.history)
        lost = simulation.durable - self.found
        if lost and simulation.owner() == self.epoch and simulation.lists_are_true:
            raise ViolationError(f"committed, and lost: {sorted(lost)[:5]}")

    @property
    def epoch(self) -> int:
        """The driver's number."""
        return self._owner.epoch

    @property
    def waiting_since(self) -> float | None:
        """Since when something waits to be committed."""
        return self._since

    def record(self, number: int, entry: Entry, began_ns: int, worker: int | None = None) -> None:
        """See RunDirectory."""
        super().record(number, entry, began_ns, worker)
        self._uncommitted.append((number, entry))

    def void(self, shard: int, places: list[int], items: tuple[Item, ...] | None) -> None:
        """See RunDirectory."""
        super().void(shard, places, items)
        voided = next(known.done for known in self.history.shards() if known.shard == shard)
        left_out = any(_left_out(voided[place].entry) for place in places)
        if not self.simulation.changed and not left_out:
            raise ViolationError(f"entries {places} of shard {shard} do not count, for no reason")
        self.simulation.durable.clear()

    def commit(self, *, idle: bool) -> int | None:
        """See RunDirectory."""
        simulation = self.simulation
        owner = simulation.owner()
        number = super().commit(idle=idle)
        if number is None:
            return None
        if owner > self.epoch:
            raise ViolationError(f"driver {self.epoch} committed after driver {owner} took over")
        while self._uncommitted and self._uncommitted[0][0] <= number:
            entry = self._uncommitted.pop(0)[1]
            if simulation.owner() == self.epoch and simulation.lists_are_true:
                simulation.durable.update(covered(entry))
        return number

    def close(self) -> None:
        """See RunDirectory."""
        name = f"run/ledger/{self._owner.epoch:06}"
        owner, before = self.simulation.owner(), self.simulation.disk.size(name)
        super().close()
        if owner > self.epoch and self.simulation.disk.size(name) != before:
            raise ViolationError(f"driver {self.epoch} committed after driver {owner} took over")

    def _remove_files(self) -> None:
        self.simulation.disk.files.clear()
        self.simulation.disk.synced.clear()

    def finish(self, report: bytes) -> None:
        """See RunDirectory."""
        owner = self.simulation.owner()
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


class Told(Console):
    """What a driver says of its autotune store."""

    def __init__(self) -> None:
        super().__init__("never", [])
        self.said: list[str] = []

    def say(self, message: str, kind: str = "", **facts: object) -> None:
        """See Console."""
        self.said.append(message)


@dataclass(eq=False)
class Driver:
    """`stores`: the autotune stores that it has opened. `told`: what it has said of them."""

    simulation: Simulation
    machine: Machine
    workers: int
    lines: Lines = field(default_factory=Lines)
    problems: list[InputProblem] = field(default_factory=list)
    outcome: ScanOutcome | None = None
    epoch: int = 0
    finished: bool = False
    closes: bool = False
    """Whether it lets go of the run."""
    recorded: bool = False
    """Whether there is a run directory, now that it has finished."""
    keeps: bool = False
    """Whether what it puts out was committed before."""
    stops_at: int = -1
    """The storage operation in which it is stopped, for long enough to be taken for dead."""
    stores: list[SimulatedStore] = field(default_factory=list)
    told: Told = field(default_factory=Told)
    pool: SimulatedPool | None = None
    run_stores: RunStores = field(init=False)
    process: Process = field(init=False)

    def start(self) -> None:
        """Begin to live."""
        world = self.simulation.world
        self.run_stores = RunStores(ScanOptions(store=_STORE), lambda: world.now)
        name = f"driver {len(self.simulation.drivers)}"
        self.process = self.simulation.world.spawn(name, self.machine, self._live)
        self.process.at_operation = self._perhaps_stop

    def _perhaps_stop(self) -> None:
        if self.process.operations == self.stops_at:
            self.simulation.stop(self)

    def _live(self) -> None:
        simulation, world = self.simulation, self.simulation.world
        resume = simulation.known()
        world.note(f"begins with {self.workers} workers{', resumes' if resume else ''}")
        recording: CheckedRun | StagedRun
        if simulation.schedule.staged and not resume and simulation.is_alone(self):
            recording = StagedRun(lambda: self._opened(resume=False), lambda: world.now)
        else:
            self.keeps = True
            recording = self._opened(resume=resume)
        try:
            self._scan(recording)
            self._tell_of_store()
            recording.finish(b"{}")
            self.recorded = isinstance(recording, CheckedRun) or recording.directory is not None
            self.finished = True
            world.note("finished")
        finally:
            self.closes = True
            recording.close()

    def _opened(self, *, resume: bool) -> CheckedRun:
        run = CheckedRun(self.simulation, self.process, resume=resume)
        self.epoch = run.epoch
        self.simulation.taken_over(self)
        return run

    def _scan(self, recording: CheckedRun | StagedRun) -> None:
        simulation, world = self.simulation, self.simulation.world
        corpus = simulation.corpus
        run = recording if isinstance(recording, CheckedRun) else None
        plan: Plan
        open_shards: Callable[[], int]
        if run is None:
            plan = Plan(corpus.inputs(), SHARD_BYTES, SHARD_DOCUMENTS)
            open_shards = int
        else:
            plan = counted = CountedPlan(
                run.history,
                run.void,
                corpus.inputs(),
                SHARD_BYTES,
                SHARD_DOCUMENTS,
                stat=corpus.stat,
            )

            def open_shards() -> int:
                return counted.planned - counted.finished

        self.pool = pool = simulation.pool_of(self)
        if run is not None and not simulation.changed:
            pool.done = frozenset(run.found)

        def progress(totals: Totals, plan_now: Plan) -> None:
            since = run.waiting_since if run is not None and simulation.storage_is_fast else None
            simulation.checks.bounded(open_shards(), pool.count, since)

        told = Callbacks(
            self.lines.write,
            self.problems.append,
            world.note,
            progress,
        )
        tuning = self.run_stores.tuning(lambda: world.wall(self.machine))
        if tuning is not None:
            tuning.budget.share = _SHARE
        self.outcome = run_scan(
            plan,
            pool,
            RULES,
            told,
            simulation.config,
            recording=recording,
            clock=lambda: world.now,
            wall_ns=lambda: int(world.wall(self.machine) * 1e9),
            tuning=tuning,
        )

    def _tell_of_store(self) -> None:
        """As ScanRun does."""
        self.run_stores.close()
        if self.run_stores.problem:
            self.told.store_failed(self.run_stores.problem)


def counts_of(outcome: ScanOutcome) -> dict[str, int]:
    """What a scan has counted that does not depend on how it went."""
    totals = outcome.totals
    names: Sequence[str] = ("documents", "bytes", "findings", "skipped", "committed")
    return {name: getattr(totals, name) for name in names}


CONFIG = MachineConfig(shards_ahead=6, lease_seconds=8.0, audits_waiting=4)
