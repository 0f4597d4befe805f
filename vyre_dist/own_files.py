"""What this process writes while it scans; a walk that meets it leaves it out.

What it makes for itself (half-written outputs) is told by how the names end, what was there before
(a file that output is redirected to, an older result that will be replaced) by device and inode.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

SUFFIX = f".vyre-{os.urandom(6).hex()}.part"
"""Of this process: no other file's name ends like this. Those of other processes: see
leftovers.py.
"""


def regular_files(places: Iterable[str | int]) -> frozenset[tuple[int, int]]:
    """(device, inode) of those paths and descriptors that are regular files."""
    found: set[tuple[int, int]] = set()
    for place in places:
        try:
            info = os.stat(place)
        except OSError:  # nothing there yet, or closed
            continue
        # one with several names is replaced under one of them: by the others it is as good a
        # document as any
        replaced_only = isinstance(place, str) and info.st_nlink > 1
        if stat.S_ISREG(info.st_mode) and not replaced_only:
            found.add((info.st_dev, info.st_ino))
    return frozenset(found)
