"""Outputs that do not arrive: readers that leave, disks that are full, streams that are closed."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from forked_command import CLOSED
from without_hyperscan import LACKING, told

Cli = Callable[..., Any]
FORMATS = ["human", "jsonl", "csv", "sarif", "parquet"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_reader_that_leaves_ends_the_scan_quietly(
    many: Path, pack: Path, environment: dict[str, str], form: str
) -> None:
    """`| head -1`: no traceback, exit code 3, as not everything was said."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "vyre_dist",
            "scan",
            "-r",
            str(pack),
            "-f",
            form,
            "--progress",
            "never",
            ".",
        ],
        cwd=many,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(10)
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(30), told(error)) == (3, "")


@pytest.mark.parametrize(
    ("arguments", "stream", "code"),
    [
        *(
            (command, "left", 3)
            for command in ("rules list", "rules check shop.toml", "--help", "scan --help")
        ),
        *((command, "closed", 3) for command in ("rules list", "--help", "clean")),
        ("rules list", "full", 3),
        # it has nothing to say
        ("autotune list", "closed", 0),
    ],
)
def test_other_commands(
    cli: Cli, pack: Path, tmp_path: Path, arguments: str, stream: str, code: int
) -> None:
    """What a command had to say on standard output is lost: no traceback, and not the exit code of
    findings.
    """
    read, left = os.pipe()
    os.close(read)
    with open("/dev/full", "wb") as full, open(left, "wb") as nobody:
        stdout = {"closed": CLOSED, "full": full, "left": nobody}[stream]
        run = cli(
            *arguments.split(),
            stdout=stdout,
            cwd=pack.parent,
            XDG_CACHE_HOME=str(tmp_path / "none"),
        )
    assert run.code == code and "Traceback" not in run.err
    assert ("No space left on device" in run.err) == (stream == "full")


@pytest.mark.parametrize("form", FORMATS)
def test_a_full_disk_is_3_and_the_output_is_named(cli: Cli, pack: Path, form: str) -> None:
    """Standard output, whatever the format and whenever its beginning is written; and the report,
    beside it or alone.
    """
    report = ("--report", "/dev/full")
    said = f"vyre-dist: writing {form} to '-' failed: No space left on device\n"
    report_said = "vyre-dist: writing the report to '/dev/full' failed: No space left on device\n"
    header = form in ("csv", "sarif", "parquet")  # which fails before anything is scanned
    with open("/dev/full", "wb") as full:
        run = cli("scan", "-r", pack, "-f", form, stdout=full)
        assert (run.code, run.err) == (3, said)
        run = cli("scan", "-r", pack, "-f", form, *report, stdout=full)
        assert (run.code, run.err) == (3, said + ("" if header else report_said))
    run = cli("scan", "-r", pack, "-f", f"{form}={os.devnull}", *report)
    assert (run.code, run.err) == (3, report_said)


# the command, whose files can't grow beyond so many bytes
LIMITED = (
    "import resource, signal, sys; limit = int(sys.argv.pop(1)); "
    "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, "
    "(limit, limit)); "
    "from vyre_dist.cli.main import main; main()"
)


WAITING = (
    "vyre-dist: findings wait in memory, for want of a temporary file: [Errno 27] File too large"
)


@pytest.mark.parametrize(
    ("limit", "others"),
    [(300_000, []), (300_000, ["report"]), (1_000_000, ["report", "x.parquet"])],
    ids=["alone", "with a report", "among others"],
)
def test_an_output_that_cannot_grow_is_named(
    many: Path,
    pack: Path,
    environment: dict[str, str],
    tmp_path: Path,
    limit: int,
    others: list[str],
) -> None:
    """It fails in the middle, and its older file stays; the outputs and the report beside it that
    fit are whole.
    """
    (tmp_path / "x.jsonl").write_text("older")
    outputs = [f"--format=jsonl={tmp_path / 'x.jsonl'}"]
    if "x.parquet" in others:
        outputs.append(f"--format=parquet={tmp_path / 'x.parquet'}")
    if "report" in others:
        outputs.append(f"--report={tmp_path / 'report'}")
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            LIMITED,
            str(limit),
            "scan",
            "--no-cache",
            "-r",
            str(pack),
            *outputs,
            ".",
        ],
        cwd=many,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    *before, last = told(run.stderr).splitlines()
    assert run.returncode == 3
    assert last == f"vyre-dist: writing jsonl to '{tmp_path / 'x.jsonl'}' failed: File too large"
    # findings go to a temporary file, too, until it is their turn: which of both is full first is
    # the workers' race
    assert before in ([], [WAITING])
    assert (tmp_path / "x.jsonl").read_text() == "older"
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "tree", "x.jsonl"])
    if "x.parquet" in others:
        assert pq.read_table(tmp_path / "x.parquet").num_rows == 15_002
    if "report" in others:
        assert json.loads((tmp_path / "report").read_text())["findings"] == 15_002


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-", "1>&- 2>&-"])
def test_a_closed_standard_stream_is_no_crash(
    tree: Path, pack: Path, environment: dict[str, str], tmp_path: Path, closed: str
) -> None:
    """No file of ours takes its number and no traceback comes; files are whole, and what went to it
    is lost: 3.
    """
    command = [
        "-m",
        "vyre_dist",
        "scan",
        "-r",
        str(pack),
        "-f",
        "human",
        "-f",
        f"csv={tmp_path / 'c'}",
        ".",
    ]
    run = subprocess.run(
        ["bash", "-c", f'exec "$@" {closed}', "-", sys.executable, *command],
        cwd=tree,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    out_closed = "1>&-" in closed
    # where Hyperscan is missing, that could not be said
    lost = out_closed or (LACKING and "2>&-" in closed)
    assert run.returncode == (3 if lost else 1) and b"Traceback" not in run.stderr
    assert (b"2 findings" in run.stdout) == (not out_closed)
    said = "vyre-dist: writing human to '-' failed: it is closed\n"
    assert told(run.stderr) == (said if out_closed and "2>&-" not in closed else "")
    with open(tmp_path / "c", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["a.txt", "sub/b.txt"]


@pytest.mark.parametrize("path", [".", "clean.txt"])
@pytest.mark.parametrize("form", FORMATS)
def test_results_that_nobody_gets_are_3(cli: Cli, pack: Path, form: str, path: str) -> None:
    """Standard output is closed: whatever the format, and whether or not something was found, or
    can be said.
    """
    for stderr in (None, CLOSED):
        run = cli("scan", "-r", pack, "-f", form, path, stdout=CLOSED, stderr=stderr)
        assert run.code == 3
        assert (
            stderr == CLOSED
            or run.err == f"vyre-dist: writing {form} to '-' failed: it is closed\n"
        )
    with open("/dev/full", "wb") as full:
        assert cli("scan", "-r", pack, "-f", form, path, stdout=full, stderr=CLOSED).code == 3
