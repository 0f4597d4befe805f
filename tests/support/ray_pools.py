"""What happens to a RayPool, step by step."""

from __future__ import annotations

import contextlib
import time

import psutil

from vyre_dist.actors.ray_pool import RayPool
from vyre_dist.driver.events import Event, PoolWaits
from vyre_dist.engine.tasks import Piece, ScanTask

CPUS, GPUS = 2, 2
"""What the node has; nobody looks for the GPUs."""

PATIENCE_S = 60.0


def start_all(pool: RayPool) -> list[int]:
    """Have every worker started that there can be."""
    numbers = list(pool.start())
    for number in numbers:
        pool.begin(number)
    return numbers


def wait_for(
    pool: RayPool, kind: type[Event] | tuple[type[Event], ...], count: int = 1
) -> list[Event]:
    """Poll until `count` events of the kind have come; nothing else may come, but that the pool
    waits: an earlier test's actors go when they can.
    """
    events: list[Event] = []
    until = time.monotonic() + PATIENCE_S
    while len(events) < count and time.monotonic() < until:
        come = pool.poll(0.5)
        events += [e for e in come if kind is PoolWaits or not isinstance(e, PoolWaits)]
    assert len(events) == count and all(isinstance(e, kind) for e in events), events
    return events


def wait_until_gone(pids: list[int]) -> None:
    """Return when none of the processes is there any more."""
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(PATIENCE_S)


def inline_task(data: bytes, document: int = 0) -> ScanTask:
    return ScanTask((Piece(document, "inline", len(data), 0, len(data), inline=data),))
