"""Tuning on a cluster: Ray actors that run what one of them has found to be faster, and a Redis
server for all drivers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray
from small_corpus import write_small_files

from vyre_dist.actors.cluster import connect
from vyre_dist.actors.ray_pool import RayPool
from vyre_dist.driver.events import Event, TaskDone
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.run import Callbacks, run_scan
from vyre_dist.driver.tuning import Tuning
from vyre_dist.driver.tuning_report import TuningReport
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.tasks import ScanTask, Task
from vyre_dist.rules.model import PackData, Rule
from vyre_dist.runs.options import ScanOptions
from vyre_dist.runs.stores import RunStores
from vyre_dist.sources import walk_folders
from vyre_dist.sources.walk_options import WalkOptions
from vyre_dist.tuning.variants import SERIAL

pytestmark = pytest.mark.nightly

WORKERS = 3
PACK = PackData("small", (Rule("key", r"AKIA[0-9A-Z]{16}", keywords=("akia",)),))
SPEC = WorkerSpec(PACK, EngineConfig(backend="cpu", shard_bytes=1 << 16))


@pytest.fixture(scope="module", autouse=True)
def cluster(ray_places: Path) -> Iterator[None]:
    """One node."""
    assert connect(
        "local", local_cpus=2 * WORKERS, local_gpus=0, runtime_env=None, log_to_driver=False
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("much")
    write_small_files(root, 300)
    return root


class FastLane(RayPool):
    """Actors whose serial path is the faster one: what a trial has measured is changed on its way.

    `tuners`: the workers that were given challengers. `ran`: for each answer when it came, of whom,
    and what that has run.
    """

    def __init__(self, spec: WorkerSpec, workers: int) -> None:
        super().__init__(spec, workers, stay_connected=True)
        self.tuners: set[int] = set()
        self.ran: list[tuple[float, int, bool]] = []

    def submit(self, worker: int, task_id: int, task: Task) -> None:
        if isinstance(task, ScanTask) and task.trial and task.trial.challenger == SERIAL:
            self.tuners.add(worker)
        super().submit(worker, task_id, task)

    def poll(self, timeout: float) -> Sequence[Event]:
        events = super().poll(timeout)
        for event in events:
            if isinstance(event, TaskDone):
                result = event.result
                result.pairs = [
                    pair._replace(log_ratio=-0.5 if pair.challenger == SERIAL else 0.5)
                    for pair in result.pairs
                ]
                self.ran.append((time.monotonic(), event.worker, result.ran == SERIAL))
        return events


class Driver(threading.Thread):
    """One scan, with a cache of its own and the server's store."""

    def __init__(self, corpus: Path, url: str | None, cache: Path, times: int = 40) -> None:
        super().__init__()
        self.pool = FastLane(SPEC, WORKERS)
        self.stores = RunStores(
            ScanOptions(store=url, cache_dir=str(cache), tuning=url is not None)
        )
        self.corpus, self.times = corpus, times
        self.tuning: Tuning | None = None
        self.found = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._scan()
        except BaseException as error:
            self.error = error
            raise

    def _scan(self) -> None:
        self.tuning = self.stores.tuning()
        if self.tuning is not None:
            self.tuning.budget.share = 5.0  # the scan takes some seconds
        files = list(walk_folders([str(self.corpus)], WalkOptions()))

        def count(batch: Any) -> None:
            self.found += len(batch)

        told = Callbacks(count, lambda _: None, lambda _: None, lambda _t, _p: None)
        plan = Plan(files * self.times, 1 << 16, 20)
        run_scan(plan, self.pool, PACK.rules, told, tuning=self.tuning)
        self.stores.close()

    def ended(self) -> TuningReport:
        self.join()
        assert self.error is None
        assert self.tuning is not None
        return self.tuning.report()


def test_one_tunes_and_all_run_its_winner(corpus: Path, redis_url: str, tmp_path: Path) -> None:
    """Cold: one worker makes all trials, the others begin with its winner within a second. Warm, on
    another machine: no trial. The findings are the same.
    """
    plain = Driver(corpus, None, tmp_path / "plain")
    plain.run()
    cold = Driver(corpus, redis_url, tmp_path / "a")
    cold.run()
    assert cold.tuning is not None
    report = cold.tuning.report()
    assert (report.trials > 10, report.published, report.taken) == (True, 1, 0)
    assert len(cold.pool.tuners) == 1
    (tuned,) = [each for each in report.tuned if each.choice == SERIAL]
    assert (tuned.stage, tuned.source) == ("decided", "measured")
    assert tuned.workers >= WORKERS - 1
    assert tuned.taken_seconds <= 1.0
    warm = Driver(corpus, redis_url, tmp_path / "b")
    warm.run()
    assert warm.tuning is not None
    again = warm.tuning.report()
    assert (again.trials, again.published) == (0, 0)
    assert again.hits + again.taken >= 1
    assert plain.found == cold.found == warm.found > 0


def test_of_two_drivers_one_tunes(corpus: Path, redis_url: str, tmp_path: Path) -> None:
    """The other one's workers take its winner up within a second of its publication, in the midst
    of their scan.
    """
    drivers = [Driver(corpus, redis_url, tmp_path / str(n), times=80) for n in range(2)]
    for driver in drivers:
        driver.start()
    reports = [driver.ended() for driver in drivers]
    assert sorted(len(driver.pool.tuners) for driver in drivers) == [0, 1]
    tuner, other = sorted(zip(reports, drivers, strict=True), key=lambda each: -each[0].trials)
    assert (tuner[0].published, other[0].trials, other[0].published) == (1, 0, 0)
    (decided,) = [each.decided_at for each in tuner[0].tuned if each.choice == SERIAL]
    (taken,) = [each for each in other[0].tuned if each.choice == SERIAL]
    assert taken.source == "published"
    assert taken.decided_at + taken.taken_seconds <= decided + 1.0
    assert taken.workers >= WORKERS - 1


def test_a_server_that_is_stopped_costs_nothing(corpus: Path, tmp_path: Path) -> None:
    """No more than 0.3 s, and the scan tunes for itself."""
    url = "redis://127.0.0.1:1/"
    took = []
    for number, store in enumerate((f"sqlite://{tmp_path}/store", url)):
        driver = Driver(corpus, store, tmp_path / str(number))
        began = time.process_time()
        driver.run()
        took.append(time.process_time() - began)
        assert len(driver.pool.tuners) == 1
    assert took[1] <= took[0] + 0.3
