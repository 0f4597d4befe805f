"""An environment that has all packages of this one but hyperscan, as a Python that there are no
wheels of it for.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


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
