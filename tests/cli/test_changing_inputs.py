"""`vyre-dist scan` of files that others write to meanwhile: what it reports, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_scans import PATIENCE, Start, held_worker

Cli = Callable[..., Any]
SIZE = 8 << 20


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Eight pieces of 1 MiB, with a finding in the first, on its second line; a worker can be held
    at the fourth.
    """
    path = tmp_path / "app.log"
    with path.open("wb") as f:
        f.write(b"starting\ntok_aaaaaaaaaaaa\n")
        f.seek(SIZE * 7 // 16)
        f.write(b"HELD")
        f.truncate(SIZE)
    return path


def scan_that_meets(
    change: Callable[[Path], object], log: Path, start: Start, *options: str
) -> tuple[int, bytes]:
    """The exit code and the output of a scan in whose middle the file changes: four of its pieces
    have been read.
    """
    process = start(*options, "-j", "1", "--shard-size", "1M", log)
    worker = held_worker(process)
    change(log)
    os.kill(worker, signal.SIGUSR1)
    out, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, out


@pytest.mark.parametrize("size", [100, SIZE], ids=["small", "many-pieces"])
def test_a_file_that_is_appended_to_all_the_time_is_scanned(
    scan: Cli, log: Path, size: int
) -> None:
    """What the file had when it was listed is reported with the exit code of its findings; growth
    is at most a note.
    """
    os.truncate(log, size)
    stop = threading.Event()

    def write() -> None:
        with log.open("ab", buffering=0) as f:
            while not stop.wait(0.0001):
                f.write(b"one line more\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        run = scan("--shard-size", "64K", log)
    finally:
        stop.set()
        writer.join()
    assert run.code == 1 and run.err == ""
    assert [(f["line"], f["column"], f["match"]) for f in run.findings] == [
        (2, 1, "tok_aaaaaaaaaaaa")
    ]
    assert run.summary["complete"] and run.summary["problems"] == []
    assert [(note["path"], note["reason"]) for note in run.summary["notes"]] in (
        [],
        [(str(log), "grew")],
    )


def append(path: Path) -> None:
    with path.open("ab") as f:
        f.write(b"tok_bbbbbbbbbbbb\n")


def test_a_file_that_grew_has_a_note(log: Path, start: Start) -> None:
    """Summary and report say that it did; it is no problem, and what was appended is not
    scanned.
    """
    report = log.with_name("report")
    code, out = scan_that_meets(append, log, start, "-f", "jsonl", "--report", str(report))
    *findings, summary = [json.loads(line) for line in out.splitlines()]
    assert (code, [f["match"] for f in findings]) == (1, ["tok_aaaaaaaaaaaa"])
    assert summary["complete"] and summary["problems"] == []
    [note] = summary["notes"]
    assert (note["path"], note["reason"]) == (str(log), "grew")
    assert json.loads(report.read_text())["notes"] == [note]


def test_the_human_summary_names_a_file_that_grew(log: Path, start: Start) -> None:
    """A person reads which file was longer at the end than what was scanned of it."""
    code, out = scan_that_meets(append, log, start)
    assert code == 1
    [line] = [line for line in out.decode().splitlines() if line.startswith("note: ")]
    assert line.startswith(f"note: {log}: grew (") and "INCOMPLETE" not in out.decode()


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
    change: Callable[[Path], None], log: Path, start: Start
) -> None:
    """Of a file that is replaced, cut or removed in the middle of its scan, what was read is
    reported: exit code 3.
    """
    code, out = scan_that_meets(change, log, start, "-f", "jsonl")
    *findings, summary = [json.loads(line) for line in out.splitlines()]
    assert (code, [f["match"] for f in findings]) == (3, ["tok_aaaaaaaaaaaa"])
    [problem] = summary["problems"]
    assert problem["reason"] == ("vanished" if change is Path.unlink else "changed")
    assert not summary["complete"]
