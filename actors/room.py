"""Room: what a cluster has for one more worker, and whether that has grown while a scan goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

import ray

from vyre_dist.actors.cluster import capacity_for, joined_as_client
from vyre_dist.driver.events import Event, PoolWaits, WorkersAdded

_LOOK_SECONDS = 2.0
"""Between two looks at the cluster's nodes: Ray is asked for all of them."""

_LOOKS = 3
"""In a row at which somebody waits, before that is told."""

_CLIENTS_PATIENCE_SECONDS = 20.0
"""Through ray:// nobody says whether a worker waits for room or for its process: a process has
started in such a time.
"""


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
        self._waited = 0
        self._told: set[bool] = set()

    def look(self, starting: Iterable[Any], ready: int, without: Container[str]) -> list[Event]:
        """What there is to say, if it is time for a look.

        `starting`: actors that were begun, and have not answered yet. `ready`: how many have.
        `without`: the ids of nodes that are of no use.
        """
        now = self._clock()
        if now - self._looked < _LOOK_SECONDS:
            return []
        self._looked = now
        events: list[Event] = []
        if self._grows and (now_fit := capacity_for(self._needs, without).workers) > self._workers:
            events.append(WorkersAdded(tuple(range(self._workers, now_fit))))
            self._workers = now_fit
        has_begun = ready > 0
        if has_begun not in self._told and (homeless := self._homeless(list(starting), has_begun)):
            self._waited += 1
            if self._waited >= _LOOKS:
                self._waited = 0
                self._told.add(has_begun)
                events.append(PoolWaits(self._missing(homeless, ready)))
        else:
            self._waited = 0
        return events

    def _homeless(self, starting: list[Any], has_begun: bool) -> int:
        """How many of the actors wait for room; 0 while the first one that has a place loads."""
        homeless = sum(not has_place(actor) for actor in starting)
        if not homeless or (homeless < len(starting) and not has_begun):
            return 0
        if joined_as_client():
            is_late = self._clock() - self._begun > _CLIENTS_PATIENCE_SECONDS
            return homeless if is_late and self._lacking() else 0
        return homeless if is_asked_for(self._needs) else 0

    def _lacking(self) -> list[str]:
        free = ray.available_resources()
        return [name for name, need in self._needs.items() if free.get(name, 0.0) < need]

    def _missing(self, homeless: int, ready: int) -> str:
        """What the workers wait for that have no place."""
        free, total = ray.available_resources(), ray.cluster_resources()
        # all of it: there is enough on all nodes together, but on none of them alone
        lacking = self._lacking() or list(self._needs)
        wanted = " and ".join(f"{self._needs[name]:g} {name}" for name in lacking)
        there = " and ".join(
            f"{free.get(name, 0.0):g} of {total.get(name, 0.0):g} {name}s are free"
            for name in lacking
        )
        begun = (
            f"the scan goes on with {ready} of {ready + homeless} workers, the others join when "
            "there is room"
            if ready
            else "the scan begins with the first one that others give back"
        )
        return f"waiting for room on the cluster: a worker needs {wanted}, and {there}; {begun}"


def has_place(actor: Any) -> bool:
    """Whether the actor has a process, on whose node there was room for it; it may be loading."""
    # Ray's public way to it goes through the dashboard, which a cluster may lack; a node is named
    # for one that waits, too, but no port
    from ray._private import state

    found = state.actors(actor_id=actor._actor_id.hex())
    return bool((found or {}).get("Address", {}).get("Port"))


def is_asked_for(needs: Mapping[str, float]) -> bool:
    """Whether somebody on the cluster waits for so much: an actor whose process starts does not."""
    from ray._private.worker import global_worker
    from ray.autoscaler.v2.sdk import get_cluster_resource_state

    waiting = get_cluster_resource_state(global_worker.gcs_client).pending_resource_requests
    wanted = {name: float(need) for name, need in needs.items()}
    return any(dict(each.request.resources_bundle) == wanted for each in waiting)
