"""`vyre-dist scan --audit --resume`: what earlier drivers have scanned is audited, too."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_scans import PATIENCE, Start

from vyre_dist.ledger.history import History
from vyre_dist.storage import open_storage

Cli = Callable[..., Any]
INPUTS = ["large.txt", ".", "../held"]
OTHERS = ["a.txt", "sub/b.txt"]
INCOMPLETE = 3


@pytest.fixture
def wrong(tree: Path) -> set[str]:
    """Of the tree's documents, those of which the faulty backend misses a match: one that is
    whole, and one that is cut into pieces. Its worker is held at the last document of all.
    """
    (tree / "wrong.txt").write_text("MISSED tok_zzzzzzzzzzzz\n")
    (tree / "large.txt").write_text("tok_cccccccccccc\n" * 9 + "MISSED tok_zzzzzzzzzzzz\n")
    (tree.parent / "held").write_text("HELD\n")
    return {"wrong.txt", "large.txt"}


def until_recorded(run_dir: Path, documents: int) -> None:
    """Wait until so many documents are done, as the ledger says."""
    deadline = time.monotonic() + PATIENCE
    while len(set(recorded(run_dir))) < documents:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def recorded(run_dir: Path) -> Iterator[int]:
    for known in History(open_storage(str(run_dir))).shards():
        for done in known.done:
            for first, end in done.entry.covered.documents:
                yield from range(first, end)
            if done.entry.joined is not None:
                yield done.entry.joined


def lines_until(process: subprocess.Popen[bytes], wanted: set[bytes]) -> list[bytes]:
    """What is said until lines with all of these beginnings have come."""
    assert process.stderr is not None
    said: list[bytes] = []
    while wanted:
        said.append(process.stderr.readline())
        assert said[-1]
        wanted = {each for each in wanted if not said[-1].startswith(each)}
    return said


@pytest.mark.parametrize("workers", [1, 2])
def test_a_resume_audits_what_was_scanned_before(
    start: Start, scan: Cli, tmp_path: Path, wrong: set[str], workers: int
) -> None:
    """Whether it has been audited or not when the driver is killed: the differences are told by
    each driver, once, and what is there is compared with what the first one has found in it.
    """
    run_dir, first = tmp_path / "run", tmp_path / "first.jsonl"
    audited = "--audit", "1", "--run-dir", str(run_dir)
    files = *audited, "--shard-size", "64", "-f", f"jsonl={first}"
    process = start("-j", str(workers), *files, *INPUTS)
    # a worker that has nothing else to do audits, and one that is held does not
    told = [f"vyre-dist: audit: {path}: ".encode() for path in wrong] if workers == 2 else []
    said = lines_until(process, {b"held ", *told})
    assert len([line for line in said if line.startswith(b"vyre-dist: audit: ")]) == len(told)
    until_recorded(run_dir, 5)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
    for _ in range(2):
        # with a backend that misses nothing: had these been scanned anew, nothing would differ
        resumed = scan(*audited, "--resume", *INPUTS)
        assert resumed.code == INCOMPLETE, resumed.err
        problems = resumed.summary["problems"]
        assert sorted(each["path"] for each in problems) == sorted(wrong)
        assert {each["reason"] for each in problems} == {"audit-differs"}
        names = "audited_documents", "audit_differences", "not_audited", "documents"
        assert [resumed.summary[name] for name in names] == [6, 2, 0, 6]
        # its last piece has one match more that was not found
        assert [each["path"] for each in resumed.findings] == ["large.txt"] * 8 + OTHERS
        assert not [each for each in resumed.findings if each["match"] == "tok_zzzzzzzzzzzz"]
