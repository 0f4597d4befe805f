"""Runs in made-up worlds: whatever happens, a run ends with what an undisturbed one has found.

How to replay a seed is in CONTRIBUTING.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulator.planted_bugs import BUGS, MOST_SECONDS, Bug, found
from simulator.simulation import simulate

HERE = Path(__file__).parent
SEEDS, TESTS = 200, 8
NIGHTLY_SEEDS, NIGHTLY_TESTS = 20_000, 40

SOON = [
    "done before sync",
    "epoch not compared",
    "two tasks of a shard have one part",
    "resume skips a piece",
    "duplicate counted",
    "poison blamed on the second task",
    "a resume does not audit what was scanned before",
    "a store that has failed is asked for each kind of worker (was there)",
]
"""Planted bugs that are found within a second or so."""


def hold(first: int, end: int) -> None:
    for seed in range(first, end):
        result = simulate(seed)
        assert not result.violation, f"make sim SEED={seed}: {result.violation}"


@pytest.mark.parametrize("part", range(TESTS))
def test_every_run_ends_with_the_findings_of_an_undisturbed_one(part: int) -> None:
    each = SEEDS // TESTS
    hold(part * each, (part + 1) * each)


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(NIGHTLY_TESTS))
def test_many_runs_end_with_the_findings_of_undisturbed_ones(part: int) -> None:
    each = NIGHTLY_SEEDS // NIGHTLY_TESTS
    hold(part * each, (part + 1) * each)


@pytest.mark.parametrize("name", SOON)
def test_the_checks_find_what_is_easy_to_find(name: str) -> None:
    (bug,) = [bug for bug in BUGS if bug.name == name]
    assert found(bug)[1] is not None


@pytest.mark.nightly
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_checks_find_each_planted_bug_in_time(bug: Bug) -> None:
    seconds, result = found(bug)
    assert result is not None and seconds <= MOST_SECONDS + 10


def test_there_are_enough_planted_bugs() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 30


def test_a_seed_decides_everything() -> None:
    """In another process, too, whose hashes are others."""
    seeds = range(0, SEEDS, 20)
    here = [f"{simulate(seed).digest:08x}" for seed in seeds]
    assert len(set(here)) > len(here) // 2
    code = (
        "from simulator.simulation import simulate\n"
        f"for seed in {list(seeds)}: print(f'{{simulate(seed).digest:08x}}')"
    )
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONHASHSEED": "7"}
    there = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert there.stdout.split() == here
