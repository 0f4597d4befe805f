"""FolderListers: processes that list folders ahead of the process that walks.

One process can list as fast as a dozen workers read small files. A walk asks these for the folders
that it comes to next, and has to do little more than put them in order.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence, Set
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection

import msgpack

from vyre_dist.processes.child import Child
from vyre_dist.processes.serve import answer_all
from vyre_dist.processes.start import fork
from vyre_dist.sources import FileNames
from vyre_dist.sources.listings import PlainFolder, plain_folder

_PROCESSORS_EACH, _MOST = 8, 4
"""One lister for so many processors, and no more than so many."""
_AHEAD, _BATCH = 64, 16
"""Folders that are on their way at most, and in one message."""


class _Lister:
    """One of them, seen from the walk. `asked`: the folders of each message, in order."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.asked: deque[Sequence[str]] = deque()
        self.ready = False

    def receive(self) -> bytes:
        """Its next answer. Raises EOFError and OSError."""
        if not self.ready:
            self.connection.recv_bytes()  # that it is ready
            self.ready = True
        return self.connection.recv_bytes()


class FolderListers:
    """Listings by processes that are forked by `start`, and ended by `close`.

    They are started by the driver, and asked by a process that it forks then: from `let_go` on, the
    driver has no way to them, so that they end with the other one. As long as there are none, and
    where one is gone, folders are left to who asks.
    """

    def __init__(self, own_files: Set[tuple[int, int]] = frozenset()) -> None:
        """`own_files`: (device, inode)."""
        self._own_inodes = frozenset([inode for _, inode in own_files])
        self._children: list[Child] = []
        self._listers: list[_Lister] = []
        self._asked: dict[str, _Lister] = {}
        self._found: dict[str, PlainFolder | None] = {}

    def start(self) -> None:
        """Fork them. Raises OSError, and then there are none."""
        count = max(1, min(len(os.sched_getaffinity(0)) // _PROCESSORS_EACH, _MOST))
        list_all = partial(_list_all, own_inodes=self._own_inodes)
        try:
            for number in range(count):
                others = [child.connection for child in self._children]
                child = fork(
                    lambda theirs: answer_all(theirs, list_all), f"vyre-list-{number}", others
                )
                self._children.append(child)
        except OSError:
            self.close()
            raise
        self._listers = [_Lister(child.connection) for child in self._children]

    def let_go(self) -> None:
        """Have only processes that were forked from this one ask them."""
        self._listers = []
        for child in self._children:
            child.connection.close()

    def close(self) -> None:
        """End the processes."""
        children, self._children, self._listers = self._children, [], []
        for child in children:
            child.terminate()
        for child in children:
            child.end()

    def wants_more(self) -> bool:
        """See Listings."""
        return bool(self._listers) and len(self._asked) <= _AHEAD // 2

    def want(self, locations: Sequence[str]) -> None:
        """See Listings."""
        new = [each for each in locations if each not in self._asked]
        new = new[: _AHEAD - len(self._asked)]
        for at in range(0, len(new), _BATCH):
            if not self._listers:
                return
            lister = min(self._listers, key=lambda each: len(each.asked))
            batch = new[at : at + _BATCH]
            lister.asked.append(batch)
            self._asked.update(dict.fromkeys(batch, lister))
            try:
                lister.connection.send_bytes(FileNames.of(batch).packed)
            except OSError:
                self._lose(lister)

    def of(self, location: str) -> PlainFolder | None:
        """See Listings."""
        lister = self._asked.get(location)
        while lister is not None and location not in self._found:
            try:
                answer = msgpack.unpackb(lister.receive())
            except (EOFError, OSError):
                self._lose(lister)
                return None
            for each, names in zip(lister.asked.popleft(), answer, strict=True):
                found = names and PlainFolder(*map(FileNames, names))
                self._found[each] = found
        self._asked.pop(location, None)
        return self._found.pop(location, None)

    def _lose(self, lister: _Lister) -> None:
        """It is gone: what it was asked for is left to who asks."""
        with suppress(ValueError):
            self._listers.remove(lister)
        for each in [each for each, asked in self._asked.items() if asked is lister]:
            if each not in self._found:
                del self._asked[each]


def _list_all(locations: bytes, own_inodes: Set[int]) -> bytes:
    """A lister's answer: the packed names of each folder, None for one that is not plain."""
    found = [plain_folder(each, own_inodes) for each in FileNames(locations).raw]
    packed: bytes = msgpack.packb(
        [each and (each.files.packed, each.folders.packed) for each in found]
    )
    return packed
