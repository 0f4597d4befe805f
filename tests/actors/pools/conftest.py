"""Pools on one Ray of one node with two made-up GPUs, which all of these modules use as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from ray_pools import CPUS, GPUS

from vyre_dist.actors.cluster import connect
from vyre_dist.actors.ray_pool import RayPool


@pytest.fixture(scope="package", autouse=True)
def cluster(ray_places: Path) -> Iterator[None]:
    """A start takes seconds, so there is one."""
    assert connect(
        "local", local_cpus=CPUS, local_gpus=GPUS, runtime_env=None, log_to_driver=False
    ), "somebody else's Ray"
    yield
    ray.shutdown()


@pytest.fixture
def open_pool() -> Iterator[Callable[..., RayPool]]:
    """RayPools that are closed at the end."""
    with contextlib.ExitStack() as stack:

        def do(*args: object, **kwargs: object) -> RayPool:
            pool = RayPool(*args, **kwargs)  # type: ignore[arg-type]
            stack.callback(pool.close)
            return pool

        yield do
