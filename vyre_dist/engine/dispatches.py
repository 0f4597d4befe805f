"""Dispatches: a worker's way to its backend. One dispatch is on its way at most, while the next
batch is read.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vyre_dist.autotune.choice import Choice
from vyre_dist.dispatch.backend import DispatchConfig, SpeculationMode
from vyre_dist.dispatch.speculator import ProbingSpeculator
from vyre_dist.engine.batch import Batch
from vyre_dist.engine.task_run import TaskRun
from vyre_dist.engine.tasks import TaskResult, TrialPair
from vyre_dist.errors import WorkerUnusableError
from vyre_dist.kernels import ScanBackend
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome, StartedDispatch
from vyre_dist.kernels.scan_backend import start_scan

# Dispatches [from, until) of a worker are its trials: they are timed, the two paths in turn.
_TRIALS_FROM, _TRIALS_UNTIL = 2, 10
_TRIAL_PATHS = (DispatchConfig(SpeculationMode.FORCE), DispatchConfig(SpeculationMode.DISABLE))

_SERIAL = Choice.of(lane="serial")


class _Flight:
    """A dispatch on its way. `started`: None when it has failed; its outcome when it is there."""

    def __init__(self, run: TaskRun, batch: Batch, is_trial: bool) -> None:
        self.run, self.batch, self.is_trial = run, batch, is_trial
        self.started: StartedDispatch | None = None
        self.ns = 0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time that is spent in here as the dispatch's."""
        began = time.perf_counter_ns()
        try:
            yield
        finally:
            self.ns += time.perf_counter_ns() - began


class Dispatches:
    """The dispatches of one backend, each of a task's run. Not thread-safe.

    `take_in`: adds a batch's outcome to a task's answer.
    """

    def __init__(
        self,
        backend: ScanBackend,
        speculator: ProbingSpeculator,
        speculation: SpeculationMode,
        take_in: Callable[[Batch, DispatchOutcome, TaskResult], None],
    ) -> None:
        self._backend, self._speculator, self._add = backend, speculator, take_in
        self._config = DispatchConfig(speculation)
        self._begun = 0
        self._fused = 0, 0  # ns and bytes of the latest trial on the fused path
        self._in_flight: _Flight | None = None

    def follow(self, choice: Choice) -> None:
        """Run with this from the next dispatch on."""
        threshold = choice.get("threshold_pct")
        if isinstance(threshold, int):
            self._speculator.speculator.set_threshold(threshold)

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
        config, is_trial = self._next_config()
        flight = _Flight(run, batch.take(), is_trial)
        try:
            with flight.timed():
                flight.started = start_scan(
                    self._backend, self._speculator, flight.batch.windows, config
                )
        finally:
            if before is not None:
                self._take_in(before)
                if before.run is not run:
                    before.run.end()
        if is_trial or isinstance(flight.started, DispatchOutcome):
            self._land(flight)
        else:
            self._in_flight = flight
        if run.error is not None:
            raise run.error

    def _land(self, flight: _Flight) -> None:
        self._wait(flight)
        self._take_in(flight)

    def _wait(self, flight: _Flight) -> None:
        """Have its outcome; where there is none, its task has failed."""
        if callable(flight.started):
            try:
                with flight.timed():
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
        if flight.is_trial:
            size = flight.batch.bytes
            if outcome.report is not None:
                self._fused = flight.ns, size
            else:
                spent, fused_size = self._fused
                incumbent = spent * size // max(1, fused_size)
                ratio = math.log(max(1, flight.ns) / max(1, incumbent))
                answer.pairs.append(
                    TrialPair(_SERIAL, "", ratio, incumbent, flight.ns, True, bytes=size)
                )
        try:
            self._add(flight.batch, outcome, answer)
        except Exception as error:  # noqa: BLE001 - whose task it is decides what to do
            flight.run.fail(error)

    def _next_config(self) -> tuple[DispatchConfig, bool]:
        """(how to dispatch, whether its time counts as a trial's).

        In auto mode a worker's first dispatches try the two paths on its real data, turn by turn,
        after a pair that warms up; their answers are as good as any. From then on the speculator
        decides.
        """
        turn = self._begun
        if self._config.speculation is not SpeculationMode.AUTO or turn >= _TRIALS_UNTIL:
            return self._config, False
        if not self._backend.warm:
            return _TRIAL_PATHS[1], False  # the speculator should learn nothing from it
        self._begun += 1
        return _TRIAL_PATHS[turn % 2], turn >= _TRIALS_FROM
