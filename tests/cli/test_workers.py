"""How many workers there are, what they are, and what there can't be, as the command tells it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vyre_dist import __version__
from vyre_dist.driver.worker_facts import processor

Cli = Callable[..., Any]


@pytest.mark.parametrize("number", [1, 1000, 10_000])
def test_one_file_is_one_worker(cli: Cli, tree: Path, pack: Path, number: int) -> None:
    """However many there may be, as many are started as there is work for; the report names each of
    them.
    """
    run = cli(
        "scan", "-r", pack, "-j", str(number), "-f", "jsonl", "--report", "report.json", "a.txt"
    )
    assert run.code == 1
    for summary in (run.summary, json.loads((tree / "report.json").read_text())):
        assert (summary["workers"], summary["backend"], summary["workers_left_out"]) == (
            1,
            "cpu",
            [],
        )
        (worker,) = summary["workers_used"]
        assert worker == {
            "worker": 0,
            "node": os.uname().nodename,
            "node_id": None,
            "backend": "cpu",
            "device": processor(),
            "version": __version__,
            "python": ".".join(map(str, sys.version_info[:3])),
            "processes": 1,
            "tasks": 1,
            "bytes": summary["bytes"],
            "bytes_by_backend": {"cpu": summary["bytes"]},
        }


def test_every_worker_says_what_it_did(cli: Cli, tree: Path, pack: Path) -> None:
    """Bytes and tasks of all add up to the scan's."""
    (tree / "long").write_bytes(b"x" * 100_000)
    run = cli("scan", "-r", pack, "-j", "3", "--shard-size", "1000", "-f", "jsonl", "long")
    used = run.summary["workers_used"]
    assert 1 <= len(used) == run.summary["workers"] <= 3
    assert sum(worker["bytes"] for worker in used) == run.summary["bytes"] == 100_000
    assert sum(worker["tasks"] for worker in used) >= 100


def test_where_more_workers_can_not_be_started_the_others_do_the_scan(
    tree: Path, pack: Path, environment: dict[str, str]
) -> None:
    """A warning says how many could be, and what would help."""
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "from vyre_dist.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    (tree / "long").write_bytes(b"tok_abcdefghijkl " * 6000)
    command = [
        "scan",
        "-r",
        str(pack),
        "-j",
        "60",
        "--progress",
        "never",
        "--shard-size",
        "1000",
        "long",
    ]
    run = subprocess.run(
        [sys.executable, "-c", program, *command],
        cwd=tree,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    errors = run.stderr.decode()
    assert run.returncode == 1, errors
    assert re.search(
        r"of 60 workers only \d+ could be started \(Too many open files\).*--workers", errors
    )


def test_an_unknown_backend_is_told_before_anything_is_read(cli: Cli) -> None:
    """Whatever else is wrong: not even the rules are looked at."""
    run = cli("scan", "--backend", "abacus", "-r", "no-such-pack.toml", ".")
    assert run.code == 2
    assert "unknown backend 'abacus': use one of auto, cpu, cuda, reference" in run.err


@pytest.mark.parametrize(
    "pool", [[], ["--pool", "ray", "--address", "local"]], ids=["local", "ray"]
)
@pytest.mark.parametrize("lacks", ["a device", "CuPy"])
def test_a_gpu_that_is_not_there_is_told_before_the_work_for_it(
    started_cli: Cli,
    pack: Path,
    environment: dict[str, str],
    pool: list[str],
    lacks: str,
    tmp_path: Path,
) -> None:
    """No pack is compiled, no Ray started, CuPy not imported: what is missing is said, and what to
    use instead.
    """
    modules, ray_folder = tmp_path / "modules", tmp_path / "ray"
    modules.mkdir()
    if lacks == "CuPy":
        # Python imports it of its own accord
        (modules / "sitecustomize.py").write_text("import sys; sys.modules['cupy'] = None\n")
    else:
        (modules / "cupy.py").write_text("raise SystemExit('CuPy was imported')\n")
    more = {
        "PYTHONPATH": f"{modules}:{environment['PYTHONPATH']}",
        "CUDA_VISIBLE_DEVICES": "",
        "RAY_TMPDIR": str(ray_folder),
    }
    run = started_cli(
        "scan", "-r", pack, "--backend", "cuda", "--progress", "never", *pool, "a.txt", **more
    )
    assert (run.code, run.out) == (2, b""), run.err
    assert run.err.startswith("vyre-dist: no usable GPU: ") and "--backend cpu" in run.err
    assert ("CuPy is not installed" in run.err) == (lacks == "CuPy")
    assert not ray_folder.exists()
