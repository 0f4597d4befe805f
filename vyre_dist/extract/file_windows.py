"""FileWindows: the windows of one dispatch, nearly all of them small files.

A tree has tens of thousands of files, and most have no candidates. So a file is two numbers here,
and a window is made of it when somebody asks for one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from vyre_dist.extract.window import Window

_NOTHING = memoryview(b"")

# one file needs no database for many, which takes longer to build than to search it
_FEWEST = 2


class FileWindows(Sequence[Window]):
    """Whole files that lie in `memory` one behind the other, and `others`, by their number.

    `starts`, `ends`: of each window in `memory`; of what lies elsewhere the start is -1. `joined`:
    one newline stands between two files next to each other in `memory`.
    """

    __slots__ = ("ends", "joined", "memory", "others", "starts")

    def __init__(self, memory: memoryview = _NOTHING, *, joined: bool = False) -> None:
        self.memory = memory
        self.joined = joined
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.others: dict[int, Window] = {}

    def add(self, window: Window) -> None:
        """One that is no whole file, or not in `memory`."""
        start = window.position
        self.others[len(self.starts)] = window
        self.starts.append(start)
        self.ends.append(start + len(window.data))

    def take(self) -> FileWindows:
        """All of them, as windows of their own; here there are none then."""
        taken = FileWindows(self.memory, joined=self.joined)
        taken.starts += self.starts
        taken.ends += self.ends
        taken.others.update(self.others)
        self.starts.clear()
        self.ends.clear()
        self.others.clear()
        return taken

    def part(self, first: int, last: int) -> FileWindows:
        """The windows [first, last), as windows of their own."""
        own = FileWindows(self.memory, joined=self.joined)
        own.starts += self.starts[first:last]
        own.ends += self.ends[first:last]
        own.others.update({w - first: o for w, o in self.others.items() if first <= w < last})
        return own

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, number: int) -> Window: ...
    @overload
    def __getitem__(self, number: slice) -> list[Window]: ...
    def __getitem__(self, number: int | slice) -> Window | list[Window]:
        """A window, or a list of some."""
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        start, end = self.starts[number], self.ends[number]
        if number < 0:
            number += len(self)
        other = self.others.get(number)
        if other is not None:
            return other
        return Window(self.memory[start:end], 0, 0, end - start, True, start)

    def arenas(self) -> Iterator[FileArena]:
        """Files to be searched together, as many as lie side by side; none if not `joined`."""
        if self.joined:
            first = 0
            for last in (*sorted(self.others), len(self)):
                if last - first >= _FEWEST:
                    yield FileArena(self, first, last)
                first = last + 1


def bounds_of(windows: Sequence[Window]) -> tuple[Sequence[int], Sequence[int]]:
    """Where windows start and end in the memory that they were read into; from -1 on elsewhere."""
    if isinstance(windows, FileWindows):
        return windows.starts, windows.ends
    starts = [window.position for window in windows]
    return starts, [window.position + len(window.data) for window in windows]


def perhaps_pieces(windows: Sequence[Window]) -> Iterable[tuple[int, Window]]:
    """With their numbers, the windows that need not be whole documents."""
    return windows.others.items() if isinstance(windows, FileWindows) else enumerate(windows)


class FileArena:
    """The files [first, last) of `windows` as one text, whose rows they are; see RowArena."""

    __slots__ = ("_base", "_windows", "data", "first", "last")

    def __init__(self, windows: FileWindows, first: int, last: int) -> None:
        self._windows = windows
        self.first, self.last = first, last
        self._base = windows.starts[first]
        self.data = windows.memory[self._base : windows.ends[last - 1]]

    def __len__(self) -> int:
        return self.last - self.first

    def bounds(self, row: int) -> tuple[int, int]:
        """[start, end) of a file in `data`."""
        number = self.first + row
        return self._windows.starts[number] - self._base, self._windows.ends[number] - self._base

    def row_at(self, end: int, first: int = 0) -> int:
        """The file of the byte before offset `end`; of a newline, the one that it stands before."""
        low = self.first + first
        return bisect_left(self._windows.ends, end + self._base, low, self.last) - self.first
