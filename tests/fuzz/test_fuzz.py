"""The fuzzer: its targets hold for a while, a planted fault is found, saved, and seen again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
TARGETS = sorted(
    path.stem for path in (FUZZ / "targets").glob("*.py") if path.stem not in ("__init__", "target")
)

# a target that breaks where an input holds two of the same rare byte in a row
PLANTED = """
import sys
sys.path.insert(0, {folder!r})
import run

class Planted:
    words = (b"zz", b"a")
    def seeds(self):
        return [b"abc"]
    def check(self, data):
        if b"zz" in data:
            raise ValueError("planted")
        return len(data) % 8

sys.exit(run.main(sys.argv[1:], {{"planted": Planted}}))
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    # vyre_dist, where another test has imported it, has set it for its own children
    env = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run(
        [sys.executable, *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def planted(*arguments: str) -> subprocess.CompletedProcess[str]:
    return python("-P", "-c", PLANTED.format(folder=str(FUZZ)), *arguments)


@pytest.mark.parametrize("target", TARGETS)
def test_targets_hold(target: str, tmp_path: Path) -> None:
    """A few hundred inputs of a fixed seed break no target, and their seeds read well."""
    done = python(
        str(FUZZ / "run.py"), "--runs", "300", "--seed", "1", "--crashes", str(tmp_path), target
    )
    assert done.returncode == 0, done.stderr
    assert f"{target}: 300 inputs, seed 1" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_planted_fault_is_found_and_seen_again(tmp_path: Path) -> None:
    """The input is saved, its seed printed; the file breaks the target again, and so does the
    seed.
    """
    done = planted("--seed", "5", "--seconds", "60", "--crashes", str(tmp_path))
    assert done.returncode == 1
    (saved,) = tmp_path.iterdir()
    assert b"zz" in saved.read_bytes()
    told = re.search(r"planted: seed 5, input (\d+) broke it", done.stderr)
    assert told and "ValueError: planted" in done.stderr
    again = planted("--replay", str(saved), "planted")
    assert again.returncode != 0 and "ValueError: planted" in again.stderr
    other = tmp_path / "again"
    by_seed = planted("--seed", "5", "--runs", told[1], "--crashes", str(other), "planted")
    assert by_seed.returncode == 1
    assert next(other.iterdir()).read_bytes() == saved.read_bytes()


def test_without_a_fault_nothing_is_saved(tmp_path: Path) -> None:
    """Runs that end well print their seed, end with 0 and leave no file."""
    done = python(
        str(FUZZ / "run.py"),
        "--runs",
        "5",
        "--seed",
        "7",
        "--crashes",
        str(tmp_path),
        "counter_tail",
    )
    assert (done.returncode, done.stdout) == (0, "counter_tail: 5 inputs, seed 7\n"), done.stderr
    assert list(tmp_path.iterdir()) == []
