"""Once: yields each document once, where arguments overlap or links are followed.

A document is identified by its directory's (device, inode) and its name in there, so two hard links
are two documents. Once remembers directories rather than files: a listed directory stands for all
its names but those left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

_DirId = tuple[int, int]


class Met(NamedTuple):
    """What of a directory was met before a listing: the files `taken` on their own and, if it was
    listed before, all its files but those `left_out` then (None: it was not listed).
    """

    taken: frozenset[str]
    left_out: set[str] | None


class Once:
    """What has been met so far. It grows with directories and single files, not with the files of
    trees.
    """

    def __init__(self) -> None:
        # directory: names that were left out of its listing
        self._listed: dict[_DirId, set[str]] = {}
        self._partial: set[_DirId] = set()  # a later argument may see more there, or below
        self._current: set[_DirId] = set()  # those listed for the current argument
        self._taken: dict[_DirId, set[str]] = {}  # directory: names that were yielded on their own
        # only of the directories of single files, which come in runs
        self._ids: dict[str, _DirId] = {}

    def next_argument(self) -> None:
        """Note that another argument's tree begins, for which other globs and ignore files may
        count.
        """
        self._current.clear()

    def claim_directory(self, identity: _DirId, above: frozenset[_DirId]) -> Met | None:
        """What was met of this directory before the listing that begins now. `above`: the
        directories that led here.

        None if the listing would yield nothing: the directory was listed for this argument, or for
        another one with all that is in it.
        """
        left_out = self._listed.get(identity)
        if left_out is not None and (identity in self._current or identity not in self._partial):
            if identity in self._partial:
                self.mark_partial(above)
            return None
        self._current.add(identity)
        self._listed[identity] = set()
        return Met(frozenset(self._taken.get(identity, ())), left_out)

    def mark_partial(self, directories: frozenset[_DirId]) -> None:
        """Note that these directories, each reached through the one before, lead to something that
        only another argument may yield.
        """
        self._partial |= directories

    def give_back(self, identity: _DirId, met: Met, names: Iterable[str]) -> None:
        """Note that a listing failed: only `names` of the directory are known, and earlier ones."""
        if met.left_out is not None:
            self._listed[identity] = met.left_out.difference(names)
        elif self._listed.pop(identity, None) is not None:
            self._taken.setdefault(identity, set()).update(names)

    def leave_out(self, identity: _DirId, name: str) -> None:
        """Note that a directory's listing does not yield `name`: it can still be asked for.

        Call this before other names of that directory are claimed: a link among them may lead to
        this one.
        """
        left_out = self._listed.get(identity)
        if left_out is not None:
            left_out.add(name)
        else:  # it was given back
            self._taken[identity].discard(name)

    def claim_file(self, path: str) -> bool:
        """Whether the file that `path` leads to was not yielded yet. Raises OSError."""
        parent, name = os.path.split(os.path.realpath(path) if os.path.islink(path) else path)
        identity = self._ids.get(parent)
        if identity is None:
            info = os.stat(parent or ".")
            identity = self._ids[parent] = (info.st_dev, info.st_ino)
        left_out = self._listed.get(identity)
        if left_out is not None and name not in left_out:
            return False
        taken = self._taken.setdefault(identity, set())
        if name in taken:
            return False
        taken.add(name)
        return True
