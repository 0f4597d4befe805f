"""RayPool on a real Ray of one node with two made-up GPUs: the same findings, whatever dies."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from vyre_dist import Scanner
from vyre_dist.actors import ray_pool, room, scan_actor
from vyre_dist.actors.cluster import ClusterError, InfeasibleError, connect
from vyre_dist.actors.ray_pool import RayPool
from vyre_dist.driver.events import (
    Event,
    PoolWaits,
    TaskDone,
    TaskFailed,
    WorkerLost,
    WorkerReady,
    WorkerRefused,
)
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.run import ScanAbortedError
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.tasks import Piece, ScanTask
from vyre_dist.errors import UsageError
from vyre_dist.processes.messages import text_message
from vyre_dist.sources import DocumentRef, FolderFiles, walk_folders

CPUS, GPUS = 3, 2
PATIENCE_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def cluster(ray_places: Path) -> Iterator[None]:
    """One node, which all pools here use as it is."""
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


# --- the ordinary course


@pytest.mark.parametrize("workers", [1, 2])
def test_same_findings_as_local_processes(scan, spec, documents, workers: int) -> None:
    """One actor or two give exactly what local processes give, in the same order."""
    expected, local, _ = scan(LocalPool(spec, 1), documents)
    found, outcome, warnings = scan(RayPool(spec, workers), documents)
    assert len(expected) > 3000
    assert found == expected
    # a second one may not be ready before all is done
    assert 1 <= outcome.workers <= workers and (warnings, outcome.problems) == ([], [])
    assert outcome.totals.documents == local.totals.documents == len(documents)
    assert outcome.totals.bytes == sum(d.size for d in documents)


def test_a_connection_that_was_there_stays(spec, open_pool) -> None:
    """Closing gives the actors back, twice if need be, and leaves a Ray that somebody else
    connected.
    """
    pool = open_pool(spec, CPUS)
    start_all(pool)
    wait_for(pool, WorkerReady, CPUS)
    pids = [facts.pid for facts in pool.facts.values()]
    pool.close()
    pool.close()
    assert ray.is_initialized()
    _, alive = psutil.wait_procs(
        [psutil.Process(p) for p in pids if psutil.pid_exists(p)], timeout=PATIENCE_S
    )
    assert not alive


def test_one_actor_for_each_gpu(open_pool, spec) -> None:
    """Without a number there are as many actors as GPUs, each with a GPU and a process of its
    own.
    """
    pool = open_pool(WorkerSpec(spec.pack, EngineConfig(backend="auto")))
    assert start_all(pool) == [0, 1]
    wait_for(pool, WorkerReady, GPUS)
    facts = list(pool.facts.values())
    assert sorted(f.gpus for f in facts) == [("0",), ("1",)]
    assert len({f.pid for f in facts}) == GPUS
    assert {f.node for f in facts} == {ray.nodes()[0]["NodeID"]}


def test_gpu_actors_with_one_process_each(open_pool, scan, spec, documents) -> None:
    """Where a GPU goes with no more CPUs than its own process takes, tasks are still done one after
    the other, in a process beside the actor: its calls come from several threads, and an engine is
    for one.
    """
    expected, _, _ = scan(LocalPool(spec, 1), documents)
    pool = open_pool(
        WorkerSpec(spec.pack, EngineConfig(backend="auto", shard_bytes=spec.config.shard_bytes))
    )
    hands: set[int] = set()
    beside: set[int] = set()

    def watch() -> None:
        for own in pool.facts.values():
            hands.add(own.processes)
            beside.update(child.pid for child in psutil.Process(own.pid).children())

    found, outcome, _ = scan(pool, documents, watch=watch)
    assert found == expected
    # the second actor may not be ready before all is done
    assert 1 <= outcome.workers <= GPUS and (outcome.problems, hands) == ([], {1})
    assert len(beside) >= outcome.workers


def test_one_actor_for_each_cpu_where_gpus_are_of_no_use(open_pool, spec) -> None:
    """A CPU backend takes no GPU, and gets an actor for each CPU."""
    pool = open_pool(spec)
    assert len(start_all(pool)) == CPUS
    wait_for(pool, WorkerReady, CPUS)
    assert {(f.gpus, f.backend) for f in pool.facts.values()} == {((), "cpu")}


def test_relative_paths_are_the_drivers(scan, spec, corpus: Path, monkeypatch) -> None:
    """The actors' processes are elsewhere, and open what the driver's working directory says."""
    monkeypatch.chdir(corpus)
    st = os.stat("d1/f01")
    inputs = [
        DocumentRef("d1/f01", st.st_size, st.st_mtime_ns, st.st_ino),
        FolderFiles("d1/", ["f04", "long"]),
        FolderFiles("", ["d0/.env"]),
    ]
    found, outcome, _ = scan(RayPool(spec, 1), inputs)
    assert outcome.problems == []
    assert {f.path for f in found} == {"d1/f01", "d1/f04", "d1/long", "d0/.env"}
    assert outcome.totals.documents == 4


def test_names_are_opened_as_they_are_and_told_as_they_are_written(
    scan, spec, tmp_path, monkeypatch
) -> None:
    """The actors open what the disk has, also where a report escapes it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d!").mkdir()
    for name in ("a", "b!", "c%21"):
        (tmp_path / "d!" / name).write_bytes(b"key=12345")
    found, outcome, _ = scan(RayPool(spec, 1), list(walk_folders(["./d!", "d!/b!"])))
    assert outcome.problems == [] and outcome.totals.documents == 3
    assert [f.path for f in found] == ["d%21/a", "d%21/b%21", "d%21/c%2521"]
    assert found == Scanner(spec.pack).scan_paths("d!")


def test_long_messages_pass(open_pool, spec) -> None:
    """A task and an answer of several megabytes go through."""
    pool = open_pool(spec, 1)
    start_all(pool)
    wait_for(pool, WorkerReady)
    data = b"key=12345 " * 60_000
    pool.submit(0, 7, inline_task(data))
    (done,) = wait_for(pool, TaskDone)
    assert isinstance(done, TaskDone) and done.task_id == 7
    assert len(done.result.findings) == 60_000


# --- refusals


@pytest.mark.parametrize(
    ("backend", "workers", "fit"),
    [("auto", GPUS + 1, GPUS), ("cpu", CPUS + 1, CPUS), ("cpu", 1000, CPUS)],
)
def test_more_than_the_cluster_has_fails_at_once(
    open_pool, spec, backend: str, workers: int, fit: int
) -> None:
    """What Ray would wait for forever is refused, with what was asked and what there is."""
    pool = open_pool(WorkerSpec(spec.pack, EngineConfig(backend=backend)), workers)
    before = time.monotonic()
    with pytest.raises(InfeasibleError) as caught:
        start_all(pool)
    assert time.monotonic() - before < 5
    assert (caught.value.asked, caught.value.capacity) == (workers, fit)
    assert str(workers) in str(caught.value) and f"{GPUS} GPU and {CPUS} CPU" in str(caught.value)


def test_a_cluster_that_can_grow_is_not_refused(open_pool, spec) -> None:
    """With an autoscaler's word, the workers that fit begin, and the others are waited for."""
    pool = open_pool(spec, CPUS + 2, autoscale=True)
    assert len(start_all(pool)) == CPUS + 2
    wait_for(pool, WorkerReady, CPUS)
    assert {type(event) for event in pool.poll(0.5)} <= {PoolWaits}


@pytest.mark.parametrize("options", [{"workers": 0}, {"autoscale": True}, {"gpus_per_worker": -1}])
def test_nonsense_is_refused(spec, options: dict[str, int]) -> None:
    """Numbers that make no sense are the caller's error."""
    with pytest.raises(UsageError):
        RayPool(spec, **options)  # type: ignore[arg-type]


def test_an_engine_that_cannot_open_is_a_refusal(scan, spec, documents) -> None:
    """An unknown backend ends the scan with the engine's own words, not with sixteen attempts."""
    pool = RayPool(WorkerSpec(spec.pack, EngineConfig(backend="abacus")), 1)
    with pytest.raises(ScanAbortedError, match="unknown backend 'abacus'") as caught:
        scan(pool, documents)
    assert caught.value.outcome.totals.workers_lost == 0


def test_a_runtime_environment_comes_too_late_for_a_connection(open_pool, spec) -> None:
    """What only a new connection could honour is refused, not dropped."""
    with pytest.raises(ClusterError, match="connected already"):
        open_pool(spec, 1, ship_package=True).start()


# --- room


def holder(cpus: int) -> Any:
    """An actor that has so many of the node's processors."""

    class Holder:
        def holds(self) -> bool:
            return True

    actor = ray.remote(Holder).options(num_cpus=cpus).remote()
    assert ray.get(actor.holds.remote(), timeout=PATIENCE_S)
    return actor


def test_a_pool_without_room_says_so_once_and_begins_later(open_pool, spec, monkeypatch) -> None:
    """What is missing, and that the others join; with the first room that there is it begins."""
    monkeypatch.setattr(room, "_LOOK_SECONDS", 0.1)
    held, more = holder(1), holder(CPUS - 1)
    pool = open_pool(spec, CPUS)
    start_all(pool)
    (waits,) = wait_for(pool, PoolWaits)
    assert isinstance(waits, PoolWaits)
    assert f"a worker needs 1 CPU, and 0 of {CPUS} CPUs are free" in waits.detail
    assert "begins with the first one" in waits.detail
    ray.kill(held)
    wait_for(pool, WorkerReady)
    (waits,) = wait_for(pool, PoolWaits)
    assert isinstance(waits, PoolWaits)
    assert f"the scan goes on with 1 of {CPUS} workers" in waits.detail
    assert pool.poll(1.0) == []
    ray.kill(more)
    wait_for(pool, WorkerReady, CPUS - 1)


def test_one_that_loads_is_not_one_that_waits(tmp_path: Path, monkeypatch) -> None:
    """Ray shows both as pending; only the one without a processor waits for room."""
    monkeypatch.setattr(room, "_LOOK_SECONDS", 0.0)
    os.mkfifo(tmp_path / "made")
    path = str(tmp_path / "made")

    class Slow:
        def __init__(self) -> None:
            with open(path, "rb") as made:
                made.read()

    looks = room.Room({"CPU": 1}, CPUS, grows=False)
    slow = ray.remote(Slow).options(num_cpus=1)
    loading = [slow.remote() for _ in range(CPUS)]
    until = time.monotonic() + PATIENCE_S
    while not all(map(room.has_place, loading)) and time.monotonic() < until:
        assert looks.look(loading, 0, ()) == []  # their processes start
        time.sleep(0.05)
    waiting = slow.remote()
    while not room.is_asked_for({"CPU": 1}) and time.monotonic() < until:
        time.sleep(0.05)
    assert [looks.look(loading, 0, ()) for _ in range(4)] == [[]] * 4
    assert [looks.look([*loading, waiting], 0, ()) for _ in range(4)] == [[]] * 4, "one is to begin"
    said = [looks.look([*loading[1:], waiting], 1, ()) for _ in range(4)]
    assert sum(map(len, said)) == 1 and isinstance(said[-2][0], PoolWaits)
    for actor in [*loading, waiting]:
        ray.kill(actor)


# --- faults


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


@pytest.mark.parametrize("workers", [1, 2])
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
