"""ObjectStorage: a prefix of an object store, or of what else fsspec can reach.

Nothing is renamed there, and nothing appended to. A file is one object, put whole. A log is an
object for each append, with numbers in a row: NAME-000000000000 and so on. Each of them is put only
if there is none, so that no two writers can have the same place in a log.

How private an object is is up to the bucket.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from vyre_dist.errors import UsageError
from vyre_dist.storage.attempts import attempted
from vyre_dist.storage.frames import DamagedError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_GROUP_SECONDS = 1.0
_SEGMENT = re.compile(r"(.+)-([0-9]{12})")
_AT_ONCE = 64
"""Objects that are asked for at a time."""
_MOST_ASKED = 16
"""Sizes of a folder's files that are asked for one by one."""
_DOWN_SECONDS = 1.0
"""How long is tried again where nothing else has succeeded since the last time."""

T = TypeVar("T")


class ObjectStorage:
    """See Storage. `root`: where it is in `filesystem`; `seconds`: see attempted."""

    group_seconds = _GROUP_SECONDS

    def __init__(
        self, filesystem: AbstractFileSystem, root: str, place: str, seconds: float
    ) -> None:
        self.place = place.rstrip("/")
        self._files = filesystem
        self._root = root
        self._seconds = seconds
        self._segments: dict[str, int] = {}
        self._heeds_conditions = False
        self._is_down = False
        self._asked: dict[str, int] = {}
        self._sizes: dict[str, dict[str, int]] = {}

    def path(self, name: str) -> str:
        """See Storage."""
        return f"{self.place}/{name}"

    def names(self, folder: str = "") -> Sequence[str]:
        """See Storage."""
        at = f"{self._root}/{folder}".rstrip("/")
        try:
            found = self._do(
                f"listing {self.path(folder)}",
                lambda: self._files.ls(at, detail=False),
            )
        except FileNotFoundError:
            return []
        names: set[str] = set()
        for path in found:
            name = str(path).rstrip("/").rpartition("/")[2]
            if (segment := _SEGMENT.fullmatch(name)) is not None:
                name = segment[1]
                log = f"{folder}/{name}" if folder else name
                self._segments[log] = max(self._segments.get(log, 0), int(segment[2]) + 1)
            names.add(name)
        return sorted(names)

    def read(self, name: str) -> bytes:
        """See Storage. A log is read to its end, which may be beyond what was listed."""
        if name not in self._segments:
            try:
                return self._read(name)
            except FileNotFoundError:
                self._segments[name] = 0
        try:
            data = [*self._read_all([_segment(name, i) for i in range(self._segments[name])])]
        except FileNotFoundError as error:
            raise DamagedError(
                self.path(name), 0, f"one of its {self._segments[name]:,} objects is missing"
            ) from error
        while True:
            try:
                data.append(self._read(_segment(name, len(data))))
            except FileNotFoundError:
                break
        if not data:
            del self._segments[name]
            raise FileNotFoundError(f"{self.path(name)}: there is none")
        self._segments[name] = len(data)
        return b"".join(data)

    def read_at(self, name: str, offset: int, size: int) -> bytes:
        """See Storage."""
        if size <= 0:
            return b""
        at = f"{self._root}/{name}"
        data = self._do(
            f"reading {self.path(name)}",
            lambda: self._files.cat_file(at, start=offset, end=offset + size),
        )
        return bytes(data)

    def size(self, name: str) -> int:
        """See Storage. A resume asks for that of all part files: they are listed together then."""
        folder, _, own = name.rpartition("/")
        self._asked[folder] = self._asked.get(folder, 0) + 1
        if self._asked[folder] == _MOST_ASKED:
            self._sizes[folder] = self._listed_sizes(folder)
        if (known := self._sizes.get(folder, {}).get(own)) is not None:
            return known
        at = f"{self._root}/{name}"
        info = self._do(f"looking at {self.path(name)}", lambda: self._files.info(at))
        if info.get("type") == "directory":
            raise FileNotFoundError(f"{self.path(name)}: there is none")
        return int(info["size"])

    def _forget_size(self, name: str) -> None:
        folder, _, own = name.rpartition("/")
        self._sizes.get(folder, {}).pop(own, None)

    def _listed_sizes(self, folder: str) -> dict[str, int]:
        at = f"{self._root}/{folder}".rstrip("/")
        try:
            found = self._do(
                f"listing {self.path(folder)}", lambda: self._files.ls(at, detail=True)
            )
        except FileNotFoundError:
            return {}
        return {
            str(each["name"]).rpartition("/")[2]: int(each["size"])
            for each in found
            if each["type"] == "file"
        }

    def put(self, name: str, data: Iterable[bytes]) -> None:
        """See Storage."""
        at, body = f"{self._root}/{name}", b"".join(data)
        self._forget_size(name)
        self._do(f"writing {self.path(name)}", lambda: self._files.pipe_file(at, body))

    def create(self, name: str, data: bytes) -> bool:
        """See Storage. Raises UsageError where the store does not know how to do that."""
        if not self._created(name, data):
            return False
        if not self._heeds_conditions:
            # one that takes no notice of a condition would let two drivers have the same run
            if self._created(name, data + b" "):
                self.remove(name)
                raise UsageError(
                    f"{self.place}: this store puts an object also where it was told to only if "
                    "there is none, so two drivers could work on one run: name another --run-dir"
                )
            self._heeds_conditions = True
        return True

    def sync(self, name: str) -> None:
        """See Storage. Whatever can be read is there to stay."""

    def remove(self, name: str) -> None:
        """See Storage."""
        at = f"{self._root}/{name}"
        self._forget_size(name)
        try:
            self._do(f"removing {self.path(name)}", lambda: self._files.rm_file(at))
        except FileNotFoundError:
            return

    def log(self, name: str) -> ObjectLog:
        """See Storage. There is something of it from its first append on."""
        try:
            self.size(_segment(name, 0))
        except FileNotFoundError:
            return ObjectLog(self, name)
        raise FileExistsError(f"{self.path(name)}: it is there already")

    def append(self, name: str, number: int, data: bytes) -> None:
        """Put an append of a log in its place. Raises FileExistsError if another one is there."""
        if not self._created(_segment(name, number), data):
            raise FileExistsError(f"{self.path(name)} is another driver's")

    def _created(self, name: str, data: bytes) -> bool:
        """Put an object if there is none; whether what is there is this one."""
        at = f"{self._root}/{name}"
        try:
            self._do(
                f"writing {self.path(name)}",
                lambda: self._files.pipe_file(at, data, mode="create"),
            )
        except FileExistsError:
            # an attempt of which no answer came may have put it
            return self._read(name) == data
        return True

    def _do(self, what: str, attempt: Callable[[], T]) -> T:
        """What `attempt` comes to, tried again for a while; not for long where the last one was in
        vain, or was interrupted: whoever lets go of a run need not wait for each of its files.
        """
        seconds = min(self._seconds, _DOWN_SECONDS) if self._is_down else self._seconds
        self._is_down = True
        try:
            result = attempted(what, attempt, seconds)
        except (FileNotFoundError, FileExistsError):
            self._is_down = False  # an answer, too
            raise
        self._is_down = False
        return result

    def _read(self, name: str) -> bytes:
        at = f"{self._root}/{name}"
        data = self._do(f"reading {self.path(name)}", lambda: self._files.cat_file(at))
        return bytes(data)

    def _read_all(self, names: Sequence[str]) -> Iterable[bytes]:
        """Objects that were listed, in order."""
        for first in range(0, len(names), _AT_ONCE):
            some = [f"{self._root}/{name}" for name in names[first : first + _AT_ONCE]]
            found = self._do(
                f"reading {self.path(names[first])} and so on",
                lambda some=some: self._files.cat(some),  # type: ignore[misc]
            )
            yield from [bytes(found[at]) for at in some]


class ObjectLog:
    """See Log."""

    def __init__(self, storage: ObjectStorage, name: str) -> None:
        self._storage, self._name = storage, name
        self._appends = 0
        self.size = 0

    def append(self, data: bytes) -> None:
        """See Log."""
        self._storage.append(self._name, self._appends, data)
        self._appends += 1
        self.size += len(data)

    def close(self) -> None:
        """See Log."""


def _segment(log: str, number: int) -> str:
    return f"{log}-{number:012}"
