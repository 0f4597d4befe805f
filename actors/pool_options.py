"""What may be asked of a pool of Ray actors, and what Ray is told of each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vyre_dist.actors.scan_actor import MOST_PROCESSES
from vyre_dist.errors import UsageError


def require_possible(workers: int | None, autoscale: bool, gpus_per_worker: int | None) -> None:
    """Raise UsageError for numbers that no cluster can serve."""
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} workers: at least 1 is needed")
    if autoscale and workers is None:
        raise UsageError(
            "a cluster that can grow (--autoscale) has no size: give the number of workers "
            "(--workers)"
        )
    if gpus_per_worker is not None and gpus_per_worker < 0:
        raise UsageError(f"{gpus_per_worker} GPUs for each worker: 0 or more are possible")


def actor_options(needs: Mapping[str, int]) -> dict[str, Any]:
    """Ray's options for an actor that needs so much of each resource."""
    return {
        "num_cpus": needs["CPU"],
        "num_gpus": needs.get("GPU", 0),
        # two tasks for each process, and somebody to answer when the driver asks how it is
        "max_concurrency": 2 * MOST_PROCESSES + 1 if needs.get("GPU") else 1,
        "max_restarts": 0,
        "max_task_retries": 0,
        "scheduling_strategy": "SPREAD",
    }
