"""Storage: what a run directory needs of the place that it lies in.

Files are put whole, claimed by one, or appended to. A store of objects can do all of it without
renames: a log would be an object for each append there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol


class Log(Protocol):
    """A file that one process appends to."""

    size: int
    """Bytes that have been appended, and are there to stay."""

    def append(self, data: bytes) -> None:
        """Write `data` at the end; it outlives a power failure when this returns.

        Raises OSError; what a failed append has left at the end is cut off, or is read as torn.
        """

    def close(self) -> None:
        """Nothing more is appended. May be called twice."""


class Storage(Protocol):
    """Files by name, with `/` between a folder and a file. All methods raise OSError."""

    place: str
    """Where it is, as the user names it."""
    group_seconds: float
    """What is to be appended to a log should wait so long for more: an append costs as much."""

    def path(self, name: str) -> str:
        """Where a file is, for other processes, which open_storage gives this storage, too."""

    def names(self, folder: str = "") -> Sequence[str]:
        """The files in a folder, in order; none where there is no such folder."""

    def read(self, name: str) -> bytes | memoryview:
        """A whole file. Raises FileNotFoundError."""

    def read_at(self, name: str, offset: int, size: int) -> bytes:
        """Some of a file, less where it ends before. Raises FileNotFoundError."""

    def size(self, name: str) -> int:
        """A file's bytes. Raises FileNotFoundError."""

    def put(self, name: str, data: Iterable[bytes]) -> None:
        """Have the file `name` hold `data`, at once and for good; it replaces an older one."""

    def create(self, name: str, data: bytes) -> bool:
        """The same if there is no such file; False if there is one."""

    def sync(self, name: str) -> None:
        """Have what can be read in a file outlive a power failure, whoever has written it."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def log(self, name: str) -> Log:
        """A new log. Raises FileExistsError."""
