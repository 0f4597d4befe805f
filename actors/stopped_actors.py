"""Ends the process of an actor that does not answer: one that was stopped does not hear ray.kill,
and keeps its processor and its GPU.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from pathlib import Path

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vyre_dist.driver.worker_facts import WorkerFacts

_LOG = logging.getLogger(__name__)

_ACTOR = b"ScanActor"
"""Ray has the class in the name that an actor's process shows."""


def end_processes(actor: WorkerFacts | None) -> None:
    """Kill an actor's process, and those that it has started. Waits for nothing.

    `actor`: None for one that has not said who it is.
    """
    if actor is None:
        return
    where = NodeAffinitySchedulingStrategy(actor.node, soft=False)
    task = ray.remote(kill_actor_process)
    try:
        task.options(num_cpus=0, max_retries=0, scheduling_strategy=where).remote(actor.pid)
    except RayError as error:
        # it holds what it holds; the scan goes on with what there is
        _LOG.warning("process %d on node %s could not be ended: %s", actor.pid, actor.node, error)


def kill_actor_process(pid: int) -> None:
    """Kill process `pid` and its descendants, if it is an actor of ours."""
    with contextlib.suppress(OSError):  # it has come to its end meanwhile
        if _ACTOR not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return
        for each in [*_descendants(pid), pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    """Children first come last."""
    children = [
        int(child)
        for listed in Path(f"/proc/{pid}/task").glob("*/children")
        for child in listed.read_text().split()
    ]
    return [each for child in children for each in (*_descendants(child), child)]
