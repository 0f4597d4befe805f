"""Tests without hyperscan, as on a Python that there are no wheels of it for: an environment that
has all packages of this one but it, and what a scan says in the tests' own one if it lacks it.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]

LACKING = find_spec("hyperscan") is None
"""Whether each scan of these tests on the cpu backend says so, in a line on standard error."""

_HINT = "vyre-dist: warning: the package hyperscan is not installed: "


def told(errors: bytes | str) -> str:
    """Standard error without that line, where it is expected.

    tests/kernels/test_without_hyperscan.py is about the line.
    """
    text = errors if isinstance(errors, str) else errors.decode()
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not (LACKING and line.startswith(_HINT)))


def command(*arguments: str) -> list[str]:
    """Python with the environment's packages only: -S keeps it from looking for others."""
    return [sys.executable, "-S", "-P", *arguments]


def environment(folder: Path) -> dict[str, str]:
    """Environment variables for `command`; `folder` is filled with links to the packages."""
    packages = folder / "packages"
    packages.mkdir()
    places = dict.fromkeys(str(dist.locate_file("")) for dist in importlib.metadata.distributions())
    for place in map(Path, places):
        for entry in place.iterdir() if place.is_dir() else ():
            link = packages / entry.name
            if not entry.name.startswith("hyperscan") and not link.is_symlink():
                link.symlink_to(entry)
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(packages), str(ROOT)]),
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "LANG": "C.UTF-8",
    }
