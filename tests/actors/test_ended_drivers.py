"""Scans whose cluster dies under them: never an exit code that says how the scan came out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from long_runs import nightly
from ray_head import ROOT

TIMEOUT_S = 120.0
INCOMPLETE = 3


@pytest.fixture
def options() -> list[str]:
    """More options for the scan: a test's own, if it has any."""
    return []


@pytest.fixture
def scan(ray_places: Path, tmp_path: Path, options: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A scan on a cluster of its own, whose only worker stands still with a task in hand."""
    text, rules = tmp_path / "text", tmp_path / "rules.toml"
    text.write_text("xaax\n" * 2_000_000)
    rules.write_text("[[rules]]\nid = 'r'\nregex = 'b+'\n")
    command = [
        "scan",
        str(text),
        "-r",
        str(rules),
        "--backend",
        "reference",
        "--no-cache",
        "--progress",
        "never",
    ]
    command += ["--pool", "ray", "--address", "local", "-j", "1"]
    command += ["-f", f"jsonl={tmp_path / 'found'}", "--report", str(tmp_path / "report")]
    process = subprocess.Popen(
        [sys.executable, "-m", "vyre_dist", *command, *options],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            # the time that Ray leaves a head to come back, 60 s else
            "RAY_gcs_rpc_server_reconnect_timeout_s": "1",
            "TMPDIR": str(tmp_path),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    family: list[psutil.Process] = []
    try:
        # Ray gives a worker the name of what it does
        process_called(process, "ray::ScanActor.run").suspend()
        family = psutil.Process(process.pid).children(recursive=True)
        yield process
    finally:
        process.kill()
        process.communicate()
        for member in family:
            if member.is_running():
                member.kill()


def process_called(scan: subprocess.Popen[str], part: str) -> psutil.Process:
    """The process below the scan's whose command line has this in it, once there is one."""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until and scan.poll() is None:
        for process in psutil.Process(scan.pid).children(recursive=True):
            try:
                if part in " ".join(process.cmdline()):
                    return process
            except psutil.Error:
                continue
        time.sleep(0.02)
    raise AssertionError(f"there is no {part}: {scan.poll()}")


@pytest.mark.parametrize("part", ["gcs_server", *nightly("/raylet ")])
def test_a_scan_whose_head_dies_found_nothing_and_is_not_clean(
    scan, tmp_path: Path, part: str
) -> None:
    """Ray ends the driver with exit code 1, "findings"; vyre-dist's is 3, with the reason, and
    there is no report. What Ray said of it is in a file, for its owner alone.
    """
    process_called(scan, part).kill()
    out, said = scan.communicate(timeout=TIMEOUT_S)
    assert scan.returncode == INCOMPLETE, said
    assert out == "" and all(line.startswith("vyre-dist: ") for line in said.splitlines()), said
    record = Path(said.splitlines()[-1].rpartition("; what Ray said is in ")[2])
    assert record.parent == tmp_path and record.stat().st_mode & 0o777 == 0o600
    assert ("GCS" if part == "gcs_server" else "Raylet is terminated") in record.read_text()
    assert not (tmp_path / "found").exists()
    report = tmp_path / "report"
    assert not report.exists() or not json.loads(report.read_text())["complete"]


@pytest.mark.nightly
@pytest.mark.parametrize("options", [["--ray-output", "--log-format", "json"]], ids=["asked"])
def test_what_ray_says_is_shown_where_it_is_asked_for(scan, tmp_path: Path) -> None:
    """Among our own lines, which are JSON when that is asked for; no file keeps it then."""
    process_called(scan, "gcs_server").kill()
    _, said = scan.communicate(timeout=TIMEOUT_S)
    assert scan.returncode == INCOMPLETE, said
    assert "Failed to connect to GCS" in said
    last = json.loads(said.splitlines()[-1])
    assert (last["type"], last["exit_code"]) == ("error", INCOMPLETE)
    assert not list(tmp_path.glob("vyre-dist-ray-*"))


def test_sigterm_is_followed_whatever_state_the_workers_are_in(scan, tmp_path: Path) -> None:
    """With a worker that answers nothing the code is still the signal's."""
    scan.send_signal(signal.SIGTERM)
    _, said = scan.communicate(timeout=TIMEOUT_S)
    assert scan.returncode == 128 + signal.SIGTERM, said
    assert not list(tmp_path.glob("vyre-dist-ray-*"))
    assert not (tmp_path / "report").exists()
