"""Trials: a challenger beside the incumbent, on the same bytes.

Both run one after the other, whose turn is first is drawn by lot: of two pairs each comes first
once. A challenger's first run of all warms it up and gives no pair; the incumbent is what ran
before. What both find is compared, and the incumbent's counts. Nothing that goes wrong with a
challenger reaches the scan.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import NamedTuple

from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.dispatch.backend import DispatchConfig, SpeculationMode
from vyre_dist.dispatch.report import SpeculationReport
from vyre_dist.dispatch.speculator import Speculator
from vyre_dist.engine.batch import Batch
from vyre_dist.engine.tasks import Challenge, TrialPair
from vyre_dist.engine.tuned_dispatch import lane_config, limits_of, run_all
from vyre_dist.errors import UsageError, WorkerUnusableError
from vyre_dist.kernels import ScanBackend
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome
from vyre_dist.kernels.tuned import READY, setting_of
from vyre_dist.tuning.workload import WorkloadClass

_MOST_REASON = 300

Clock = Callable[[], int]


class _Deaf:
    """A Speculator that a challenger's dispatches teach nothing."""

    def choose(self) -> bool:
        return True

    def record(self, report: SpeculationReport) -> None:
        """Nothing."""


class _Run(NamedTuple):
    """`ns`: on the clock that counts, `wall_ns`: as time passed."""

    outcome: DispatchOutcome
    ns: int
    wall_ns: int


class TrialRun(NamedTuple):
    """What a batch's trial gave. `outcome`: what counts. `pair`: None where there is nothing to
    say. `unfit`: why the incumbent is not to be run any more, "" where it is.
    """

    outcome: DispatchOutcome
    pair: TrialPair | None
    unfit: str = ""


class Trials:
    """The trials of one worker. Not thread-safe.

    `tried_ns`: what a task's trials took beside the runs that count.

    `mode`: what the user says of the lane. `same`: whether two outcomes of a batch come to the same
    findings. `clocks`: processor time, for backends that have a processor for themselves, and
    time as it passes, for the others; for tests.
    """

    def __init__(
        self,
        backend: ScanBackend,
        speculator: Speculator,
        mode: SpeculationMode,
        same: Callable[[Batch, DispatchOutcome, DispatchOutcome], bool],
        clocks: tuple[Clock, Clock] = (time.thread_time_ns, time.perf_counter_ns),
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._backend, self._speculator, self._mode = backend, speculator, mode
        self._same = same
        self._clocks, self._draw = clocks, draw
        self._trial: Challenge | None = None
        self._pairs = self._spent = self._latest = self.tried_ns = 0
        self._turns: list[bool] = []
        self._warm: set[Choice] = set()

    def challenge(self, trial: Challenge | None) -> None:
        """What the dispatches of the next task try. Pairs and time are counted anew."""
        self._trial = trial
        self._pairs = self._spent = self._latest = self.tried_ns = 0

    @property
    def challenger(self) -> Choice | None:
        """Whom the next dispatch tries; None for nobody."""
        trial = self._trial
        if trial is None or self._pairs >= trial.pairs:
            return None
        if self._spent and self._spent + self._latest > trial.ns:
            return None
        return trial.challenger

    def due(self, batch: Batch, incumbent: Choice) -> bool:
        """Whether the batch's dispatch is a trial, or shows that there can't be one.

        Nothing is on its way. While a challenger is compiled, dispatches overlap as they always do.
        """
        challenger = self.challenger
        if challenger is None or challenger == incumbent or not self._fits(batch):
            return False
        try:
            return self._backend.prepare(challenger) == READY
        except UsageError:
            return True

    def _fits(self, batch: Batch) -> bool:
        """Whether the batch may be of the class that the trial is about, as far as its documents'
        size tells: matches are counted when it has been scanned.
        """
        about = "" if self._trial is None else self._trial.workload
        own = WorkloadClass.of(batch.owned, len(batch.windows), 0)
        return not about or (own is not None and own.size == WorkloadClass.named(about).size)

    def _over(self) -> None:
        self._trial = None

    def run(self, batch: Batch, incumbent: Choice) -> TrialRun | None:
        """Both on the batch; None where nothing was run, as it can't be now.

        Nothing is on its way. Raises what the incumbent's dispatch raises.
        """
        challenger = self.challenger
        if challenger is None or challenger == incumbent:
            return None
        with self._backend.alone() as own:
            if own is None:
                return None
            try:
                if self._fixed(challenger):
                    raise UsageError("its lane is not the one that --speculation asks for")
                if own.prepare(challenger) != READY:
                    return None
            except UsageError as error:
                self._over()
                return self._refused(batch, incumbent, own, challenger, str(error))
            except WorkerUnusableError:
                return None  # the dispatch that follows finds out
            return self._compared(batch, incumbent, challenger, own)

    def _fixed(self, challenger: Choice) -> bool:
        return challenger.get("lane") is not None and self._mode is not SpeculationMode.AUTO

    def _refused(
        self, batch: Batch, incumbent: Choice, own: ScanBackend, challenger: Choice, why: str
    ) -> TrialRun:
        outcome = self._incumbents(own, batch, incumbent).outcome
        return TrialRun(outcome, _refusal(batch, outcome, challenger, why))

    def _compared(
        self, batch: Batch, incumbent: Choice, challenger: Choice, own: ScanBackend
    ) -> TrialRun:
        warms = challenger not in self._warm
        if not warms and self._turn():
            other = self._challengers(own, batch, challenger)
            one = self._incumbents(own, batch, incumbent)
        else:
            one = self._incumbents(own, batch, incumbent)
            other = self._challengers(own, batch, challenger)
        self._latest = one.wall_ns
        if isinstance(other, str):
            self._over()
            return TrialRun(one.outcome, _refusal(batch, one.outcome, challenger, other))
        if self._same(batch, one.outcome, other.outcome):
            self._warm.add(challenger)
            self._pairs += not warms
            pair = None if warms else _pair(batch, challenger, one, other)
            return TrialRun(one.outcome, pair)
        self._over()
        return self._different(batch, incumbent, challenger, own, one, other)

    def _challengers(self, own: ScanBackend, batch: Batch, challenger: Choice) -> _Run | str:
        """Its run, or why there is none."""
        try:
            run = self._once(own, batch, challenger, _Deaf())
        except WorkerUnusableError:
            return "the process that owns the GPU ended with it"
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs the challenger only
            return f"{type(error).__name__} {error}"
        self._spent += run.wall_ns
        self.tried_ns += run.wall_ns
        return run

    def _different(
        self,
        batch: Batch,
        incumbent: Choice,
        challenger: Choice,
        own: ScanBackend,
        one: _Run,
        other: _Run,
    ) -> TrialRun:
        """What the default finds is what counts."""
        outcome, unfit = one.outcome, ""
        if not incumbent.is_default:
            default = self._incumbents(own, batch, DEFAULT_CHOICE)
            self.tried_ns += default.wall_ns
            outcome = default.outcome
            if not self._same(batch, outcome, one.outcome):
                unfit = "it found something else than the default does"
            if self._same(batch, outcome, other.outcome):
                return TrialRun(outcome, None, unfit)
        pair = _pair(batch, challenger, one, other)
        if pair is not None:
            pair = pair._replace(equal=False, refused="it found something else than the default")
        return TrialRun(outcome, pair, unfit)

    def _incumbents(self, own: ScanBackend, batch: Batch, choice: Choice) -> _Run:
        """The incumbent's run, which is the scan's: where the GPU is gone the processor does it."""
        try:
            return self._once(own, batch, choice, self._speculator)
        except WorkerUnusableError:
            return self._once(self._backend, batch, DEFAULT_CHOICE, self._speculator)

    def _once(self, own: ScanBackend, batch: Batch, choice: Choice, speculator: Speculator) -> _Run:
        setting = setting_of(choice, own.most_bytes)
        config = DispatchConfig(self._mode)
        if self._mode is SpeculationMode.AUTO:
            # the default's path is the fused one, whatever a speculator makes of some data
            config = lane_config(setting) or DispatchConfig(SpeculationMode.FORCE)
        own.choose(choice)
        limits = limits_of(own, setting)
        busy, passing = self._clocks
        began, began_busy = passing(), busy()
        outcome = run_all(own, speculator, batch.windows, config, limits)
        wall, spent = passing() - began, busy() - began_busy
        # a GPU works while the thread waits
        return _Run(outcome, max(1, wall if outcome.backend == "cuda" else spent), max(1, wall))

    def _turn(self) -> bool:
        """Whether the challenger's turn is first."""
        if not self._turns:
            first = self._draw() < 0.5
            self._turns = [not first, first]
        return self._turns.pop()


def _pair(batch: Batch, challenger: Choice, one: _Run, other: _Run) -> TrialPair | None:
    """None where the batch is of no class, or not both ran on the same backend."""
    workload = _class(batch, one.outcome)
    if not workload or one.outcome.backend != other.outcome.backend:
        return None
    ratio = math.log(other.ns / one.ns)
    return TrialPair(challenger, workload, ratio, one.ns, other.ns, True, "", batch.bytes)


def _refusal(batch: Batch, outcome: DispatchOutcome, challenger: Choice, why: str) -> TrialPair:
    reason = " ".join(why.split())[:_MOST_REASON]
    return TrialPair(challenger, _class(batch, outcome), 0.0, 0, 0, True, reason, batch.bytes)


def _class(batch: Batch, outcome: DispatchOutcome) -> str:
    matches = sum(map(len, outcome.spans.values()))
    workload = WorkloadClass.of(batch.owned, len(batch.windows), matches)
    return workload.name if workload else ""
