"""Runs in made-up worlds: whatever happens, a run ends with what an undisturbed one has found.

How to replay a seed is in CONTRIBUTING.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulator.simulation import simulate

HERE = Path(__file__).parent
SEEDS, TESTS = 200, 8


@pytest.mark.parametrize("part", range(TESTS))
def test_every_run_ends_with_the_findings_of_an_undisturbed_one(part: int) -> None:
    for seed in range(part, SEEDS, TESTS):
        result = simulate(seed)
        assert not result.violation, f"make sim SEED={seed}: {result.violation}"


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
