"""RunMetrics: what a scan on Ray counts, as Ray's own metrics, which Prometheus collects.

The driver alone records them. Ray exports each name with `ray_` in front; deploy/grafana has a
dashboard of exactly these.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from vyre_dist.driver.events import (
    Event,
    TaskDone,
    TaskFailed,
    WorkerLost,
    WorkerReady,
    WorkerRefused,
)

if TYPE_CHECKING:
    from ray.util.metrics import Counter, Gauge, Histogram

    from vyre_dist.driver.totals import Totals

PREFIX = "vyre_dist_"
_TAGS = ("run",)
_STAGE = "stage"
_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_EVERY_SECONDS = 1.0


class Told(NamedTuple):
    """A metric: its kind (counter, gauge or histogram), and what it is."""

    kind: str
    description: str


METRICS = {
    "bytes_total": Told("counter", "Bytes that were scanned."),
    "documents_total": Told("counter", "Documents that were scanned."),
    "findings_total": Told("counter", "Findings."),
    "problems_total": Told("counter", "Inputs that were not scanned to their end."),
    "leases_total": Told("counter", "Leases (tasks) that a worker finished."),
    "leases_failed_total": Told("counter", "Leases that failed in a worker that lives on."),
    "retries_total": Told("counter", "Leases that were given out again."),
    "workers_lost_total": Told("counter", "Workers that were lost."),
    "tiles_committed_total": Told("counter", "Speculative tiles that kept output."),
    "tiles_rolled_back_total": Told("counter", "Speculative tiles that kept none."),
    "stage_seconds_total": Told(
        "counter",
        "Seconds of leases by stage: scan (in workers), wait (queued and on the way), write (the "
        "driver, for outputs).",
    ),
    "lease_seconds": Told("histogram", "Seconds from giving a lease out to its answer."),
    "leases_in_flight": Told("gauge", "Leases that workers have."),
    "workers": Told("gauge", "Workers that are ready."),
    "store_usable": Told("gauge", "1 as long as the autotune store can be used, else 0."),
}
"""By name, without PREFIX."""


class RunMetrics:
    """The metrics of one scan. Nothing is recorded before `open`, and without it nothing at all."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._lease_seconds: Histogram | None = None
        self._counted: dict[tuple[str, str], float] = {}
        self._recorded: dict[tuple[str, str], float] = {}
        self._given: dict[tuple[int, int], float] = {}
        self._ready: set[int] = set()
        self._store_usable = True
        self._recorded_at = float("-inf")

    def open(self, run: str) -> None:
        """Record from now on. Ray is connected; `run` tells this scan's numbers from others'."""
        from ray.util.metrics import Counter, Gauge, Histogram

        tags = {"run": run}
        for name, (kind, description) in METRICS.items():
            keys = (*_TAGS, _STAGE) if name == "stage_seconds_total" else _TAGS
            if kind == "counter":
                self._counters[name] = Counter(PREFIX + name, description, keys)
                self._counters[name].set_default_tags(tags)
            elif kind == "gauge":
                self._gauges[name] = Gauge(PREFIX + name, description, keys)
                self._gauges[name].set_default_tags(tags)
            else:
                self._lease_seconds = Histogram(PREFIX + name, description, list(_SECONDS), keys)
                self._lease_seconds.set_default_tags(tags)

    # --- what the pool sees

    def given(self, worker: int, task_id: int) -> None:
        """A lease was given out."""
        self._given[worker, task_id] = self._clock()

    def told(self, events: Iterable[Event]) -> None:
        """These events came."""
        for event in events:
            if isinstance(event, TaskDone):
                self._add("leases_total", 1)
                self._answered(event.worker, event.task_id, event.result.seconds)
            elif isinstance(event, TaskFailed):
                self._add("leases_failed_total", 1)
                self._answered(event.worker, event.task_id, None)
            elif isinstance(event, WorkerReady):
                self._ready.add(event.worker)
            elif isinstance(event, WorkerLost | WorkerRefused):
                self._ready.discard(event.worker)
                self._given = {key: at for key, at in self._given.items() if key[0] != event.worker}

    def _answered(self, worker: int, task_id: int, scanned: float | None) -> None:
        given = self._given.pop((worker, task_id), None)
        if given is None:
            return
        seconds = self._clock() - given
        if self._lease_seconds is not None:
            self._lease_seconds.observe(seconds)
        if scanned is not None:
            self._add("stage_seconds_total", max(0.0, seconds - scanned), "wait")

    # --- what the driver counts

    def progress(self, totals: Totals) -> None:
        """Take the totals, and record all of it if it is time."""
        for name, value in (
            ("bytes_total", totals.bytes),
            ("documents_total", totals.documents),
            ("findings_total", totals.findings),
            ("retries_total", totals.retries),
            ("workers_lost_total", totals.workers_lost),
            ("tiles_committed_total", totals.committed),
            ("tiles_rolled_back_total", totals.rolled_back),
        ):
            self._counted[name, ""] = value
        self._counted["stage_seconds_total", "scan"] = totals.worker_seconds
        if self._clock() - self._recorded_at >= _EVERY_SECONDS:
            self.record()

    def problem(self) -> None:
        """An input was not scanned to its end."""
        self._add("problems_total", 1)

    def wrote(self, seconds: float) -> None:
        """The driver has written findings to the outputs."""
        self._add("stage_seconds_total", seconds, "write")

    def store_failed(self) -> None:
        """The autotune store can't be used."""
        self._store_usable = False

    def _add(self, name: str, value: float, stage: str = "") -> None:
        self._counted[name, stage] = self._counted.get((name, stage), 0.0) + value

    def record(self) -> None:
        """Give Ray what has been counted since the last time; gauges each time, or they vanish."""
        if not self._counters:
            return
        self._recorded_at = self._clock()
        for (name, stage), value in self._counted.items():
            more = value - self._recorded.get((name, stage), 0.0)
            if more > 0:  # a counter takes no 0
                self._counters[name].inc(more, {_STAGE: stage} if stage else None)
                self._recorded[name, stage] = value
        self._gauges["leases_in_flight"].set(len(self._given))
        self._gauges["workers"].set(len(self._ready))
        self._gauges["store_usable"].set(float(self._store_usable))
