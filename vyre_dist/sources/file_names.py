"""FileNames: the names of a folder's files as one text, as they travel from the walk to a worker.

Most of them are never looked at by themselves: whoever counts, keeps or sends them handles one
object for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

_END = b"\0"
"""Behind each name; no name has one in it."""


class FileNames(Sequence[str]):
    """Names in order. `packed`: their bytes on disk, each with a NUL behind it.

    Raises ValueError: there is none behind the last.
    """

    __slots__ = ("_count", "_raw", "packed")

    def __init__(self, packed: bytes) -> None:
        if packed and not packed.endswith(_END):
            raise ValueError(f"names that end in {packed[-20:]!r}, not in a NUL")
        self.packed = packed
        self._count = packed.count(_END)
        self._raw: list[bytes] | None = None

    @classmethod
    def of(cls, names: Iterable[str]) -> FileNames:
        """`names`, unless they are it already. Raises ValueError for one with a NUL in it."""
        if isinstance(names, FileNames):
            return names
        given = names if isinstance(names, list | tuple) else list(names)
        text = "\0".join([*given, ""])
        made = cls(text.encode("utf-8", "surrogateescape"))
        if len(made) != len(given):
            raise ValueError("a file's name with a NUL in it")
        return made

    @property
    def raw(self) -> list[bytes]:
        """The bytes of each."""
        if self._raw is None:
            self._raw = self.packed[:-1].split(_END) if self.packed else []
        return self._raw

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> FileNames: ...
    def __getitem__(self, place: int | slice) -> str | FileNames:
        """A name, or some as FileNames."""
        if isinstance(place, slice):
            return FileNames(_END.join([*self.raw[place], b""]))
        return self.raw[place].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return iter([name.decode("utf-8", "surrogateescape") for name in self.raw])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FileNames):
            return self.packed == other.packed
        return isinstance(other, list | tuple) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"FileNames.of({list(self)!r})"
