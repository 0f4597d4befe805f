"""Metered: an observer whose run is on Ray, and counted in Ray's metrics as well."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vyre_dist.actors.run_metrics import RunMetrics
    from vyre_dist.driver.plan import Plan
    from vyre_dist.driver.pool import WorkerPool
    from vyre_dist.driver.totals import Totals
    from vyre_dist.input_problem import InputProblem
    from vyre_dist.runs.observer import RunObserver


def metered(observer: RunObserver, pool: WorkerPool) -> RunObserver:
    """`observer`, which feeds the pool's metrics, too, where it has any."""
    if pool.name != "ray":
        return observer
    from vyre_dist.actors.ray_pool import RayPool

    return Metered(observer, pool.metrics) if isinstance(pool, RayPool) else observer


class Metered:
    """A RunObserver in front of another one."""

    def __init__(self, observer: RunObserver, metrics: RunMetrics) -> None:
        self._observer = observer
        self._metrics = metrics
        self.say = observer.say
        self.aborted = observer.aborted

    def progress(self, totals: Totals, plan: Plan) -> None:
        """See RunObserver."""
        self._metrics.progress(totals)
        self._observer.progress(totals, plan)

    def writing(self) -> AbstractContextManager[None]:
        """See RunObserver."""
        return self._timed()

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.monotonic()
        with self._observer.writing():
            yield
        self._metrics.wrote(time.monotonic() - began)

    def problem(self, problem: InputProblem) -> None:
        """See RunObserver."""
        self._metrics.problem()
        self._observer.problem(problem)

    def ended(self) -> None:
        """See RunObserver."""
        self._metrics.record()
        self._observer.ended()

    def store_failed(self, problem: str) -> None:
        """See RunObserver."""
        self._metrics.store_failed()
        self._observer.store_failed(problem)

    def published(self, kept: Sequence[tuple[str, str]]) -> None:
        """See RunObserver."""
        self._observer.published(kept)
