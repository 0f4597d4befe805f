r"""RowArena: many small documents in one text, so that one search goes over all of them.

A newline stands behind each row. To `\b`, `\B`, `(?m:^)` and `(?m:$)` it is what a text's edge is;
`\A` and `\z` must be looked for as `(?m:^)` and `(?m:$)` there. What the search finds may also lie
across rows, so each row that it names is decided by itself, as a window of its own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import overload

from vyre_dist.extract.window import Window, whole

MOST_ROW_BYTES = 2 << 20
"""A larger row is a document of its own. An arena has no more either: enough to spread a search's
cost over, little enough to stay in a core's second-level cache.
"""


class RowArena(Sequence[Window]):
    """Rows as a sequence of windows, each a whole document; `data` is all of them in one text.

    `sums`: 0, then how many bytes the first row has, the first two, and so on, without newlines.
    (Sums are what C makes of sizes; to make offsets of them here would take as long as the search.)
    """

    __slots__ = ("data", "sums")

    def __init__(self, data: bytes, sums: Sequence[int]) -> None:
        self.data = data
        self.sums = sums

    @classmethod
    def of(cls, rows: Sequence[bytes], sums: Sequence[int] | None = None) -> RowArena:
        """An arena of these rows. `sums`: theirs, if they are known."""
        return cls(b"\n".join([*rows, b""]), sums or sums_of(map(len, rows)))

    def __len__(self) -> int:
        return len(self.sums) - 1

    @overload
    def __getitem__(self, row: int) -> Window: ...
    @overload
    def __getitem__(self, row: slice) -> RowArena: ...
    def __getitem__(self, row: int | slice) -> Window | RowArena:
        """A row, or an arena of some rows next to each other."""
        if isinstance(row, int):
            return whole(self.row(row))
        low, high, step = row.indices(len(self))
        if step != 1 or high < low:
            raise ValueError(f"an arena is cut at two rows, found {row}")
        before = self.sums[low]
        sums = [total - before for total in self.sums[low : high + 1]]
        return RowArena(self.data[before + low : self.sums[high] + high], sums)

    def bounds(self, row: int) -> tuple[int, int]:
        """[start, end) of a row in `data`."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return self.sums[row] + row, self.sums[row + 1] + row

    def row(self, number: int) -> bytes:
        """The bytes of a row."""
        start, end = self.bounds(number)
        return self.data[start:end]

    def row_at(self, end: int, first: int = 0) -> int:
        """The row of the byte before offset `end`; of a newline, the row that it stands before.

        `first`: a row before which it is not. The number of rows for the newline of the last one.
        """
        sums = self.sums
        return bisect_left(range(len(self)), end, first, key=lambda row: sums[row + 1] + row)


def sums_of(sizes: Iterable[int]) -> list[int]:
    """RowArena.sums of rows of these sizes."""
    return list(accumulate(sizes, initial=0))


def stretches(sums: Sequence[int], most_bytes: int) -> Iterator[tuple[int, int]]:
    """[first, last) of rows that fit into arenas of `most_bytes`; a row that does not is alone.

    `sums`: of all the rows.
    """
    low, rows = 0, len(sums) - 1
    while low < rows:
        full = sums[low] + low + most_bytes
        high = bisect_right(range(rows + 1), full, low + 1, key=lambda row: sums[row] + row) - 1
        first, low = low, max(low + 1, high)
        yield first, low
