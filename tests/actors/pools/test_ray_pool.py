"""RayPool: the same findings as local processes, refusals, and waiting for room."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from long_runs import nightly
from ray_pools import CPUS, GPUS, PATIENCE_S, inline_task, start_all, wait_for

from vyre_dist import Scanner
from vyre_dist.actors import room
from vyre_dist.actors.cluster import ClusterError, InfeasibleError
from vyre_dist.actors.ray_pool import RayPool
from vyre_dist.driver.events import (
    PoolWaits,
    TaskDone,
    WorkerReady,
)
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.run import ScanAbortedError
from vyre_dist.engine.config import EngineConfig
from vyre_dist.errors import UsageError
from vyre_dist.sources import DocumentRef, FolderFiles, walk_folders


@pytest.mark.parametrize("workers", [*nightly(1), 2])
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
