"""RayPool when actors die, stand still or are out of reach: the same findings, whatever dies."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from long_runs import nightly
from ray_pools import GPUS, inline_task, start_all, wait_for, wait_until_gone

from vyre_dist.actors import ray_pool, scan_actor
from vyre_dist.actors.ray_pool import RayPool
from vyre_dist.driver.events import (
    TaskDone,
    TaskFailed,
    WorkerLost,
    WorkerReady,
    WorkerRefused,
)
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.tasks import Piece, ScanTask
from vyre_dist.processes.messages import text_message
from vyre_dist.sources import DocumentRef


class GatedActor(scan_actor.ScanActor):
    """A ScanActor whose `run` opens the FIFO named by VYRE_TEST_GATE first, if there is one, and
    reads it to its end.
    """

    gate = ""

    def run(self, task: scan_actor.Wire) -> scan_actor.Wire:
        if os.path.exists(self.gate):
            with open(self.gate, "rb") as fifo:
                fifo.read()
        return super().run(task)


class GpuGoneActor(scan_actor.ScanActor):
    """A ScanActor whose GPU turns out to be of no use with its first task, unless it was told to do
    without.
    """

    def run(self, task: scan_actor.Wire) -> scan_actor.Wire:
        if self._config["backend"] == "auto":
            return text_message(scan_actor.GPU_GONE, "no usable GPU: it was promising")
        return super().run(task)


@pytest.fixture
def gone_gpu(monkeypatch) -> Iterator[None]:
    """Actors are GpuGoneActors."""
    monkeypatch.setattr(ray_pool, "ScanActor", GpuGoneActor)
    module = sys.modules[__name__]
    ray.cloudpickle.register_pickle_by_value(module)
    yield
    ray.cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.usefixtures("gone_gpu")
def test_a_gpu_that_is_of_no_use_after_all_costs_nothing_but_time(scan, spec, documents) -> None:
    """Where nobody asked for GPUs the actors go on with their processors, and no document is
    blamed.
    """
    expected, _, _ = scan(LocalPool(spec, 1), documents)
    auto = WorkerSpec(spec.pack, EngineConfig(backend="auto", shard_bytes=spec.config.shard_bytes))
    found, outcome, warnings = scan(RayPool(auto), documents)
    assert found == expected and outcome.problems == []
    assert 1 <= outcome.totals.workers_lost <= GPUS and outcome.totals.retries == 0
    assert all("it was promising" in warning for warning in warnings)
    assert {use.backend for use in outcome.uses} == {"cpu"}


@pytest.fixture
def gate(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """A FIFO: opening it for writing returns when an actor is in the middle of a task, and never
    before.
    """
    path = tmp_path / "gate"
    os.mkfifo(path)
    monkeypatch.setattr(GatedActor, "gate", str(path))
    monkeypatch.setattr(ray_pool, "ScanActor", GatedActor)
    module = sys.modules[__name__]
    # no worker could import this file
    ray.cloudpickle.register_pickle_by_value(module)
    yield path
    ray.cloudpickle.unregister_pickle_by_value(module)


def test_a_killed_actor_costs_nothing_but_time(scan, spec, documents, gate: Path) -> None:
    """SIGKILL in the middle of a task: another actor does it again, and the findings are the
    same.
    """
    expected, _, _ = scan(LocalPool(spec, 1), documents)
    pool = RayPool(spec, 1)
    killed: list[int] = []

    def kill() -> None:
        entered = os.open(gate, os.O_WRONLY)
        gate.unlink()
        killed.append(pool.facts[0].pid)
        os.kill(killed[0], signal.SIGKILL)
        os.close(entered)

    killer = threading.Thread(target=kill)
    killer.start()
    found, outcome, warnings = scan(pool, documents)
    killer.join()
    assert found == expected
    assert (outcome.totals.workers_lost, outcome.totals.retries) == (1, 1)
    assert outcome.problems == []
    assert len(warnings) == 1 and f"process {killed[0]} on" in warnings[0]


@pytest.mark.parametrize("workers", [1, *nightly(2)])
def test_a_stopped_actor_is_ended_and_replaced(scan, spec, documents, workers: int) -> None:
    """One that was stopped hears nothing, also not that it is to end: its process is killed, and
    what it had is done by others.
    """
    expected, _, _ = scan(LocalPool(spec, 1), documents)
    pool = RayPool(spec, workers)
    stopped: list[int] = []

    def stop_one() -> None:
        if not stopped and (pids := [facts.pid for facts in pool.facts.values()]):
            os.kill(pids[0], signal.SIGSTOP)
            stopped.append(pids[0])

    config = MachineConfig(lease_seconds=1.0)
    found, outcome, warnings = scan(pool, documents, config, watch=stop_one)
    assert found == expected and outcome.complete
    assert outcome.totals.workers_lost >= 1 and "no answer about" in warnings[0]
    wait_until_gone(stopped)
    assert not psutil.pid_exists(stopped[0])


class HangingActor(scan_actor.ScanActor):
    """A ScanActor with one backend more, whose matcher never comes to an end with a marker."""

    def _load(self) -> Callable[[bytes], bytes]:
        from vyre_dist.kernels.backends import BACKENDS, cpu_backend_class

        class Hanging(cpu_backend_class()):  # type: ignore[misc]
            def _candidate_windows(self, windows: Any) -> Any:
                for window in windows:
                    if b"HANGS" in bytes(window.data):
                        threading.Event().wait()
                return super()._candidate_windows(windows)

        BACKENDS["hanging"] = lambda pack, cache, _: Hanging(pack, cache)
        return super()._load()


@pytest.mark.nightly
def test_a_document_that_hangs_its_actor_is_put_in_quarantine(
    scan, spec, documents, tmp_path: Path, monkeypatch
) -> None:
    """All else is scanned, and the scan ends; no actor that hangs is left."""
    expected, _, _ = scan(LocalPool(spec, 1), documents)
    monkeypatch.setattr(ray_pool, "ScanActor", HangingActor)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    poison = tmp_path / "poison"
    poison.write_text("a=1 HANGS")
    st = poison.stat()
    inputs = [
        documents[0],
        DocumentRef(str(poison), st.st_size, st.st_mtime_ns, st.st_ino),
        *documents[1:],
    ]
    config = replace(spec.config, backend="hanging")
    pids: set[int] = set()
    pool = RayPool(WorkerSpec(spec.pack, config), 2)
    found, outcome, warnings = scan(
        pool,
        inputs,
        MachineConfig(lease_seconds=1.0),
        watch=lambda: pids.update(facts.pid for facts in pool.facts.values()),
    )
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert found == expected
    (problem,) = outcome.problems
    assert (problem.path, problem.reason) == (str(poison), "quarantined")
    assert "no answer about" in problem.detail
    assert outcome.totals.workers_lost == len(warnings) >= 2
    wait_until_gone(list(pids))
    assert not any(map(psutil.pid_exists, pids))


def test_what_was_done_before_a_death_counts(open_pool, spec) -> None:
    """An answer that came before the death is reported before it; what was queued is the dead
    worker's.
    """
    pool = open_pool(spec, 1)
    start_all(pool)
    wait_for(pool, WorkerReady)
    pool.submit(0, 1, inline_task(b"a=1"))
    wait_for(pool, TaskDone)
    os.kill(pool.facts[0].pid, signal.SIGKILL)
    pool.submit(0, 2, inline_task(b"a=1"))
    pool.submit(0, 3, inline_task(b"a=1"))
    wait_for(pool, WorkerLost)
    pool.submit(0, 4, inline_task(b"a=1"))
    assert pool.poll(0.1) == []
    pool.replace(0)
    wait_for(pool, WorkerReady)
    pool.submit(0, 5, inline_task(b"a=1"))
    (done,) = wait_for(pool, TaskDone)
    assert isinstance(done, TaskDone) and done.task_id == 5


def test_a_task_that_raises_leaves_the_worker(open_pool, spec) -> None:
    """What is no task is a failure of that task; the next one is done."""
    pool = open_pool(spec, 1)
    start_all(pool)
    wait_for(pool, WorkerReady)
    pool.submit(0, 1, ScanTask((Piece(0, "x", 3, 0, 3, inline="no bytes"),)))  # type: ignore[arg-type]
    wait_for(pool, TaskFailed)
    pool.submit(0, 2, inline_task(b"a=1"))
    wait_for(pool, TaskDone)


def break_connections(pid: int) -> int:
    """End the TCP connections between this process and `pid`, on our side; how many there were."""
    theirs = {c.laddr for c in psutil.Process(pid).net_connections("tcp")}
    ours = [c for c in psutil.Process().net_connections("tcp") if c.raddr in theirs]
    for connection in ours:
        with socket.socket(fileno=os.dup(connection.fd)) as handle:
            handle.shutdown(socket.SHUT_RDWR)
    return len(ours)


def test_a_broken_connection_is_no_death(open_pool, spec, gate: Path) -> None:
    """An actor that can be reached again keeps its place; the task whose answer was lost has
    failed.
    """
    pool = open_pool(spec, 1)
    start_all(pool)
    wait_for(pool, WorkerReady)
    pid = pool.facts[0].pid
    pool.submit(0, 1, inline_task(b"a=1"))
    entered = os.open(gate, os.O_WRONLY)
    gate.unlink()
    assert break_connections(pid) > 0
    # busy as it is, it can't answer the probe: its fate is open
    assert pool.poll(1.0) == pool.poll(1.0) == []
    os.close(entered)
    (failed,) = wait_for(pool, TaskFailed)
    assert isinstance(failed, TaskFailed) and failed.task_id == 1
    pool.submit(0, 2, inline_task(b"a=1"))
    wait_for(pool, TaskDone)
    assert pool.facts[0].pid == pid


def test_an_actor_out_of_reach_for_too_long_is_given_up(open_pool, spec, gate: Path) -> None:
    """Past the deadline it is lost, and killed: it must not go on beside its successor."""
    pool = open_pool(spec, 1, probe_seconds=1.0)
    start_all(pool)
    wait_for(pool, WorkerReady)
    pid = pool.facts[0].pid
    pool.submit(0, 1, inline_task(b"a=1"))
    entered = os.open(gate, os.O_WRONLY)
    gate.unlink()
    assert break_connections(pid) > 0
    (lost,) = wait_for(pool, WorkerLost)
    assert isinstance(lost, WorkerLost) and "could not be reached" in lost.detail
    os.close(entered)
    wait_until_gone([pid])
    pool.replace(0)
    wait_for(pool, WorkerReady)
    assert pool.facts[0].pid != pid


def test_code_that_the_workers_lack_is_a_refusal(open_pool, spec, monkeypatch) -> None:
    """Where the actor's module cannot be imported that is said at once: another actor would lack it
    too.
    """
    module = types.ModuleType("vyre_test_only_here")
    only_here = type("ScanActor", (scan_actor.ScanActor,), {"__module__": module.__name__})
    monkeypatch.setattr(module, "ScanActor", only_here, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(ray_pool, "ScanActor", only_here)
    pool = open_pool(spec, 1)
    start_all(pool)
    (refused,) = wait_for(pool, WorkerRefused)
    assert isinstance(refused, WorkerRefused) and module.__name__ in refused.detail
