"""A store of objects as fsspec shows one, for the real ObjectStorage: slow, late with its lists,
with answers that are lost, and for a while without any.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from simulator.storage import Disk, Operations
from simulator.world import Process, World
from vyre_dist.storage.objects import ObjectStorage

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_DRIVER_SECONDS, _WORKER_SECONDS = 120.0, 2.0
"""How long they try again: less for workers, as their leases are shorter here."""


class SimulatedTime:
    """What the module `time` is to attempts.py."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sleep = world.sleep

    def monotonic(self) -> float:
        """Seconds."""
        return self._world.now


class SimulatedObjects:
    """What ObjectStorage asks of an fsspec file system, as `process` sees the store."""

    def __init__(self, disk: Disk, process: Process, *, exact: bool) -> None:
        self._disk = disk
        self._operations = Operations(disk, process, exact=exact)

    def ls(self, path: str, detail: bool) -> Sequence[str | dict[str, object]]:
        """The objects and folders in a folder; it may not know of the latest ones."""
        self._operations.begin("ls")
        found = self._disk.listed(f"{path}/", late=not self._operations.exact)
        if not found:
            raise _none(path)
        names = [f"{path}/{name}" for name in found]
        if not detail:
            return names
        files = self._disk.files
        return [
            {
                "name": name,
                "type": "file" if name in files else "directory",
                "size": len(files.get(name, b"")),
            }
            for name in names
        ]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """An object, or some of it."""
        self._operations.begin("cat_file")
        return self._object(path)[start:end]

    def cat(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Some objects."""
        self._operations.begin("cat")
        return {path: self._object(path) for path in paths}

    def info(self, path: str) -> dict[str, object]:
        """What is known of an object."""
        self._operations.begin("info")
        return {"type": "file", "size": len(self._object(path))}

    def pipe_file(self, path: str, data: bytes, mode: str = "overwrite") -> None:
        """Put an object, perhaps only if there is none."""
        self._operations.begin("pipe_file", writes=True)
        if mode == "create" and path in self._disk.files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self._disk.write(path, bytes(data))
        troubles, random = self._disk.troubles, self._disk.world.random
        if not self._operations.exact and random.random() < troubles.fails_though_done:
            raise ConnectionResetError("the answer was lost")

    def rm_file(self, path: str) -> None:
        """Remove an object."""
        self._operations.begin("rm_file")
        if self._disk.files.pop(path, None) is None:
            raise _none(path)

    def _object(self, path: str) -> bytes:
        try:
            return self._disk.files[path]
        except KeyError:
            raise _none(path) from None


def _none(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def open_objects(disk: Disk, process: Process, place: str, *, exact: bool) -> ObjectStorage:
    """The real storage at `place`, over the simulated store."""
    objects = cast("AbstractFileSystem", SimulatedObjects(disk, process, exact=exact))
    seconds = _WORKER_SECONDS if process.name.startswith("worker") else _DRIVER_SECONDS
    return ObjectStorage(objects, place.partition("://")[2], place, seconds)
