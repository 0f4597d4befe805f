"""`vyre-dist scan --run-dir`: the driver is killed, and resumed until the scan comes to its end."""

from __future__ import annotations

import json
import random
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killed_runs import ENDED, KILLED, KilledRuns, left_over, write_corpus
from long_runs import nightly


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all scans here are of; nobody changes it."""
    root = tmp_path_factory.mktemp("killed") / "corpus"
    write_corpus(root)
    return root


@pytest.fixture
def killed(tmp_path: Path, corpus: Path, pack: Path, environment: dict[str, str]) -> KilledRuns:
    (tmp_path / "out").mkdir()
    return KilledRuns(corpus, pack, tmp_path / "out", environment)


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, corpus: Path, pack: Path, environment: dict[str, str]
) -> dict[str, object]:
    """What a scan finds whose driver lives on."""
    scan = KilledRuns(corpus, pack, tmp_path_factory.mktemp("undisturbed"), environment)
    done = scan.run()
    assert done.returncode == 1 and done.stderr == b"", done.stderr
    outputs = scan.outputs()
    assert len(outputs["jsonl"]) > 15_000  # type: ignore[arg-type]
    return outputs


@pytest.mark.parametrize("appends", [30, *nightly(17)])
@pytest.mark.parametrize("where", ["before", "half", "after"])
def test_a_driver_that_is_killed_at_a_commit(
    killed: KilledRuns, undisturbed: dict[str, object], where: str, appends: int
) -> None:
    """Again and again, and in the midst of writing: the outputs are the same in every format, and
    nothing that was recorded is done again.
    """
    lives = 1
    while killed.killed_at(appends, where) == KILLED:
        lives += 1
        assert lives < 60
    assert lives >= 4 - (appends > 17)
    assert killed.outputs() == undisturbed
    assert left_over(killed.out) == []
    covered = list(killed.covered())
    assert len(set(covered)) == len(covered) > 36
    merged = killed.out / "merged"
    merged.mkdir()
    outputs = [f"-f{each}={merged / each}" for each in undisturbed]
    assert merge(killed, *outputs) == 1
    assert killed.outputs(merged) == undisturbed


@pytest.mark.parametrize("where", ["before", "after"])
def test_workers_that_are_killed_at_a_part_file(
    killed: KilledRuns, undisturbed: dict[str, object], tmp_path: Path, where: str
) -> None:
    """What they wrote does not count, as nobody names it. What others wrote in their place does; if
    some of that is lost, it is found again.
    """
    notes = tmp_path / "notes"
    notes.mkdir()
    assert killed.with_killed_workers(1, where, notes) in ENDED
    assert killed.outputs() == undisturbed
    parts = sorted((killed.run_dir / "parts").iterdir())
    assert len(parts) > 5
    assert {part.name for part in parts} == killed.named_parts()
    for part in parts[::2]:
        part.unlink()
    for part in parts[1::4]:
        part.write_bytes(part.read_bytes()[:-1])
    done = killed.run()
    assert done.returncode in ENDED, done.stderr
    assert killed.outputs() == undisturbed


def kill_at_random(killed: KilledRuns, undisturbed: dict[str, object], kills: int) -> None:
    """Kill drivers of scans that are resumed until they come to their end; nothing that was
    recorded is done again, so what is done twice was in flight.
    """
    chosen = random.Random(kills)
    done = 0
    while done < kills:
        # all of it is 50 000 bytes
        wanted = killed.ledger_bytes() + chosen.randrange(30_000)
        code = killed.killed_after(lambda wanted=wanted: killed.ledger_bytes() >= wanted)
        done += code == KILLED
        if code in ENDED:
            assert killed.outputs() == undisturbed
            killed.forget()
    last = killed.killed_after(lambda: False)
    assert last in ENDED
    assert killed.outputs() == undisturbed
    assert killed.given >= len(set(killed.covered())) > 36


def test_a_driver_that_is_killed_at_random(
    killed: KilledRuns, undisturbed: dict[str, object]
) -> None:
    """While its workers are at work."""
    kill_at_random(killed, undisturbed, 3)


@pytest.mark.nightly
def test_a_driver_that_is_killed_at_fifty_random_moments(
    killed: KilledRuns, undisturbed: dict[str, object]
) -> None:
    """The same, often."""
    kill_at_random(killed, undisturbed, 50)


@pytest.mark.nightly
def test_a_store_that_is_killed_costs_the_run_nothing(
    killed: KilledRuns, undisturbed: dict[str, object], redis_factory: Callable[..., Any]
) -> None:
    """The scan goes on without it, and a resume that can't reach it says so."""
    server, report = redis_factory(tcp=True), killed.out.parent / "report"
    more = ("--store", server.url, "--report", str(report))
    process = killed.start(["-m", "vyre_dist"], *more)

    def wait_for_bytes(count: int) -> None:
        wanted = killed.ledger_bytes() + count
        while process.poll() is None and killed.ledger_bytes() < wanted:
            time.sleep(0.001)

    wait_for_bytes(1)
    server.stop()
    wait_for_bytes(5_000)
    process.kill()
    assert process.wait(120) == KILLED
    last = killed.run(*more)
    assert last.returncode in ENDED, last.stderr
    told = json.loads(report.read_text())
    assert told["complete"] and "127.0.0.1" in told["store_problem"]
    assert killed.outputs() == undisturbed


@pytest.mark.nightly
def test_a_disk_that_is_full(
    killed: KilledRuns, undisturbed: dict[str, object], small_disk: Path
) -> None:
    """What was done is kept, and the command that goes on is told; it does, with more room."""
    killed.place = str(small_disk / "run")
    full = killed.run()
    assert full.returncode == 3, full.stderr
    said = full.stderr.decode()
    assert "No space left on device" in said
    command = shlex.split(said.partition("go on with: vyre-dist ")[2].splitlines()[0])
    kept = set(killed.covered())
    assert kept and killed.place in command and "--resume" in command
    grow = ["mount", "-o", "remount,size=100M", str(small_disk)]
    subprocess.run(grow, check=True)
    assert killed.goes_on_with(command) in ENDED
    assert killed.outputs() == undisturbed


def merge(killed: KilledRuns, *arguments: str) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "vyre_dist", "merge", str(killed.run_dir), *arguments],
        env=killed.environment,
        cwd=killed.tree,
        check=False,
        timeout=120,
    )
    return done.returncode
