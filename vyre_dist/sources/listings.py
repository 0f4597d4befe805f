"""Listings: folders that were listed before the walk comes to them, by whoever does that.

Only what nearly every folder is like is told so: files and folders, and nothing in it that the walk
has to look at more closely. tree.py lists all others itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence, Set
from typing import NamedTuple, Protocol

from vyre_dist.own_files import SUFFIX
from vyre_dist.sources.file_names import FileNames

# an ignore file, a repository, what is written otherwise than it is called, an own file
_SPECIAL = (b".git", b"!", b"%2", SUFFIX.encode())


class PlainFolder(NamedTuple):
    """The names of a folder's regular files and of its folders, each in the order of their bytes.

    None of them is an ignore file's or a repository's, none differs from its written form, and no
    file is the scan's own.
    """

    files: FileNames
    folders: FileNames


class Listings(Protocol):
    """Lists folders ahead."""

    def wants_more(self) -> bool:
        """Whether few folders are on their way."""
        ...

    def want(self, locations: Sequence[str]) -> None:
        """Have these listed, which come next in this order; some may be known already."""
        ...

    def of(self, location: str) -> PlainFolder | None:
        """The folder; None: the walk has to list it. Waits for one that is on its way."""
        ...


def plain_folder(location: bytes, own_inodes: Set[int]) -> PlainFolder | None:
    """The folder at `location`; None for one that is not plain, or can't be listed.

    `own_inodes`: of files that are perhaps the scan's own.
    """
    try:
        with os.scandir(location) as listing:
            entries = list(listing)
        files = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        folders: list[bytes] = []
        if len(files) < len(entries):
            folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return None
    if len(files) + len(folders) < len(entries):
        return None
    if own_inodes and not own_inodes.isdisjoint([entry.inode() for entry in entries]):
        return None
    names = [b"\0".join([*sorted(each), b""]) for each in (files, folders)]
    if any(special in each for each in names for special in _SPECIAL):
        return None
    return PlainFolder(FileNames(names[0]), FileNames(names[1]))
