"""LocalPool with several GPUs, each owned by a process of its own; and with `auto`, where a GPU
comes when it is worth it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import emulated_gpu_process
import pytest
from emulated_kernels import compiler
from small_corpus import write_small_files

from vyre_dist import RulePack, Scanner
from vyre_dist.driver import gpu_payoff, gpu_process, local_pool
from vyre_dist.driver.gpu_devices import GpuDevice, GpuWish, chosen_devices
from vyre_dist.driver.gpu_set import _seats
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.run import Callbacks, ScanAbortedError, ScanOutcome, run_scan
from vyre_dist.driver.totals import Totals
from vyre_dist.engine.config import EngineConfig
from vyre_dist.finding import Finding
from vyre_dist.kernels.cuda import faster
from vyre_dist.kernels.cuda.warming_backend import WarmingBackend
from vyre_dist.sources import walk_folders

PACK = RulePack.from_patterns({"key": r"AKIA[0-9A-Z]{16}", "any": r"n\d+="})
SHARD_BYTES = 4096
PATIENCE = 60.0


@pytest.fixture(params=["emulated", pytest.param("real", marks=pytest.mark.gpu)], autouse=True)
def devices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs."""
    if request.param == "emulated":
        if compiler() is None:
            pytest.skip("there is no g++, which compiles the kernels for the emulated GPU")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
        monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.own_gpu)
        return
    if len(chosen_devices(GpuWish())) < 2:
        pytest.skip("this machine has one GPU, and two are needed")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files, and one that is cut into pieces."""
    root = tmp_path_factory.mktemp("corpus")
    write_small_files(root, 40)
    (root / "d1" / "long").write_text(
        "".join(f"n{i}={i} AKIA{'C' * 12}{i:04d} text\n" for i in range(3000))
    )
    return root


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers, which are forked and so see this, wait for their GPU."""
    look = WarmingBackend._look

    def wait_for_it(backend: WarmingBackend) -> bool:
        end = time.monotonic() + PATIENCE
        while not look(backend):
            assert time.monotonic() < end
            time.sleep(0.01)
        return True

    monkeypatch.setattr(WarmingBackend, "_look", wait_for_it)


def spec(backend: str = "cuda") -> WorkerSpec:
    """A small pack."""
    return WorkerSpec(PACK.data, EngineConfig(backend, shard_bytes=SHARD_BYTES))


def scan(
    pool: LocalPool, root: Path, watch: Callable[[Totals], object] = lambda _: None
) -> tuple[list[Finding], ScanOutcome, list[str]]:
    """Findings, outcome and warnings; `watch` is called after every round of events."""
    found: list[Finding] = []
    warnings: list[str] = []
    callbacks = Callbacks(
        found.extend, lambda _: None, warnings.append, lambda totals, _: watch(totals)
    )
    outcome = run_scan(Plan(walk_folders([str(root)]), SHARD_BYTES), pool, PACK.rules, callbacks)
    return found, outcome, warnings


def by_the_processor(root: Path) -> list[Finding]:
    return list(Scanner(PACK, backend="cpu").scan_paths([str(root)]))


@pytest.mark.usefixtures("patient")
def test_each_gpu_scans(corpus: Path) -> None:
    """Workers feed the GPUs in turn; each GPU has a process of its own, and the findings are the
    processors'.
    """
    pool = LocalPool(spec(), workers=4, start_method="fork")
    pids: set[int | None] = set()

    def watch(_: Totals) -> None:
        assert pool.gpus is not None
        pids.update(process.pid for process in pool.gpus.processes)

    found, outcome, warnings = scan(pool, corpus, watch)
    assert found == by_the_processor(corpus)
    assert (outcome.totals.workers_lost, warnings, outcome.left_out) == (0, [], [])
    assert {use.worker: use.facts.gpus for use in outcome.uses} == {
        0: ("0",),
        1: ("1",),
        2: ("0",),
        3: ("1",),
    }
    by_gpu = dict.fromkeys("01", 0)
    for use in outcome.uses:
        by_gpu[use.facts.gpus[0]] += use.scanned.get("cuda", 0)
    assert min(by_gpu.values()) > 0
    assert len(pids - {None}) == 2


@pytest.mark.parametrize(("workers", "wish", "want"), [(1, None, 1), (4, "1", 1), (4, "1,", 1)])
def test_no_more_gpus_than_are_wanted(
    corpus: Path, workers: int, wish: str | None, want: int
) -> None:
    """A worker feeds one GPU; --gpus may ask for fewer than there are."""
    gpus = None if wish is None else GpuWish.of(wish)
    pool = LocalPool(spec(), workers=workers, start_method="fork", gpus=gpus)
    found, outcome, _ = scan(pool, corpus)
    assert found == by_the_processor(corpus)
    assert pool.gpus is not None and len(pool.gpus.processes) == want
    own = {"1,": "1"}.get(wish or "", "0")
    assert {use.facts.gpus for use in outcome.uses} == {(own,)}


def test_gpus_start_with_the_workers_for_them(corpus: Path) -> None:
    """A scan of one file has one worker, and needs no second GPU's process."""
    pool = LocalPool(spec(), workers=4, start_method="fork")
    begun: set[bool] = set()

    def watch(_: Totals) -> None:
        assert pool.gpus is not None
        begun.add(pool.gpus.processes[1].begun)

    scan(pool, corpus / "d0" / os.listdir(corpus / "d0")[0], watch)
    assert begun == {False}


@pytest.mark.usefixtures("patient")
def test_one_of_two_is_of_no_use(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, once, with the reason; its workers join the other one's."""
    monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.second_refused)
    pool = LocalPool(spec(), workers=4, start_method="fork")
    found, outcome, warnings = scan(pool, corpus)
    assert found == by_the_processor(corpus)
    assert outcome.totals.workers_lost == 0
    assert outcome.left_out == ["GPU 1: no usable GPU: it fell off the bus"]
    assert warnings == [f"{outcome.left_out[0]}; the scan goes on without it"]
    assert sum(use.scanned.get("cuda", 0) > 0 for use in outcome.uses) > 2


@pytest.mark.usefixtures("patient")
def test_one_that_others_have_filled(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU whose memory another process holds is left out; a single one is not."""
    monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.second_full)
    _, outcome, _ = scan(LocalPool(spec(), workers=4, start_method="fork"), corpus)
    (left_out,) = outcome.left_out
    assert left_out.startswith("GPU 1 (emulated GPU): no usable GPU: 9")
    assert "MiB of its memory are free, and 25" in left_out
    gpus = GpuWish.of("1,")
    _, outcome, _ = scan(LocalPool(spec(), workers=2, start_method="fork", gpus=gpus), corpus)
    assert outcome.left_out == []
    assert sum(use.scanned.get("cuda", 0) for use in outcome.uses) > 0


def test_none_of_two_is_of_use(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names both."""
    monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.refused)
    with pytest.raises(ScanAbortedError, match=r"GPU 0: no usable GPU: .*; GPU 1: no usable") as e:
        scan(LocalPool(spec(), workers=4, start_method="fork"), corpus)
    assert e.value.refused and e.value.outcome.totals.documents == 0


@pytest.mark.usefixtures("patient")
def test_one_that_dies_for_good(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its workers join the other's, whose findings are the same."""
    monkeypatch.setattr(gpu_process, "MOST_DEATHS", 1)
    pool = LocalPool(spec(), workers=4, start_method="fork")
    killed: list[int] = []

    def kill(totals: Totals) -> None:
        assert pool.gpus is not None
        second = pool.gpus.processes[1]
        if second.ready and totals.documents and not killed and second.pid:
            killed.append(second.pid)
            os.kill(second.pid, signal.SIGKILL)

    found, outcome, _ = scan(pool, corpus, kill)
    assert found == by_the_processor(corpus)
    assert outcome.totals.workers_lost == 0
    (left_out,) = outcome.left_out
    assert left_out.startswith(f"GPU 1's process {killed[0]} was ended by signal 9")


def test_seats() -> None:
    """Workers run near their GPU as long as there is a processor for each of them."""
    a, b = frozenset({0, 1}), frozenset({2, 3})
    two = [GpuDevice("0", a), GpuDevice("1", b)]
    assert _seats(two, 4) == [a, b, a, b]
    assert _seats(two, 6) == [a, b, a, b, frozenset(), frozenset()]
    # on one node with another GPU
    assert _seats([GpuDevice("0", a), GpuDevice("1", a)], 4) == [a, a, frozenset(), frozenset()]
    assert _seats([GpuDevice("")], 2) == [frozenset()] * 2


class TestAuto:
    """`auto`, on a machine that has NVIDIA's driver and CuPy."""

    @pytest.fixture(autouse=True)
    def _has_a_driver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local_pool, "has_nvidia_driver", lambda: True)
        monkeypatch.setattr(local_pool, "has_cupy", lambda: True)

    def test_a_small_scan(self, corpus: Path) -> None:
        """It stays on the processors, and no GPU's process is started."""
        pool = LocalPool(spec("auto"), workers=2, start_method="fork")
        begun: set[bool] = set()

        def watch(_: Totals) -> None:
            assert pool.gpus is not None
            begun.add(pool.gpus.begun)

        found, outcome, warnings = scan(pool, corpus / "d0", watch)
        assert found == by_the_processor(corpus / "d0")
        assert (begun, warnings) == ({False}, [])
        assert {name for use in outcome.uses for name in use.scanned} == {"cpu"}

    @pytest.mark.parametrize("start_method", ["fork", "spawn"])
    def test_one_that_grows(
        self, tmp_path: Path, start_method: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It moves over to the GPU when that is ready; nothing is found twice or missing."""
        monkeypatch.setattr(gpu_payoff, "_AT_LEAST", 0.0)
        monkeypatch.setattr(gpu_payoff, "_TIMES", 0)
        monkeypatch.setattr(gpu_payoff, "_TIMES_KNOWN", 0)
        write_small_files(tmp_path, 20)
        want = by_the_processor(tmp_path)
        pool = LocalPool(spec("auto"), workers=2, start_method=start_method)
        end = time.monotonic() + PATIENCE

        def wait_for_gpus(_: Totals) -> None:
            gpus = pool.gpus
            while gpus and gpus.begun and not all(p.ready for p in gpus.processes if p.begun):
                assert time.monotonic() < end
                for connection, process in gpus.connections.items():
                    if connection.poll(0.1):
                        pool._heard(gpus, process)

        monkeypatch.setattr(faster, "BASELINE", 0)
        found, outcome, warnings = scan(pool, tmp_path, wait_for_gpus)
        assert found == want
        assert warnings == []
        assert outcome.totals.workers_lost == 0
        if start_method == "fork":  # else the workers do not see that they need not compare first
            assert sum(use.scanned.get("cuda", 0) for use in outcome.uses) > 0
            assert pool.gpus is not None
            assert {use.facts.gpu for use in outcome.uses} == {pool.gpus.product(0)} != {""}

    def test_no_usable_gpu(self, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody asked for one: nothing is said, and the processors do it all."""
        monkeypatch.setattr(gpu_payoff, "_AT_LEAST", 0.0)
        monkeypatch.setattr(gpu_payoff, "_TIMES", 0)
        monkeypatch.setattr(gpu_payoff, "_TIMES_KNOWN", 0)
        monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.refused)
        found, outcome, warnings = scan(
            LocalPool(spec("auto"), workers=2, start_method="fork"), corpus
        )
        assert found == by_the_processor(corpus)
        assert (warnings, outcome.left_out) == ([], [])
        assert {name for use in outcome.uses for name in use.scanned} == {"cpu"}
