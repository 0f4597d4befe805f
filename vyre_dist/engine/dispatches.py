"""Dispatches: a worker's way to its backend. One dispatch is on its way at most, while the next
batch is read.
"""

from __future__ import annotations

from collections.abc import Callable

from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.dispatch.backend import DispatchConfig, SpeculationMode
from vyre_dist.dispatch.report import PPM_PER_PCT
from vyre_dist.dispatch.speculator import ProbingSpeculator
from vyre_dist.engine.batch import Batch
from vyre_dist.engine.task_run import TaskRun
from vyre_dist.engine.tasks import Challenge, TaskResult
from vyre_dist.engine.trials import Trials
from vyre_dist.engine.tuned_dispatch import Limits, limits_of, never_speculating
from vyre_dist.errors import UsageError, WorkerUnusableError
from vyre_dist.kernels import ScanBackend
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome, StartedDispatch
from vyre_dist.kernels.scan_backend import start_scan
from vyre_dist.kernels.tuned import FUSED, READY, SERIAL, Setting, setting_of


class _Flight:
    """A dispatch on its way. `started`: None when it has failed; its outcome when it is there.
    `choice`: what it runs with.
    """

    def __init__(self, run: TaskRun, batch: Batch, choice: Choice) -> None:
        self.run, self.batch, self.choice = run, batch, choice
        self.started: StartedDispatch | None = None


class Dispatches:
    """The dispatches of one backend, each of a task's run. Not thread-safe.

    `speculation`: what the user says of the lane; in auto mode a choice may say it, and else the
    speculator does. `take_in`: adds a batch's outcome to a task's answer. `same`: see Trials.
    """

    def __init__(
        self,
        backend: ScanBackend,
        speculator: ProbingSpeculator,
        speculation: SpeculationMode,
        take_in: Callable[[Batch, DispatchOutcome, TaskResult], None],
        same: Callable[[Batch, DispatchOutcome, DispatchOutcome], bool],
    ) -> None:
        self._backend, self._speculator, self._add = backend, speculator, take_in
        self._config = DispatchConfig(speculation)
        self._default_pct = speculator.speculator.threshold_ppm // PPM_PER_PCT
        self._serial = never_speculating(speculator.every)
        self._trials = Trials(backend, speculator, speculation, same)
        self._wanted = self._runs = DEFAULT_CHOICE
        self._unfit = ""
        self._warm = False
        self._in_flight: _Flight | None = None

    def follow(self, choice: Choice, trial: Challenge | None) -> None:
        """From the next dispatch on, run with `choice` as soon as it can be run, and try what
        `trial` says beside it.
        """
        if choice != self._wanted:
            self._wanted, self._unfit = choice, ""
        self._trials.challenge(trial)

    @property
    def limits(self) -> Limits:
        """What the next dispatch has at most: with a challenger, what the larger one has."""
        own = self._limits(DEFAULT_CHOICE if self._unfit else self._wanted)
        challenger = self._trials.challenger
        if challenger is None:
            return own
        other = self._limits(challenger)
        return Limits(max(own.bytes, other.bytes), max(own.windows, other.windows))

    def _limits(self, choice: Choice) -> Limits:
        if choice.is_default:
            return Limits(self._backend.dispatch_bytes, self._backend.dispatch_windows)
        try:
            return limits_of(self._backend, setting_of(choice, self._backend.most_bytes))
        except UsageError:  # it will be refused when its turn comes
            return limits_of(self._backend, Setting())

    def has(self, run: TaskRun) -> bool:
        """Whether one of the run's is on its way."""
        return self._in_flight is not None and self._in_flight.run is run

    def flush(self) -> None:
        """Wait for what is on its way, and end the run that it is of.

        Raises WorkerUnusableError.
        """
        flight, self._in_flight = self._in_flight, None
        if flight is not None:
            self._land(flight)
            flight.run.end()

    def start(self, batch: Batch, run: TaskRun) -> None:
        """Run the pack on the batch's windows, and empty it.

        What a device does on its own is taken in when the next dispatch has been begun; a run of
        another task than that one's is over then. Raises what the run has failed with.
        """
        before, self._in_flight = self._in_flight, None
        if before is not None:
            self._wait(before)  # a backend is asked for one thing at a time
        if self._trials.due(batch, self._wanted):
            if before is not None:
                self._finish(before, run)
                before = None
            if self._tried(batch, run):
                return
        runs = self._next_choice()
        flight = _Flight(run, batch.take(), runs)
        try:
            speculator, config = self._path(runs)
            flight.started = start_scan(self._backend, speculator, flight.batch.windows, config)
        finally:
            if before is not None:
                self._finish(before, run)
        if isinstance(flight.started, DispatchOutcome):
            self._take_in(flight)
        else:
            self._in_flight = flight
        if run.error is not None:
            raise run.error

    def _finish(self, before: _Flight, run: TaskRun) -> None:
        """Take in what was on its way when a dispatch of `run` came."""
        self._take_in(before)
        if before.run is not run:
            before.run.end()

    def _tried(self, batch: Batch, run: TaskRun) -> bool:
        """Whether the batch was a trial's; it is empty then."""
        runs = self._next_choice()
        # a pair compares with the task's choice, and not with what is run until that is ready
        tried = self._trials.run(batch, runs) if runs == self._wanted else None
        if tried is None:
            return False
        flight = _Flight(run, batch.take(), runs)
        flight.started = tried.outcome
        if tried.pair is not None:
            run.answer.pairs.append(tried.pair)
        run.answer.tried_ns = self._trials.tried_ns
        if tried.unfit:
            self._unfit = tried.unfit
        self._take_in(flight)
        if run.error is not None:
            raise run.error
        return True

    def _next_choice(self) -> Choice:
        """What the next dispatch runs with: what is wanted, once that can be run."""
        wanted = DEFAULT_CHOICE if self._unfit else self._wanted
        for choice in dict.fromkeys((wanted, self._runs)):
            try:
                if self._backend.prepare(choice) == READY:
                    self._take_up(choice)
                    return choice
            except UsageError as error:
                if choice == self._wanted:
                    self._unfit = str(error)
        self._take_up(DEFAULT_CHOICE)
        return DEFAULT_CHOICE

    def _take_up(self, choice: Choice) -> None:
        self._backend.choose(choice)
        if choice != self._runs:
            threshold = setting_of(choice, self._backend.most_bytes).threshold_pct
            pct = self._default_pct if threshold is None else threshold
            self._speculator.speculator.set_threshold(pct)
            self._runs = choice

    def _path(self, choice: Choice) -> tuple[ProbingSpeculator, DispatchConfig]:
        """(the speculator, how to dispatch)."""
        if self._config.speculation is not SpeculationMode.AUTO:
            return self._speculator, self._config
        if not self._warm:
            self._warm = self._backend.warm
            if not self._warm:  # the speculator should learn nothing from it
                return self._speculator, DispatchConfig(SpeculationMode.DISABLE)
        lane = setting_of(choice, self._backend.most_bytes).lane
        if lane == SERIAL:
            return self._serial, self._config
        forced = DispatchConfig(SpeculationMode.FORCE)
        return self._speculator, forced if lane == FUSED else self._config

    def _land(self, flight: _Flight) -> None:
        self._wait(flight)
        self._take_in(flight)

    def _wait(self, flight: _Flight) -> None:
        """Have its outcome; where there is none, its task has failed."""
        if callable(flight.started):
            try:
                flight.started = flight.started()
            except WorkerUnusableError:
                raise
            except Exception as error:  # noqa: BLE001 - whose task it is decides what to do
                flight.run.fail(error)
                flight.started = None

    def _take_in(self, flight: _Flight) -> None:
        """Add what came out of a dispatch to its task's answer."""
        outcome, answer = flight.started, flight.run.answer
        if not isinstance(outcome, DispatchOutcome):
            return
        answer.ran, answer.unfit = flight.choice, self._unfit
        try:
            self._add(flight.batch, outcome, answer)
        except Exception as error:  # noqa: BLE001 - whose task it is decides what to do
            flight.run.fail(error)
