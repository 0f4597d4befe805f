"""Tuning: what workers are to run with, and which of them is to find out what is faster.

A state machine as the scan's own: what happens comes in, tasks go out with a choice and perhaps a
challenge. No I/O; the caller has the clock, and a link to the store (tuning_link.py). It decides
for each kind of worker (a program on an adapter) and class of workload by itself.

1. When the first worker of a kind says what it runs, the store is asked. Nobody waits: workers run
   the default, or what is known already.
2. Where nothing is known and the budget allows it (vyre_dist/tuning/budget.py), the right to tune
   is asked for. Where another driver has it, its record comes in sooner or later.
3. One worker runs challengers and the default on the same bytes (vyre_dist/tuning/halving.py).
4. What is decided goes to the store, and to all workers with their next tasks.
5. What is not the default is probed: one task in 64 measures it once against the default. A choice
   that has drifted is tuned anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.autotune.record import Provenance
from vyre_dist.dispatch.keys import AutotuneKey
from vyre_dist.driver.tuned_class import Source, Stage, TunedClass
from vyre_dist.driver.tuned_kind import Given, TunedKind, TunedWorker
from vyre_dist.driver.tuning_link import Found, Leased, Published, Target, TuningLink
from vyre_dist.driver.tuning_report import TunedReport, TuningReport
from vyre_dist.driver.worker_facts import WorkerFacts
from vyre_dist.engine.tasks import Challenge, ScanTask, TaskResult, TrialPair
from vyre_dist.program.program_facts import ProgramFacts
from vyre_dist.tuning.budget import CAUTION, HOPE, Budget
from vyre_dist.tuning.comparison import WORTH
from vyre_dist.tuning.halving import FIRST_PAIRS, Race
from vyre_dist.tuning.records import failed_record, winner_record
from vyre_dist.tuning.variants import challengers

PROBE_EVERY = 64
_UNANSWERED_SECONDS = 5.0
"""A store that has not answered by then is done without."""
_ASK_AGAIN_SECONDS = 3.0
"""Whether the right to tune is free: the one who had it may have died."""


class Tuning:
    """One scan's tuning. `lines`: what is unusual, for people; who takes them clears them."""

    def __init__(
        self,
        link: TuningLink,
        clock: Callable[[], float],
        wall_s: Callable[[], float],
        budget: Budget | None = None,
        variants: Callable[[ProgramFacts], tuple[Choice, ...]] = challengers,
        pack: str = "",
    ) -> None:
        """`clock`: seconds. For records: `wall_s`, seconds since 1970; `pack`, the rules' name."""
        self._pack = pack
        self._link, self._clock, self._wall_s = link, clock, wall_s
        self.budget = budget or Budget()
        self._variants = variants
        self._kinds: dict[AutotuneKey, TunedKind] = {}
        self._classes: dict[Target, TunedClass] = {}
        self._workers: dict[int, TunedWorker] = {}
        self._given: dict[tuple[int, int], Given] = {}
        self._tasks = 0
        self.lines: list[str] = []
        self.waiting = 0
        """How many tasks wait for a worker."""
        self.listing = True
        """Whether there may be more of them."""
        self._report = TuningReport()

    @property
    def open(self) -> bool:
        """Whether something may be decided yet that workers should hear of soon."""
        return not self._kinds or any(
            each.used and not each.is_decided for each in self._classes.values()
        )

    # --- workers

    def ready(self, worker: int, facts: WorkerFacts) -> None:
        """A worker takes tasks, or has come to know more of itself."""
        state = self._workers.setdefault(worker, TunedWorker(facts.versions))
        if facts.programs is not None:
            self._runs(state, facts.programs)

    def lost(self, worker: int) -> None:
        """A worker is gone, with all that it was given."""
        self._workers.pop(worker, None)
        for each in [each for each in self._given if each[0] == worker]:
            self._ended(self._given.pop(each), 0.0, 0.0)
        for tuned in self._classes.values():
            if tuned.tuner == worker:
                tuned.tuner = None
            tuned.taken.pop(worker, None)

    def _runs(self, state: TunedWorker, programs: ProgramFacts) -> None:
        """A worker has said what it runs by default."""
        if state.kind is not None and state.kind.programs == programs:
            return
        key = AutotuneKey.of(programs.fused, programs.adapter)
        kind = self._kinds.get(key)
        if kind is None:
            variants = self._variants(programs)
            kind = self._kinds[key] = TunedKind(key, programs, variants, self._clock())
            self._classes |= {each.target: each for each in kind.classes.values()}
            self._link.read([each.target for each in kind.classes.values()])
            self._hear()
        state.kind = kind

    # --- tasks

    def given(self, worker: int, task_id: int, task: ScanTask) -> ScanTask:
        """The task as the worker is to get it."""
        state = self._workers.get(worker)
        if state is None:
            return task
        if state.kind is None:
            self._given[worker, task_id] = Given(None, DEFAULT_CHOICE, self._clock())
            return task
        kind, trial, granted = state.kind, None, 0.0
        tuned = kind.classes.get(state.workload)
        if tuned is None:
            choice = kind.agreed
        else:
            choice = tuned.choice
            if not tuned.used:
                self._first_used(tuned)
            tuned.given += 1
            trial, granted = self._challenge(worker, state, tuned)
            if trial is not None and tuned.race is not None:
                choice = DEFAULT_CHOICE
        self._given[worker, task_id] = Given(tuned, choice, self._clock(), trial, granted)
        if trial is None and choice.is_default:
            return task
        return ScanTask(task.pieces, choice, task.part, task.proof, trial)

    def _first_used(self, tuned: TunedClass) -> None:
        tuned.used = True
        if tuned.source is Source.STORED:
            self._report.hits += 1
        elif tuned.stage is not Stage.UNKNOWN:
            self._report.misses += 1

    def _challenge(
        self, worker: int, state: TunedWorker, tuned: TunedClass
    ) -> tuple[Challenge | None, float]:
        """What the worker is to compare, and the seconds that are granted for it."""
        if tuned.is_decided:
            if tuned.choice.is_default or tuned.given % PROBE_EVERY:
                return None, 0.0
            # that it pays was decided before: this is to know whether it still does
            granted = self.budget.grant(state.run, 1.0, math.inf, 1)
            return self._to_run(tuned, DEFAULT_CHOICE, 1, granted)
        left = self._left()
        if tuned.stage is Stage.FREE and self._may_begin(state, left):
            tuned.stage = Stage.ASKED
            self._link.lease(tuned.target, self._kinds[tuned.target.key].challengers)
            self._hear()
        if tuned.race is None or tuned.out or tuned.tuner not in (None, worker):
            return None, 0.0
        wanted = tuned.race.next()
        if wanted is None:
            return None, 0.0
        challenger, pairs = wanted
        compared = tuned.race.compared[challenger]
        known = compared.pairs >= 2 * FIRST_PAIRS
        cost = state.run * (max(1.0, compared.ratio) if compared.pairs else CAUTION)
        # what may be saved is what was seen, and a tenth more
        saved = max(WORTH, 1.0 - 0.9 * compared.ratio) if known else HOPE
        granted = self.budget.grant(cost, saved, left, pairs)
        if granted:
            tuned.tuner, tuned.out = worker, True
        most = min(pairs, int(granted / cost)) if granted else 0
        return self._to_run(tuned, challenger, most, granted)

    def _may_begin(self, state: TunedWorker, left: float) -> bool:
        """Whether a race that is begun now is likely to come to its end, and to pay for itself."""
        budget, run = self.budget, state.run
        raced = 0 if state.kind is None else len(state.kind.challengers)
        # the first runs of all, and what one needs that is clearly faster
        runs = FIRST_PAIRS * raced + 2 * FIRST_PAIRS
        is_due = budget.allows(CAUTION * run, HOPE, math.inf, 1)
        return is_due and budget.allows(run, HOPE, left, runs)

    def _to_run(
        self, tuned: TunedClass, challenger: Choice, pairs: int, granted: float
    ) -> tuple[Challenge | None, float]:
        about = tuned.target.workload
        trial = Challenge(challenger, max(1, pairs), int(granted * 1e9), about)
        return (trial, granted) if granted else (None, 0.0)

    def _left(self) -> float:
        """The seconds of work that the scan has before it. While its inputs are being listed, as
        much again as was done is expected beyond what is known.
        """
        if not self._tasks:
            return 0.0
        each = self.budget.worked / self._tasks
        known = (self.waiting + len(self._given)) * each
        return known + (self.budget.worked if self.listing else 0.0)

    def done(self, worker: int, task_id: int, result: TaskResult) -> None:
        """A worker has answered."""
        state = self._workers.get(worker)
        given = self._given.pop((worker, task_id), None)
        spent = max(result.tried_ns, sum([pair.challenger_ns for pair in result.pairs])) / 1e9
        self._ended(given, spent, result.seconds)
        self._tasks += 1
        if state is None or given is None:
            return  # it was no scan, or is the answer of a worker that was lost before
        before = state.did(result, spent, self._clock())
        if result.programs is not None:
            self._runs(state, result.programs)
        if result.unfit and given.tuned is not None:
            self._is_unfit(given.tuned, given.choice, result.unfit)
        elif given.tuned is not None and given.choice == given.tuned.choice == result.ran:
            began = max(before, given.at)
            if worker in given.tuned.taken and given.tuned.taken[worker] is None:
                given.tuned.taken[worker] = max(0.0, began - given.tuned.at)
        if result.pairs and state.kind is not None:
            self._measured(state.kind, given, result)

    def failed(self, worker: int, task_id: int) -> None:
        """A task has failed in a worker that lives on."""
        self._ended(self._given.pop((worker, task_id), None), 0.0, 0.0)

    def _ended(self, given: Given | None, spent: float, worked: float) -> None:
        self.budget.returned(0.0 if given is None else given.granted, spent, worked)
        if given is not None and given.trial is not None and given.tuned is not None:
            given.tuned.out = False

    # --- measurements

    def _measured(self, kind: TunedKind, given: Given, result: TaskResult) -> None:
        programs = result.programs
        if programs is not None and programs != kind.programs:
            return
        for pair in result.pairs:
            tuned = kind.classes.get(pair.workload)
            if tuned is None:
                continue
            if pair.refused or not pair.equal:
                self._refuse(tuned, given, pair)
            elif tuned.race is not None and given.choice.is_default:
                self._report.trials += 1
                tuned.race.add(pair.challenger, pair.log_ratio)
                if tuned.race.decided:
                    self._decide(tuned, tuned.race)
            elif tuned.is_decided and tuned.choice == given.choice and not given.choice.is_default:
                self._report.probes += 1
                if tuned.probed(-pair.log_ratio):
                    self._drifted(tuned)

    def _refuse(self, tuned: TunedClass, given: Given, pair: TrialPair) -> None:
        """A challenger can't be run, or has found something else than the default; or so has the
        choice that it was to be a probe of.
        """
        culprit = given.choice if pair.challenger.is_default else pair.challenger
        if culprit.is_default or culprit in tuned.refused:
            return
        self._bar(tuned, culprit, pair.refused or "it has found something else than the default")
        if tuned.race is not None:
            tuned.race.refuse(culprit, tuned.refused[culprit])
            if tuned.race.decided:
                self._decide(tuned, tuned.race)

    def _is_unfit(self, tuned: TunedClass, choice: Choice, why: str) -> None:
        """A choice that the store has can't be run."""
        if not choice.is_default and choice not in tuned.refused:
            self._bar(tuned, choice, why)

    def _bar(self, tuned: TunedClass, choice: Choice, why: str) -> None:
        """Nobody is to run or to try a choice, for a day."""
        tuned.refused[choice] = why
        self._report.refused += 1
        name = f"{tuned.target.workload} on {tuned.target.key.adapter_id}"
        self.lines.append(f"tuning: {choice} is not run for {name}: {why}")
        programs, workload = self._kinds[tuned.target.key].programs, tuned.target.workload
        origin = self._origin(tuned)
        failure = failed_record(choice, why, programs, workload, origin, self._wall_s())
        self._link.publish(tuned.target, failure)
        if tuned.choice == choice:
            tuned.forget()

    def _decide(self, tuned: TunedClass, race: Race) -> None:
        """A race is over: everybody runs its winner from now on, here and elsewhere."""
        programs, workload = self._kinds[tuned.target.key].programs, tuned.target.workload
        record = winner_record(race, programs, workload, self._origin(tuned), tuned.fence)
        others = self._others(tuned)
        tuned.decide(race.winner, race.gain, Source.MEASURED, self._clock(), others)
        if record is not None:
            self._link.publish(tuned.target, record)
        self._link.release(tuned.target)
        self._hear()

    def _others(self, tuned: TunedClass) -> list[int]:
        """The workers that are at what is being decided on."""
        at_work = {worker for (worker, _), each in self._given.items() if each.tuned is tuned}
        return sorted(at_work)

    def _origin(self, tuned: TunedClass) -> Provenance:
        kind = self._kinds[tuned.target.key]
        versions = next((w.versions for w in self._workers.values() if w.kind is kind), {})
        return Provenance.here(versions, self._pack)

    def _drifted(self, tuned: TunedClass) -> None:
        """What was decided is not true any more."""
        target = tuned.target
        self.lines.append(
            f"tuning: {tuned.choice} for {target.workload} on {target.key.adapter_id} is not what "
            f"it was ({tuned.gain}): it is tuned anew"
        )
        self._report.drifted += 1
        tuned.stage, tuned.outdated = Stage.FREE, tuned.gain

    # --- the store

    def tick(self) -> None:
        """Time passes."""
        self._hear()
        now = self._clock()
        for kind in self._kinds.values():
            unanswered = now >= kind.asked + _UNANSWERED_SECONDS
            for tuned in kind.classes.values():
                over = tuned.stage is Stage.WAITING and now >= tuned.again_at
                if over or (tuned.stage is Stage.UNKNOWN and unanswered):
                    tuned.stage = Stage.FREE

    def _hear(self) -> None:
        """Take in what the store has said."""
        for news in self._link.news():
            tuned = self._classes.get(news.target)
            if tuned is None:
                continue
            match news:
                case Found():
                    self._found(tuned, news)
                case Leased():
                    self._leased(tuned, news)
                case Published(_, stored):
                    self._report.published += stored
                    self._report.kept += not stored

    def _found(self, tuned: TunedClass, found: Found) -> None:
        record, stage = found.record, tuned.stage
        first = stage is Stage.UNKNOWN
        if record is None or not tuned.fits(record):
            if first:
                tuned.stage = Stage.FREE
            return
        if stage is Stage.RACING or (
            tuned.is_decided and (record.choice, record.gain) == (tuned.choice, tuned.gain)
        ):
            return
        source = Source.STORED if first else Source.PUBLISHED
        self._report.taken += not first
        others = [] if first else self._others(tuned)
        tuned.decide(record.choice, record.gain, source, self._clock(), others)

    def _leased(self, tuned: TunedClass, leased: Leased) -> None:
        if not leased.granted:
            if tuned.stage in (Stage.ASKED, Stage.RACING):
                tuned.stage, tuned.race, tuned.tuner = Stage.WAITING, None, None
                tuned.again_at = self._clock() + _ASK_AGAIN_SECONDS
            return
        if tuned.stage is not Stage.ASKED:
            self._link.release(tuned.target)
            return
        for choice in leased.failed:
            tuned.refused.setdefault(choice, "it failed in an earlier run")
        variants = self._kinds[tuned.target.key].challengers
        race = Race([each for each in variants if each not in tuned.refused])
        tuned.stage, tuned.race, tuned.fence = Stage.RACING, race, leased.fence
        if race.decided:
            self._decide(tuned, race)

    def close(self) -> None:
        """The scan is over: what is being tuned is left to others."""
        for tuned in self._classes.values():
            if tuned.stage in (Stage.ASKED, Stage.RACING):
                self._link.release(tuned.target)
        self._hear()

    def report(self) -> TuningReport:
        """What there was of it so far."""
        report = self._report
        report.seconds = self.budget.spent
        report.tuned = [
            TunedReport.of(each, self._clock, self._wall_s)
            for each in self._classes.values()
            if each.used
        ]
        return report
