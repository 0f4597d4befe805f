"""Workers that die, documents that kill them, and scans that are given up."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from faulty_scans import PATIENCE, Start, stuck_workers

ROOT = Path(__file__).parents[2]


def test_a_worker_killed_from_outside_is_replaced(start: Start, tree: Path) -> None:
    """`kill -9` (or the kernel, out of memory) in the middle of a task: a warning, a retry, then
    quarantine, exit code 3.
    """
    (tree / "m").write_text("STUCK")
    process = start("-j", "1", "-f", "jsonl", ".")
    for _ in range(2):
        (worker,) = stuck_workers(process, 1)
        os.kill(worker, signal.SIGKILL)
        assert process.stderr is not None
        warning = process.stderr.readline().decode()
        assert f"process {worker} was ended by signal 9 (Killed): out of memory, perhaps" in warning
    # the shard was cut in two; the half with the document in it kills once more
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(b"stuck"):
            os.kill(int(line.split()[1]), signal.SIGKILL)
    out, _ = process.communicate(timeout=PATIENCE)
    lines = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 3
    assert [f["path"] for f in lines if f["type"] == "finding"] == ["a.txt", "sub/b.txt"]
    (problem,) = lines[-1]["problems"]
    assert (problem["path"], problem["reason"]) == ("m", "quarantined")


def test_a_deadly_document_is_3_and_the_rest_is_scanned(start: Start, tree: Path) -> None:
    """A document that crashes whatever scans it is named, with the signal; all other findings are
    there.
    """
    (tree / "deadly").write_text("x POISON y")
    process = start("-j", "2", "-f", "jsonl", ".")
    out, err = process.communicate(timeout=PATIENCE)
    lines = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 3
    assert [f["path"] for f in lines if f["type"] == "finding"] == ["a.txt", "sub/b.txt"]
    (problem,) = lines[-1]["problems"]
    assert (problem["path"], problem["reason"]) == ("deadly", "quarantined")
    assert "signal 11 (Segmentation fault)" in problem["detail"]
    assert b"vyre-dist: 1 input was not scanned to the end" in err and b"Traceback" not in err


def test_a_scan_that_is_given_up_says_what_it_has(start: Start, tree: Path) -> None:
    """Where everything is deadly: exit code 3, and the summary says why it ended."""
    deadly_everywhere(tree)
    process = start("-j", "1", "-f", "jsonl", "--shard-size", "100", ".")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3
    last = json.loads(out.splitlines()[-1])
    assert last["type"] == "summary" and not last["complete"]
    assert last["problems"][-1]["reason"] == "aborted"
    assert "workers were lost in a row" in last["problems"][-1]["detail"]
    assert b"vyre-dist: the scan was given up: 16 workers were lost in a row" in err


@pytest.mark.parametrize("form", ["human", "jsonl", "csv", "sarif", "parquet"])
@pytest.mark.parametrize("older", [b"the older result", None])
def test_a_scan_that_is_given_up_replaces_nothing(
    start: Start, tree: Path, tmp_path: Path, form: str, older: bytes | None
) -> None:
    """What it found, and its report, are put beside their destinations, which keep what they had;
    messages say where.
    """
    deadly_everywhere(tree)
    out, report = tmp_path / "found.out", tmp_path / "report.json"
    for path in (out, report):
        if older is not None:
            path.write_bytes(older)
            path.chmod(0o640)
    process = start(
        *("-j", "1", "-f", f"{form}={out}", "--report", report, "--shard-size", "100", ".")
    )
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3
    kept = {path: path.with_name(f"{path.name}.incomplete") for path in (out, report)}
    names = {path.name for path in (*kept.values(), *(kept if older is not None else ()))}
    assert set(os.listdir(tmp_path)) == {*names, "tree"}
    for path, aside in kept.items():
        assert older is None or path.read_bytes() == older
        assert (
            f"vyre-dist: {path} was not replaced; the unfinished results are in {aside}\n"
            in error.decode()
        )
        assert aside.stat().st_mode & 0o777 == (0o640 if older is not None else 0o600)
    assert b"tok_aaaaaaaaaaaa" in kept[out].read_bytes()
    told = json.loads(kept[report].read_text())
    assert not told["complete"] and told["problems"][-1]["reason"] == "aborted"


def test_a_scan_with_problems_comes_to_its_end(start: Start, tree: Path, tmp_path: Path) -> None:
    """Inputs that are missing, or in quarantine, are listed: the older result is replaced."""
    (tree / "deadly").write_text("x POISON y")
    (tmp_path / "found").write_text("the older result")
    process = start("-j", "1", "-f", f"jsonl={tmp_path / 'found'}", ".", "missing")
    process.communicate(timeout=PATIENCE)
    last = json.loads((tmp_path / "found").read_text().splitlines()[-1])
    assert process.returncode == 3
    assert {p["reason"] for p in last["problems"]} == {"not-found", "quarantined"}
    assert sorted(os.listdir(tmp_path)) == ["found", "tree"]


def deadly_everywhere(tree: Path) -> None:
    """So many documents that end whatever scans them that the scan is given up, after those with
    findings.
    """
    for i in range(200):
        (tree / f"z{i}").write_text("POISON")
