"""`vyre-dist scan` of files that others write to meanwhile: what it reports, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
SIZE = 256 << 20


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A file of many pieces, with a finding in the first, on its second line."""
    path = tmp_path / "app.log"
    with path.open("wb") as f:
        f.write(b"starting\ntok_aaaaaaaaaaaa\n")
        f.truncate(SIZE)
    return path


@pytest.mark.parametrize("size", [100, 1 << 20, SIZE], ids=["small", "some-pieces", "many-pieces"])
def test_a_file_that_is_appended_to_all_the_time_is_scanned(scan: Cli, log: Path, size: int) -> None:
    """What the file had when it was listed is reported with the exit code of its findings; growth is at most a note."""
    os.truncate(log, size)
    stop = threading.Event()

    def write() -> None:
        with log.open("ab", buffering=0) as f:
            while not stop.wait(0.0001):
                f.write(b"one line more\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        run = scan("--shard-size", "64K", "--report", log.with_name("report"), log)
    finally:
        stop.set()
        writer.join()
    assert run.code == 1 and run.err == ""
    assert [(f["line"], f["column"], f["match"]) for f in run.findings] == [(2, 1, "tok_aaaaaaaaaaaa")]
    assert run.summary["complete"] and run.summary["problems"] == []
    report = json.loads(log.with_name("report").read_text())
    assert report["notes"] == run.summary["notes"]
    if size > 65536:
        [note] = run.summary["notes"]
        assert (note["path"], note["reason"]) == (str(log), "grew")


def test_the_human_summary_names_a_file_that_grew(cli: Cli, pack: Path, log: Path) -> None:
    """A person reads which file was longer at the end than what was scanned of it."""
    stop = threading.Event()

    def write() -> None:
        with log.open("ab", buffering=0) as f:
            while not stop.wait(0.0001):
                f.write(b"tok_bbbbbbbbbbbb\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        run = cli("scan", "-r", pack, "--progress", "never", "--shard-size", "1M", log)
    finally:
        stop.set()
        writer.join()
    assert run.code == 1
    [line] = [line for line in run.out.decode().splitlines() if line.startswith("note: ")]
    assert line.startswith(f"note: {log}: grew (") and "INCOMPLETE" not in run.out.decode()


def replace(path: Path) -> None:
    fresh = path.with_name("fresh")
    fresh.write_bytes(b"tok_cccccccccccc\n" * 9)
    fresh.replace(path)


def rotate(path: Path) -> None:
    path.rename(path.with_name("app.log.1"))
    path.write_bytes(b"")


def copy_truncate(path: Path) -> None:
    os.truncate(path, 0)


def cut_and_grow(path: Path) -> None:
    os.truncate(path, 0)
    os.truncate(path, SIZE + 4096)


@pytest.mark.parametrize("change", [replace, rotate, copy_truncate, cut_and_grow, Path.unlink])
def test_what_was_read_before_a_change_is_reported(
    change: Callable[[Path], None], log: Path, pack: Path, environment: dict[str, str]
) -> None:
    """Of a file that is replaced, cut or removed in the middle of its scan, what was read is reported: exit code 3."""
    scan = ["scan", "-r", str(pack), "-f", "jsonl", "--progress", "never", "-j", "1", "--shard-size", "1M"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vyre_dist", *scan, str(log)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not _is_open(log, process):
        pass
    while _is_open(log, process):
        pass
    change(log)
    out, _ = process.communicate(timeout=60)
    lines = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 3
    assert [f["match"] for f in lines[:-1]] == ["tok_aaaaaaaaaaaa"]
    [problem] = lines[-1]["problems"]
    assert problem["reason"] == ("vanished" if change is Path.unlink else "changed")
    assert not lines[-1]["complete"]


def _is_open(path: Path, process: subprocess.Popen[bytes]) -> bool:
    """Whether the process or one of its workers has the file open. It must be running."""
    assert process.poll() is None, "the scan was over before the file could be changed"
    pids = [process.pid]
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        pids += map(int, (task / "children").read_text().split())
    for pid in pids:
        try:
            if any(os.path.samestat(path.stat(), os.stat(f)) for f in Path(f"/proc/{pid}/fd").iterdir()):
                return True
        except OSError:  # gone in the meantime
            continue
    return False
