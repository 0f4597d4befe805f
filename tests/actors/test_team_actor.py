"""An actor with a GPU has a process for each CPU that goes with it: one worker with several
hands.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import ray

from vyre_dist.actors.cluster import connect
from vyre_dist.actors.ray_pool import RayPool
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.machine_config import MachineConfig

CPUS = 3


@pytest.fixture(scope="module", autouse=True)
def cluster(ray_places: Path) -> Iterator[None]:
    """One node with one GPU, which is made up: `auto` falls back to the processors."""
    assert connect("local", local_cpus=CPUS, local_gpus=1, runtime_env=None, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def pool(spec) -> Iterator[RayPool]:
    """One actor on the GPU."""
    own = RayPool(replace(spec, config=replace(spec.config, backend="auto")))
    yield own
    own.close()


@pytest.mark.nightly
def test_one_worker_with_a_process_for_each_cpu(pool: RayPool, scan, spec, documents) -> None:
    """It finds what local processes find, in the same order, and tells how many hands it has. None
    is left in the end.
    """
    facts = []
    family: set[psutil.Process] = set()

    def watch() -> None:
        facts.extend(pool.facts.values())
        for own in pool.facts.values():
            family.update(psutil.Process(own.pid).children(recursive=True))

    expected, local, _ = scan(LocalPool(spec, 1), documents)
    found, outcome, warnings = scan(pool, documents, watch=watch)
    assert found == expected
    assert (outcome.workers, outcome.problems, warnings) == (1, [], [])
    assert outcome.totals.bytes == local.totals.bytes
    # one CPU is for the process that owns the GPU
    assert {(own.gpus, own.processes) for own in facts} == {(("0",), CPUS - 1)}
    # the one that forks the others, and those that there were tasks for
    assert 2 <= len(family) <= CPUS
    _, alive = psutil.wait_procs(list(family), timeout=30)
    assert not alive


class SignalOnce:
    """Sends a signal to one of the processes that the pool's actor has, as soon as there is one."""

    def __init__(self, pool: RayPool, sent: signal.Signals) -> None:
        self._pool, self._sent = pool, sent
        self.family: list[psutil.Process] = []

    def __call__(self) -> None:
        if self.family:
            return
        for own in self._pool.facts.values():
            below = psutil.Process(own.pid).children(recursive=True)
            # the one that forks them is the actor's own child
            if workers := [process for process in below if process.ppid() != own.pid]:
                os.kill(workers[0].pid, self._sent)
                self.family = [psutil.Process(own.pid), *below]


def test_a_process_of_it_that_is_killed(pool: RayPool, scan, spec, documents) -> None:
    """The actor lives on, and nothing is missing."""
    expected, _, _ = scan(LocalPool(spec, 1), documents)
    kill_once = SignalOnce(pool, signal.SIGKILL)
    found, outcome, _ = scan(pool, documents, watch=kill_once)
    assert kill_once.family
    assert found == expected
    assert outcome.totals.workers_lost == 0
    assert outcome.problems == []


@pytest.mark.nightly
def test_a_process_of_it_that_is_stopped(pool: RayPool, scan, spec, documents) -> None:
    """It does not answer by its deadline: the actor is ended with all its processes, and others do
    what they had; nothing is missing.
    """
    expected, _, _ = scan(LocalPool(spec, 1), documents)
    stop_once = SignalOnce(pool, signal.SIGSTOP)
    found, outcome, warnings = scan(
        pool, documents, MachineConfig(lease_seconds=1.5), watch=stop_once
    )
    assert stop_once.family and "no answer about" in warnings[0]
    assert found == expected and outcome.problems == []
    assert outcome.totals.workers_lost >= 1
    assert not psutil.wait_procs(stop_once.family, timeout=30)[1]
