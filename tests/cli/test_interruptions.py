"""`vyre-dist scan` and the ways in which a process ends: Ctrl-C, signals, a driver that is killed,
deadly documents.

The workers get stuck, or die, in a backend of ours (faulty_scans.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from faulty_scans import PATIENCE, PROGRAM, Start, alive, stuck_workers

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("signum", "to_all", "code"),
    [
        (signal.SIGINT, True, 130),
        (signal.SIGINT, False, 130),
        (signal.SIGTERM, False, 143),
        (signal.SIGTERM, True, 143),
        (signal.SIGHUP, True, 129),
    ],
)
def test_an_interrupted_scan_ends_at_once_and_cleans_up(
    start: Start, stuck_tree: Path, tmp_path: Path, signum: signal.Signals, to_all: bool, code: int
) -> None:
    """Ctrl-C (to the whole group, or the driver alone) and SIGTERM: no worker, no half file, no
    traceback is left.
    """
    older = tmp_path / "found.csv"
    older.write_text("older")
    process = start("-j", "2", "--shard-size", "5", "-f", "jsonl", "-f", f"csv={older}", ".")
    workers = stuck_workers(process, 2)
    began = time.monotonic()
    (os.killpg if to_all else os.kill)(process.pid, signum)
    out, err = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < 5.0
    assert process.returncode == code
    assert err == (b"vyre-dist: interrupted\n" if signum == signal.SIGINT else b"")
    assert not any(alive(pid) for pid in workers)
    assert older.read_text() == "older"
    assert sorted(os.listdir(tmp_path)) == ["found.csv", "tree"]
    # what went to standard output stays; there is no summary, so that the reader can tell
    assert all(json.loads(line)["type"] == "finding" for line in out.splitlines())


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_more_signals_than_one_change_nothing(
    start: Start, stuck_tree: Path, tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    """However often a signal comes, from the first one until the process is gone, it is ended in
    order.
    """
    options = [f"--format={form}={tmp_path / form}" for form in ("jsonl", "csv", "parquet")]
    process = start("-j", "2", "--shard-size", "5", *options, "--report", tmp_path / "report", ".")
    workers = stuck_workers(process, 2)
    began = time.monotonic()
    while process.poll() is None and time.monotonic() < began + PATIENCE:
        process.send_signal(signum)
        time.sleep(0.0005)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert err == (b"vyre-dist: interrupted\n" if signum == signal.SIGINT else b"")
    assert not any(alive(pid) for pid in workers)
    assert os.listdir(tmp_path) == ["tree"]


@pytest.mark.parametrize("where", ["__del__", "finalizer"])
def test_an_end_in_a_finalizer_is_not_lost(where: str) -> None:
    """SIGTERM while a finalizer runs, where Python would drop the exception and go on, ends the
    process all the same.
    """
    program = f"""
import multiprocessing.util, os, signal, time
from vyre_dist.cli.main import end_in_order

def hit():
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(100_000):
        pass

class Dropped:
    def __del__(self):
        hit()

class Finalized:
    pass

end_in_order()
if "{where}" == "__del__":
    Dropped()
else:
    owner = Finalized()
    multiprocessing.util.Finalize(owner, hit)
    del owner
time.sleep({PATIENCE})
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=PATIENCE)
    assert done.returncode == 143
    assert done.stderr == b""
    assert time.monotonic() - began < PATIENCE / 2


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL, signal.SIGQUIT])
def test_a_document_on_standard_input_is_not_left_in_the_temporary_folder(
    tree: Path, pack: Path, environment: dict[str, str], tmp_path: Path, signum: signal.Signals
) -> None:
    """Its copy, which may hold secrets, has no name, and goes with the processes however they are
    ended.
    """
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = ["scan", "-r", str(pack), "--backend", "faulty", "--progress", "never", "-"]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *command],
        cwd=tree,
        env={**environment, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b"STUCK")
        process.stdin.close()
        stuck_workers(process, 1)
        assert os.listdir(temporary) == []
        # it is there all the same, and on the file system that TMPDIR names
        (copy,) = [p for p in Path(f"/proc/{process.pid}/fd").iterdir() if _is_copy(p)]
        assert copy.stat().st_dev == temporary.stat().st_dev
        resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
        process.send_signal(signum)
        assert process.wait(PATIENCE) == (143 if signum == signal.SIGTERM else -signum)
        # the end of the pipe: the last process that had it is gone
        process.stderr.read()  # type: ignore[union-attr]
    assert os.listdir(temporary) == []


def _is_copy(descriptor: Path) -> bool:
    """Whether it is open on a file that holds the test's document."""
    try:
        return descriptor.is_file() and descriptor.read_bytes() == b"STUCK"
    except OSError:
        return False


def test_nohup_keeps_a_scan_alive(tree: Path, pack: Path, environment: dict[str, str]) -> None:
    """Started with SIGHUP ignored, a scan goes on when its terminal is closed."""
    code = (
        "import signal, sys, os; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "os.execv(sys.executable, sys.argv[1:])"
    )
    os.mkfifo(tree / "list")
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            code,
            sys.executable,
            "-m",
            "vyre_dist",
            "scan",
            "-r",
            str(pack),
            "--files-from",
            "list",
        ],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        with open(tree / "list", "wb") as listing:  # opens when the scan reads it
            process.send_signal(signal.SIGHUP)
            listing.write(b"a.txt\n")
        out, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1 and b"tok_aaaaaaaaaaaa" in out


def test_a_driver_that_is_killed_leaves_no_workers(start: Start, stuck_tree: Path) -> None:
    """SIGKILL gives the driver no chance to tell anyone: its workers see the end of their pipes,
    even in mid-task.
    """
    process = start("-j", "2", "--shard-size", "5", ".")
    workers = stuck_workers(process, 2)
    process.kill()
    # the pipe ends when the last process that holds it is gone
    began = time.monotonic()
    process.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < 5.0
    assert process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 5.0
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.02)  # orphans are reaped by someone else: there is nothing to wait on
    assert not any(alive(pid) for pid in workers)


def test_limited_memory_is_no_crash(tree: Path, pack: Path, environment: dict[str, str]) -> None:
    """A file that does not fit into the memory a worker may have is listed; the small ones are
    scanned.
    """
    with open(tree / "large", "wb") as f:
        f.truncate(3 << 30)
    code = (
        "import resource, sys\n"
        "from vyre_dist.driver import local_pool\n"
        "serve = local_pool.serve\n"
        "def limited(*args):\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "    serve(*args)\n"
        "local_pool.serve = limited\n"
        "from vyre_dist.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    options = ["-f", "jsonl", "--progress", "never", "--shard-size", "1G", "--workers", "1", "."]
    run = subprocess.run(
        [sys.executable, "-c", code, "scan", "-r", str(pack), *options],
        cwd=tree,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 3
    assert [f["path"] for f in lines if f["type"] == "finding"] == ["a.txt", "sub/b.txt"]
    (problem,) = lines[-1]["problems"]
    assert (problem["path"], problem["reason"]) == ("large", "quarantined")
    assert "MemoryError" in problem["detail"]


GPU_PROGRAM = """
import sys
import emulated_gpu_process
from vyre_dist.driver import gpu_process
gpu_process._own_gpu = emulated_gpu_process.never_ready
from vyre_dist.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_scan_ends_the_gpus_process(
    tree: Path,
    pack: Path,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    signum: signal.Signals,
    code: int,
    early: bool,
) -> None:
    """While it is starting, from its first moment on: nothing is said of it, and it leaves nothing
    behind.
    """
    folder = tmp_path_factory.mktemp("t")
    support = str(Path(__file__).parents[1] / "support")
    command = ["scan", "-r", str(pack), "--backend", "cuda", "-j", "1", "--progress", "never", "."]
    process = subprocess.Popen(
        [sys.executable, "-c", GPU_PROGRAM, *command],
        cwd=tree,
        env=environment
        | {"TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join((support, str(ROOT)))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    family: list[psutil.Process] = []
    try:
        end = time.monotonic() + PATIENCE
        while not family:
            assert time.monotonic() < end
            with contextlib.suppress(psutil.NoSuchProcess):
                family = psutil.Process(process.pid).children(recursive=True)
        if not early:
            assert process.stderr.readline().startswith(b"starting ")
        began = time.monotonic()
        os.killpg(process.pid, signum)
        _, err = process.communicate(timeout=PATIENCE)
        assert time.monotonic() - began < 5.0
        assert process.returncode == code
        said = [line for line in err.splitlines() if not line.startswith(b"starting ")]
        assert said == ([b"vyre-dist: interrupted"] if signum == signal.SIGINT else [])
        _, left = psutil.wait_procs(family, timeout=PATIENCE)
        assert not left
        assert list(folder.iterdir()) == []
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_a_signal_that_python_dropped_is_not_the_last() -> None:
    """What is raised in a weak reference's callback is told and forgotten; a later signal ends the
    process all the same.
    """
    program = f"""
import os, signal, threading, time, weakref
from vyre_dist.cli import main

class Referred:
    pass

def hit(_):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(100_000):
        pass

def again():
    while True:
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

main._CLEAN_UP_SECONDS = 0.5
main.end_in_order()
referred = Referred()
reference = weakref.ref(referred, hit)
del referred
threading.Thread(target=again, daemon=True).start()
time.sleep({PATIENCE})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=PATIENCE)
    assert b"KeyboardInterrupt" in done.stderr
    assert done.returncode == 128 + signal.SIGTERM
