"""LocalPool with a process that owns the GPU: workers that read, one device that scans, and what is
lost when it dies.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import emulated_gpu_process
import pytest
from emulated_kernels import compiler
from small_corpus import write_small_files
from stub_driver import make_driver

from vyre_dist import RulePack, Scanner
from vyre_dist.driver import gpu_process, gpu_set
from vyre_dist.driver.gpu_devices import GpuDevice
from vyre_dist.driver.gpu_process import GpuProcess
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.run import Callbacks, ScanAbortedError, ScanOutcome, run_scan
from vyre_dist.driver.totals import Totals
from vyre_dist.engine.config import EngineConfig
from vyre_dist.errors import UsageError
from vyre_dist.finding import Finding
from vyre_dist.kernels.cuda.warming_backend import WarmingBackend
from vyre_dist.processes.child import STOP_SECONDS, Child
from vyre_dist.processes.unwaited import UnwaitedProcess
from vyre_dist.sources import walk_folders

PACK = RulePack.from_patterns(
    {"key": r"AKIA[0-9A-Z]{16}", "pair": r"\b(port|id)=(\d+)", "any": r"n\d+="}
)
SHARD_BYTES = 4096
PATIENCE = 60.0


@pytest.fixture(params=["emulated", pytest.param("real", marks=pytest.mark.gpu)], autouse=True)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the GPU's process finds."""
    if request.param == "emulated":
        if compiler() is None:
            pytest.skip("there is no g++, which compiles the kernels for the emulated GPU")
        monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.own_gpu)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers, which are forked and so see this, wait for the GPU instead of beginning without
    it.
    """
    look = WarmingBackend._look

    def wait_for_it(backend: WarmingBackend) -> bool:
        end = time.monotonic() + PATIENCE
        while not look(backend):
            assert time.monotonic() < end
            time.sleep(0.01)
        return True

    monkeypatch.setattr(WarmingBackend, "_look", wait_for_it)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files, an empty one, and one that is cut into pieces."""
    root = tmp_path_factory.mktemp("corpus")
    write_small_files(root, 40)
    (root / "d0" / "empty").touch()
    (root / "d1" / "long").write_text(
        "".join(f"n{i}={i} AKIA{'C' * 12}{i:04d} text\n" for i in range(2000))
    )
    return root


def scan(
    pool: LocalPool, root: Path, watch: Callable[[Totals], object] = lambda _: None
) -> tuple[list[Finding], ScanOutcome]:
    """What a scan of `root` finds; `watch` is called after every round of events."""
    found: list[Finding] = []
    callbacks = Callbacks(
        found.extend, lambda _: None, lambda _: None, lambda totals, _: watch(totals)
    )
    outcome = run_scan(Plan(walk_folders([str(root)]), SHARD_BYTES), pool, PACK.rules, callbacks)
    return found, outcome


def spec(speculation: str = "auto") -> WorkerSpec:
    """A small pack on the GPU."""
    return WorkerSpec(PACK.data, EngineConfig("cuda", speculation, shard_bytes=SHARD_BYTES))


@pytest.mark.usefixtures("patient")
def test_findings_are_the_cpu_backends(corpus: Path) -> None:
    """Three workers on one GPU find what the processors find; no worker is lost."""
    want = list(Scanner(PACK, backend="cpu").scan_paths([str(corpus)]))
    pool = LocalPool(spec(), workers=3, start_method="fork")
    found, outcome = scan(pool, corpus)
    assert found == want
    assert len(found) > 1000
    assert outcome.complete
    assert outcome.totals.workers_lost == 0
    assert outcome.totals.fused > 0


@pytest.mark.usefixtures("patient")
def test_a_file_that_grows_while_a_gpu_scans_it(tmp_path: Path) -> None:
    """Its planned bytes have the findings that the cpu backend has for them, and its growth is a
    note.
    """
    path = tmp_path / "long"
    path.write_text("".join(f"n{i}={i} AKIA{'C' * 12}{i:04d} text\n" for i in range(3000)))
    want = list(Scanner(PACK, backend="cpu").scan_paths(path))

    def grow(_: Totals) -> None:
        with path.open("ab") as f:
            f.write(b"n7=7\n")

    found, outcome = scan(LocalPool(spec(), workers=2, start_method="fork"), path, grow)
    assert found == want
    assert outcome.complete
    assert [note.reason for note in outcome.notes] == ["grew"]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("times", [1, 3])
def test_a_gpu_process_that_is_killed(corpus: Path, times: int) -> None:
    """Another process takes its place, no worker is lost, and nothing is missing from the findings,
    however often that happens.
    """
    want = list(Scanner(PACK, backend="cpu").scan_paths([str(corpus)]))
    pool = LocalPool(spec("force"), workers=2, start_method="fork")
    killed: list[int] = []

    def kill(totals: Totals) -> None:
        gpu = pool.gpus.of(0) if pool.gpus else None
        if gpu is not None and gpu.ready and totals.documents and len(killed) < times:
            assert gpu.pid is not None
            if gpu.pid not in killed:
                killed.append(gpu.pid)
                os.kill(gpu.pid, signal.SIGKILL)

    found, outcome = scan(pool, corpus, kill)
    assert len(killed) == times
    assert outcome.totals.workers_lost == 0
    assert found == want
    assert outcome.complete


def test_a_gpu_process_that_never_starts(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scan is given up, with the reason; nobody waits for ever."""
    monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.dies_at_once)
    with pytest.raises(
        ScanAbortedError, match=r"GPU 0's process \d+ ended with exit code 7"
    ) as caught:
        scan(LocalPool(spec(), workers=2), corpus)
    assert caught.value.refused
    assert caught.value.outcome.totals.documents == 0


def test_one_that_never_finds_it(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says that there was no GPU; nothing was reported as scanned, and nobody waits for
    ever.
    """
    monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.says_nothing)
    monkeypatch.setattr(gpu_set, "START_SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(ScanAbortedError, match=r"had not found it after 0.5 s") as caught:
        scan(LocalPool(spec(), workers=2), corpus)
    assert time.monotonic() - began < STOP_SECONDS
    assert caught.value.refused
    assert caught.value.outcome.totals.documents == 0


def test_one_that_was_only_promising(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that will not do after all ends the scan with the reason, however far the processors
    are.
    """
    monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.promising_but_refused)
    with pytest.raises(ScanAbortedError, match="no usable GPU: it was promising") as caught:
        scan(LocalPool(spec(), workers=2), corpus)
    assert caught.value.refused


@pytest.mark.parametrize(
    ("own_gpu", "reason"),
    [
        (emulated_gpu_process.taken_by_another, "no usable GPU: cudaErrorDevicesUnavailable"),
        (
            emulated_gpu_process.breaks,
            r"no usable GPU: \w+: .*; use --backend cpu",
        ),
    ],
)
@pytest.mark.parametrize("driver", ["none", "shows a device"])
def test_one_that_breaks(
    own_gpu: Any, reason: str, driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is raised before the GPU is ready is told as the reason, whether or not it looked
    promising.
    """
    if driver != "none":
        for name, value in make_driver(tmp_path).items():
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(gpu_process, "_own_gpu", own_gpu)
    address = str(tmp_path / "socket")
    process = GpuProcess(spec(), GpuDevice(""), address, forks=driver == "none", alone=True)
    try:
        process.start()
        while not process.gone:
            process.take_message()
    finally:
        process.close()
    assert re.search(reason, process.gone), process.gone


def test_one_that_is_never_ready(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a GPU, and the processors are done before it could be of use: nobody waits for
    it.
    """
    monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.never_ready)
    want = list(Scanner(PACK, backend="cpu").scan_paths([str(corpus)]))
    began = time.monotonic()
    found, outcome = scan(LocalPool(spec(), workers=2), corpus)
    assert time.monotonic() - began < gpu_set.START_SECONDS
    assert found == want
    assert outcome.complete
    assert outcome.totals.fused == 0


def test_a_scan_that_is_over_first(corpus: Path) -> None:
    """What the processors found before the GPU was ready is the same."""
    want = list(Scanner(PACK, backend="cpu").scan_paths([str(corpus / "d0")]))
    found, outcome = scan(LocalPool(spec(), workers=2), corpus / "d0")
    assert found == want
    assert outcome.complete


def test_nothing_is_left_behind(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the pool is closed the process has ended and its socket is gone."""
    own: list[GpuProcess] = []
    start = GpuProcess.__init__

    def remember(self: GpuProcess, *arguments: Any, **options: bool) -> None:
        own.append(self)
        start(self, *arguments, **options)

    monkeypatch.setattr(GpuProcess, "__init__", remember)
    scan(LocalPool(spec(), workers=1), corpus)
    (gpu,) = own
    assert not os.path.exists(os.path.dirname(gpu.address))
    assert gpu.pid is None


def test_it_is_killed_before_its_pipe_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is closed while it tells how far it is has no time to complain that nobody reads."""
    broken: list[bool] = []
    kill = UnwaitedProcess.kill

    def watched(self: UnwaitedProcess) -> None:
        broken.append(process.connection.closed)
        kill(self)

    monkeypatch.setattr(UnwaitedProcess, "kill", watched)
    monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.says_nothing)
    process = GpuProcess(spec(), GpuDevice(""), str(tmp_path / "socket"), forks=True, alone=True)
    process.start()
    process.close()
    assert broken == [False]
    assert process.connection.closed


def test_a_ctrl_c_while_it_is_started_ends_it(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """The pool can close it by then: neither the process nor its folder stays."""
    folder = Path(tempfile.mkdtemp(prefix="vt"))  # a socket's path has room for 107 bytes
    request.addfinalizer(lambda: shutil.rmtree(folder, ignore_errors=True))
    monkeypatch.setenv("TMPDIR", str(folder))
    started: list[int] = []
    fork = gpu_process.fork_unwaited

    def interrupted(*arguments: Any) -> Child:
        child = fork(*arguments)
        assert child.pid is not None
        started.append(os.pidfd_open(child.pid))
        os.kill(os.getpid(), signal.SIGINT)
        return child

    monkeypatch.setattr(gpu_process, "fork_unwaited", interrupted)
    # another test may have used a GPU in this process, and then it would not be forked
    monkeypatch.setattr(gpu_process, "_has_cuda", lambda: False)
    monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.says_nothing)
    with pytest.raises(KeyboardInterrupt):
        scan(LocalPool(spec(), workers=1, start_method="fork"), corpus)
    (process,) = started
    try:
        assert wait([process], PATIENCE)
        assert list(folder.iterdir()) == []
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        os.close(process)


def test_a_long_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no socket can be made, the error says where and what to do, and nothing is left
    behind.
    """
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    with pytest.raises(UsageError, match=r"no socket can be made at .*\.gpu\..*set TMPDIR"):
        scan(LocalPool(spec(), workers=1), tmp_path)
    assert list(deep.iterdir()) == []


def test_a_temporary_folder_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named; no other one is taken in its place."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    with pytest.raises(
        UsageError, match=rf"no folder can be made in '{tmp_path}/none'.*set TMPDIR"
    ):
        scan(LocalPool(spec(), workers=1), tmp_path)
