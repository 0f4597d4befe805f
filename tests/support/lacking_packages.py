"""Environments that have all packages of this one but some."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Container
from pathlib import Path

ROOT = Path(__file__).parents[2]


def command(*arguments: str) -> list[str]:
    """Python with the environment's packages only: -S keeps it from looking for others."""
    return [sys.executable, "-S", "-P", *arguments]


def environment(folder: Path, lacking: Container[str]) -> dict[str, str]:
    """Environment variables for `command`; `folder` is filled with links to the packages.

    `lacking`: names of distributions, as their metadata has them.
    """
    packages = folder / "packages"
    packages.mkdir(parents=True)
    left_out = {
        top
        for found in importlib.metadata.distributions()
        if found.metadata["Name"] in lacking
        for top in {Path(str(file)).parts[0] for file in found.files or ()}
    }
    places = dict.fromkeys(str(dist.locate_file("")) for dist in importlib.metadata.distributions())
    for place in places:
        for path in Path(place).iterdir() if Path(place).is_dir() else ():
            if path.name not in left_out and not (packages / path.name).exists():
                (packages / path.name).symlink_to(path)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{packages}:{ROOT}",
    }
