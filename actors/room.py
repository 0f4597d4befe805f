"""Room: what a cluster has for one more worker, and whether that has grown while a scan goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping

import ray

from vyre_dist.actors.cluster import capacity_for
from vyre_dist.driver.events import Event, PoolWaits, WorkersAdded

_LOOK_SECONDS = 2.0
"""Between two looks at the cluster's nodes: Ray is asked for all of them."""

_PATIENCE_SECONDS = 20.0
"""In which a worker starts where there is room: then it is told what is waited for."""


class Room:
    """Looks at the connected cluster now and then.

    `needs`: of one worker, as resource: amount. `workers`: how many there may be so far. `grows`:
    whether more join where nodes do; else there are as many as were asked for.
    """

    def __init__(
        self,
        needs: Mapping[str, float],
        workers: int,
        *,
        grows: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._needs, self._workers, self._grows, self._clock = needs, workers, grows, clock
        self._begun = self._looked = clock()
        self._told = False

    def look(self, waiting: bool, without: Container[str]) -> list[Event]:
        """What there is to say, if it is time for a look.

        `waiting`: no worker has started yet. `without`: the ids of nodes that are of no use.
        """
        now = self._clock()
        if now - self._looked < _LOOK_SECONDS:
            return []
        self._looked = now
        events: list[Event] = []
        if self._grows and (now_fit := capacity_for(self._needs, without).workers) > self._workers:
            events.append(WorkersAdded(tuple(range(self._workers, now_fit))))
            self._workers = now_fit
        is_late = not self._told and now - self._begun > _PATIENCE_SECONDS
        if is_late and waiting and (missing := self._missing()):
            self._told = True
            events.append(PoolWaits(missing))
        return events

    def _missing(self) -> str:
        """What a worker waits for; "" if there is room for one."""
        free, total = ray.available_resources(), ray.cluster_resources()
        lacking = {name: need for name, need in self._needs.items() if free.get(name, 0.0) < need}
        if not lacking:
            return ""
        wanted = " and ".join(f"{need:g} {name}" for name, need in lacking.items())
        there = " and ".join(
            f"{free.get(name, 0.0):g} of {total.get(name, 0.0):g} {name}s are free"
            for name in lacking
        )
        return (
            f"waiting for room on the cluster: a worker needs {wanted}, and {there}; the scan "
            "begins with the first one that others give back"
        )
