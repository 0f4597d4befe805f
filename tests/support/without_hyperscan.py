"""Tests without hyperscan, as on a Python that there are no wheels of it for: an environment that
has all packages of this one but it, and what a scan says in the tests' own one if it lacks it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import lacking_packages
from lacking_packages import command

__all__ = ["LACKING", "command", "environment", "told"]

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


def environment(folder: Path) -> dict[str, str]:
    """Environment variables for `command`; `folder` is filled with links to the packages."""
    return lacking_packages.environment(folder, {"hyperscan"})
