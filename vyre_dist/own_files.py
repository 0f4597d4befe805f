"""The files that this process writes while it scans: a walk leaves them out.

New ones (half-written outputs) are known by the ending of their names. Older ones (a file that
output is redirected to, a result that will be replaced) are known by device and inode.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

SUFFIX = f".vyre-{os.urandom(6).hex()}.part"
"""The ending of this process's unfinished files; no other file's name ends so. leftovers.py knows
those of other processes.
"""


def regular_files(files: Iterable[str | int]) -> frozenset[tuple[int, int]]:
    """(device, inode) of those paths and descriptors that are regular files."""
    found: set[tuple[int, int]] = set()
    for file in files:
        try:
            info = os.stat(file)
        except OSError:  # nothing there yet, or closed
            continue
        # a file with several names is replaced under one of them: under the others it is a document
        # like any
        replaced_only = isinstance(file, str) and info.st_nlink > 1
        if stat.S_ISREG(info.st_mode) and not replaced_only:
            found.add((info.st_dev, info.st_ino))
    return frozenset(found)
