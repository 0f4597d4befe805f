"""Runs on Ray: workers put what they find into the run's place where they reach it, else the driver
does. The findings are the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from namespaces import with_mounts
from object_store import Gate
from ray_head import JOB_TIMEOUT_S, Head

from vyre_dist.ledger.garbage import parts_in
from vyre_dist.ledger.history import History
from vyre_dist.storage import open_storage

# Says of each part that the driver puts there itself; the scan may be in a process of its own.
PROGRAM = """
import os, sys
from vyre_dist.driver import handed_parts
from vyre_dist.engine.part_files import is_small

file_result = handed_parts.file_result
def telling(result, part):
    if not is_small(result):
        os.write(1, b"stored\\n")
    return file_result(result, part)

handed_parts.file_result = telling
from vyre_dist.cli.main import main
main(sys.argv[1:])
"""

Run = Callable[..., tuple[str, int]]


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Documents with many findings, one of them in pieces that are joined."""
    root = tmp_path / "inputs"
    root.mkdir()
    for i in range(6):
        (root / f"f{i}").write_text("".join(f"tok_{i:04d}{n:08d}\n" for n in range(600)))
    (root / "large").write_text("".join(f"n tok_{n:012d}\n" for n in range(12_000)))
    (tmp_path / "pack.toml").write_text(
        "schema = 1\n[[rules]]\nid = 'token'\nregex = 'tok_[0-9]{12}'\nkeywords = ['tok_']\n"
    )
    return root


@pytest.fixture
def run(tmp_path: Path, inputs: Path) -> Run:
    """run(command…): (what was found, how many parts the driver stored)."""

    def do(*arguments: str, mounts: Sequence[Sequence[str]], **environment: str) -> tuple[str, int]:
        found = tmp_path / "found.csv"
        own = ["scan", "-r", str(tmp_path / "pack.toml"), "-f", f"csv={found}", "--shard-size"]
        own += ["60K", "--progress", "never", *arguments, "large", "."]
        command = [sys.executable, "-c", PROGRAM, *own]
        if mounts:
            # what the driver has put into its own mount is copied for us to see
            copy = f'"$@"; code=$?; cp -r {tmp_path}/own/* {tmp_path}/copy; exit $code'
            command = with_mounts(mounts, ["sh", "-c", copy, "sh", *command])
        done = subprocess.run(
            command,
            cwd=inputs,
            env=environment,
            capture_output=True,
            text=True,
            timeout=JOB_TIMEOUT_S,
        )
        assert done.returncode == 1, done.stderr
        return found.read_text(), done.stdout.count("stored\n")

    return do


def named(place: str) -> set[str]:
    """The part files that count, without those of what the driver has merged."""
    return {
        part
        for shard in History(open_storage(place)).shards()
        for done in shard.done
        for part in parts_in(done.entry.result)
        if part.split(".")[1].isdecimal()
    }


@pytest.mark.parametrize("reached", [pytest.param(True, marks=pytest.mark.nightly), False])
def test_a_folder_that_workers_may_not_reach(
    head: Head, run: Run, tmp_path: Path, reached: bool
) -> None:
    """They see another folder of the same name, say, as on another node."""
    (tmp_path / "own").mkdir()
    (tmp_path / "copy").mkdir()
    local, _ = run("-j", "1", "--no-cache", mounts=(), **head.environment)
    mounts = () if reached else (("-t", "tmpfs", "tmpfs", str(tmp_path / "own")),)
    place = tmp_path / "own" / "run"
    on_ray = ["--pool", "ray", "--address", head.gcs, "-j", "1", "--no-cache"]
    on_ray += ["--run-dir", str(place)]
    found, stored = run(*on_ray, mounts=mounts, **head.environment, **head.token)
    assert found == local
    parts = named(str(place if reached else tmp_path / "copy" / "run"))
    assert len(parts) > 6
    assert stored == (0 if reached else len(parts))
    assert os.listdir(tmp_path / "own") == (["run"] if reached else [])


@pytest.mark.nightly
def test_a_scan_that_names_no_place_has_a_private_one(head: Head, run: Run, tmp_path: Path) -> None:
    """In the driver's cache, where its workers do not reach it; it is gone at the end."""
    (tmp_path / "own").mkdir()
    (tmp_path / "copy").mkdir()
    local, _ = run("-j", "1", "--no-cache", mounts=(), **head.environment)
    mounts = (("-t", "tmpfs", "tmpfs", str(tmp_path / "own")),)
    on_ray = ["--pool", "ray", "--address", head.gcs, "-j", "2", "--cache-dir"]
    on_ray += [str(tmp_path / "own" / "cache")]
    found, stored = run(*on_ray, mounts=mounts, **head.environment, **head.token)
    assert found == local
    assert stored > 0
    assert os.listdir(tmp_path / "copy" / "cache" / "runs") == []


@pytest.mark.nightly
@pytest.mark.parametrize("reached", [True, False])
def test_a_store_that_workers_may_not_reach(
    head: Head,
    run: Run,
    gate: Gate,
    s3_place: str,
    s3_environment: dict[str, str],
    reached: bool,
) -> None:
    """They have no credentials, say."""
    local, _ = run("-j", "1", "--no-cache", mounts=(), **head.environment)
    address = "local" if reached else head.gcs
    on_ray = ["--pool", "ray", "--address", address, "-j", "2", "--no-cache"]
    on_ray += ["--run-dir", s3_place]
    environment = {**head.environment, **head.token, **s3_environment}
    found, stored = run(*on_ray, mounts=(), **environment)
    assert found == local
    parts = named(s3_place)
    assert len(parts) > 6
    assert stored == (0 if reached else len(parts))
