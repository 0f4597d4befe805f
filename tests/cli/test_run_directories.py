"""`vyre-dist scan --run-dir`: what is refused, what is said, and what becomes of a run's inputs."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_scans import PATIENCE, Start, stuck_workers

from vyre_dist.ledger.staged import STAGED_SECONDS
from vyre_dist.runs.recording import resume_command

Cli = Callable[..., Any]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def interrupted(start: Start, *arguments: str | Path) -> tuple[int, str]:
    """A scan that is ended by Ctrl-C when both of its workers are stuck and the rest is done."""
    process = start("-j", "2", "--shard-size", "5", *arguments)
    stuck_workers(process, 2)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert b"bug" not in err
    return process.returncode, err.decode()


def test_an_interrupted_scan_says_how_to_go_on(
    start: Start, scan: Cli, stuck_tree: Path, run_dir: Path
) -> None:
    """And what it had done is not done again."""
    code, err = interrupted(start, "--run-dir", run_dir, ".")
    assert code == 130
    (line,) = [each for each in err.splitlines() if "go on with" in each]
    command = shlex.split(line.partition("go on with: ")[2])
    assert command[:2] == ["vyre-dist", "scan"]
    assert command[-1] == "--resume" and "--run-dir" in command
    for name in stuck_tree.glob("m*"):
        name.write_text("tok_cccccccccccc")
    plain = scan(".")
    resumed = scan(".", "--run-dir", run_dir, "--resume")
    assert resumed.code == 1
    assert resumed.findings == plain.findings
    assert len(resumed.findings) == 6
    again = scan(".", "--run-dir", run_dir, "--resume")
    assert again.findings == plain.findings
    assert again.summary["workers"] == 0  # nobody was needed
    assert json.loads((run_dir / "report.json").read_text())["findings"] == 6


def test_a_second_driver_is_refused(
    start: Start, scan: Cli, stuck_tree: Path, run_dir: Path
) -> None:
    """While the first one lives, and told of its process."""
    process = start("-j", "2", "--shard-size", "5", "--run-dir", run_dir, ".")
    stuck_workers(process, 2)
    second = scan(".", "--run-dir", run_dir, "--resume")
    assert second.code == 2
    assert f"process {process.pid} on " in second.err and "works on the run" in second.err
    process.kill()
    process.wait(PATIENCE)
    for name in stuck_tree.glob("m*"):
        name.write_text("")
    assert scan(".", "--run-dir", run_dir, "--resume").code == 1


def test_another_run_is_refused(scan: Cli, cli: Cli, run_dir: Path, tmp_path: Path) -> None:
    """What differs is shown by name, with both values. Where outputs go makes no difference."""
    assert scan(".", "--run-dir", run_dir).code == 1
    refused = scan(".", "--run-dir", run_dir)
    assert refused.code == 2 and "--resume goes on with it" in refused.err
    for arguments, difference in [
        (["sub"], 'PATHS was ["."] and is ["sub"]'),
        ([".", "--exclude", "*.x"], '--exclude was [] and is ["*.x"]'),
        ([".", "--max-file-size", "9"], "--max-file-size was not given and is 9"),
        ([".", "--no-gitignore"], "--no-gitignore was false and is true"),
        ([".", "--max-match-bytes", "9"], "--max-match-bytes was 65536 and is 9"),
    ]:
        other = scan(*arguments, "--run-dir", run_dir, "--resume")
        assert other.code == 2 and difference in other.err, other.err
    rules = tmp_path / "other.toml"
    rules.write_text("schema = 1\nname = 'other'\n[[rules]]\nid = 'a'\nregex = 'aaa'\n")
    other = cli("scan", "-r", rules, ".", "--run-dir", run_dir, "--resume")
    assert other.code == 2 and 'rules was "' in other.err
    elsewhere = scan(".", "--run-dir", run_dir, "--resume", cwd=tmp_path)
    assert elsewhere.code == 2 and "working directory was" in elsewhere.err
    same = scan(".", "--run-dir", run_dir, "--resume", "--shard-size", "1K", "--redact", "-j1")
    assert same.code == 1 and same.summary["findings"] == 2


def test_what_is_no_run_is_refused(scan: Cli, run_dir: Path, tree: Path) -> None:
    """Nothing to resume, somebody's folder, inputs that nobody can read again."""
    assert "there is no run in" in scan(".", "--run-dir", run_dir, "--resume").err
    assert "name its --run-dir" in scan(".", "--resume").err
    refused = scan(".", "--run-dir", tree)
    assert refused.code == 2 and "is no run directory, and not empty" in refused.err
    assert sorted(os.listdir(tree)) == ["a.txt", "clean.txt", "sub"]
    refused = scan("-", "--run-dir", run_dir, stdin=b"tok_aaaaaaaaaaaa")
    assert refused.code == 2 and "standard input is none" in refused.err
    assert not run_dir.exists()


def test_a_run_directory_is_not_scanned(scan: Cli, tree: Path) -> None:
    """In the midst of the inputs, by the run itself, first and later."""
    inside = tree / "sub" / "run"
    first = scan(".", "--run-dir", inside)
    assert (first.code, len(first.findings)) == (1, 2)
    assert first.summary["skipped"] == {"own-file": 1}
    assert scan(".", "--run-dir", inside, "--resume").findings == first.findings


def test_a_document_that_changes_is_scanned_anew(scan: Cli, tree: Path, run_dir: Path) -> None:
    """With what it was scanned together with, and a note says so. One that is new waits for another
    run, as all inputs were listed.
    """
    first = scan(".", "--run-dir", run_dir)
    (tree / "a.txt").write_text("tok_dddddddddddd\ntok_eeeeeeeeeeee")
    (tree / "sub" / "b.txt").unlink()
    (tree / "new.txt").write_text("tok_ffffffffffff")
    resumed = scan(".", "--run-dir", run_dir, "--resume")
    found = [each["match"] for each in resumed.findings]
    assert found == ["tok_dddddddddddd", "tok_eeeeeeeeeeee"]
    assert {each["path"]: each["reason"] for each in resumed.summary["notes"]} == {
        "a.txt": "changed"
    }
    assert resumed.summary["problems"][0]["reason"] == "vanished"
    assert first.code == 1 and resumed.code == 3


def large(root: Path, letter: str, lines: int) -> None:
    (root / "large").write_text("".join(f"tok_{letter}{i:011d}\n" for i in range(lines)))


@pytest.mark.parametrize("named", [["large", "a.txt"], ["."]])
@pytest.mark.parametrize("lines", [1500, 3000, 10])
def test_a_large_document_that_changes_is_scanned_anew(
    scan: Cli, cli: Cli, tree: Path, run_dir: Path, named: list[str], lines: int
) -> None:
    """Whether its size was known when it was planned or not, and whatever it is now."""
    large(tree, "a", 2000)
    options = ["--shard-size", "5K", "--run-dir", run_dir, *named]
    assert len(scan(*options).findings) >= 2001
    large(tree, "b", lines)
    plain = scan(*named)
    for _ in range(2):
        resumed = scan(*options, "--resume")
        assert resumed.code == 1, resumed.err
        assert resumed.findings == plain.findings
    assert cli("merge", run_dir, "-f", "jsonl").findings == plain.findings


def test_a_run_that_is_not_over_is_merged_as_it_is(
    start: Start, cli: Cli, stuck_tree: Path, run_dir: Path
) -> None:
    """In any format; the summary says what is missing."""
    interrupted(start, "--run-dir", run_dir, ".")
    merged = cli("merge", run_dir, "-f", "jsonl")
    assert merged.code == 3
    assert [each["path"] for each in merged.findings] == ["a.txt", "sub/b.txt"][
        : len(merged.findings)
    ]
    assert not merged.summary["complete"]
    assert merged.summary["problems"][0]["reason"] == "unfinished"
    assert cli("merge", stuck_tree).code == 2


def test_a_ledger_that_is_damaged_is_named(scan: Cli, run_dir: Path) -> None:
    """The file and the place; a torn end is no damage."""
    first = scan(".", "--run-dir", run_dir, "--shard-size", "5")
    ledger = run_dir / "ledger" / "000001"
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[:-7])
    assert scan(".", "--run-dir", run_dir, "--resume").findings == first.findings
    ledger.write_bytes(whole[:30] + b"x" + whole[31:])
    damaged = scan(".", "--run-dir", run_dir, "--resume")
    assert damaged.code == 3
    assert "ledger/000001 is damaged at byte " in damaged.err


def test_a_full_disk_keeps_what_was_done(
    many: Path, pack: Path, environment: dict[str, str], scan: Cli, run_dir: Path
) -> None:
    """No file may be larger than 100 kB: the ledger is as if its disk were full."""
    command = [sys.executable, "-m", "vyre_dist", "scan", "-r", str(pack), "-f", "jsonl"]
    command += ["--progress", "never", "--shard-size", "5", "--run-dir", str(run_dir), "."]
    done = subprocess.run(
        command,
        cwd=many,
        env=environment,
        capture_output=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 3, done.stderr
    assert b"File too large" in done.stderr and b"go on with: vyre-dist scan" in done.stderr
    plain = scan(".")
    resumed = scan(".", "--run-dir", run_dir, "--resume")
    assert resumed.code == 1 and resumed.findings == plain.findings


def test_a_command_that_begins_or_goes_on(scan: Cli, many: Path, run_dir: Path) -> None:
    """The same command, however often: what was done is not done again."""
    assert scan(".", "--resume-if-begun").code == 2
    command = (".", "--run-dir", run_dir, "--resume-if-begun")
    first = scan(*command)
    ledgers = len(list((run_dir / "ledger").iterdir()))
    again = scan(*command)
    assert first.code == again.code == 1 and first.findings == again.findings
    assert (len(list((run_dir / "ledger").iterdir())), ledgers) == (2, 1)
    assert resume_command(["scan", *map(str, command)], str(run_dir)).count("--resume") == 1


def private_runs(environment: dict[str, str]) -> list[str]:
    runs = Path(environment["XDG_CACHE_HOME"]) / "vyre-dist" / "runs"
    return os.listdir(runs) if runs.exists() else []


def test_a_scan_without_a_directory_has_one_after_two_seconds(
    start: Start, scan: Cli, cli: Cli, stuck_tree: Path, environment: dict[str, str]
) -> None:
    """None before that. It is kept when the scan is interrupted, and gone when a resume has brought
    it to its end.
    """
    assert scan("a.txt").code == 1
    code, err = interrupted(start, ".")
    assert (code, "go on with" in err) == (130, False)
    assert private_runs(environment) == []
    process = start("-j", "2", "--shard-size", "5", "-f", "jsonl", ".")
    stuck_workers(process, 2)
    deadline = time.monotonic() + PATIENCE
    while not private_runs(environment) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    (kept,) = private_runs(environment)
    line = told.decode().partition("go on with: ")[2]
    command = shlex.split(line)
    assert command[-3:-1][0] == "--run-dir" and kept in command[-2]
    for name in stuck_tree.glob("m*"):
        name.write_text("")
    at = command.index("faulty")
    resumed = cli(*command[1:at], "cpu", *command[at + 1 :])
    assert resumed.code == 1 and len(resumed.findings) == 2
    assert private_runs(environment) == []
    assert STAGED_SECONDS == 2.0


def test_a_small_disk_is_full(many: Path, scan: Cli, small_disk: Path, tmp_path: Path) -> None:
    """With part files and all. When there is room, the scan goes on."""
    run = small_disk / "run"
    full = scan(".", "--shard-size", "20K", "--run-dir", run)
    assert full.code == 3 and "No space left on device" in full.err, full.err
    assert f"--run-dir {run} --resume" in full.err
    again = scan(".", "--shard-size", "20K", "--run-dir", run, "--resume")
    assert again.code in (2, 3) and "No space left on device" in again.err
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    plain = scan(".")
    resumed = scan(".", "--run-dir", moved, "--resume")
    assert resumed.code == 1 and resumed.findings == plain.findings


def test_clean_removes_what_a_killed_scan_has_kept(
    start: Start, cli: Cli, stuck_tree: Path, environment: dict[str, str]
) -> None:
    """And not what a scan is at work on."""
    process = start("-j", "2", "--shard-size", "5", ".")
    stuck_workers(process, 2)
    deadline = time.monotonic() + PATIENCE
    while not private_runs(environment) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    left = cli("clean")
    assert left.code == 0
    (kept,) = private_runs(environment)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
    removed = cli("clean")
    assert kept in removed.out.decode()
    assert private_runs(environment) == []
