"""Arena: many documents, or stretches of documents, end to end in one buffer.

One launch of a program sees one arena. What the programs do with it is in arena_executor.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vyre_dist.errors import UsageError

Positions = npt.NDArray[np.int64]
"""Byte positions in an arena."""

Flags = npt.NDArray[np.bool_]

ALIGNMENT = 16
"""Documents begin at multiples of this."""

_STRIDE = 2


def arena_size(sizes: Sequence[int], alignment: int = ALIGNMENT) -> int:
    """The bytes that Arena.lay_out takes for stretches of these sizes, padding included."""
    return sum(-(-size // alignment) * alignment for size in sizes)


WATCHED_BYTES = 1 << 16
"""The host finds a keyword in smaller documents as fast as it can ask whether it was seen."""


@dataclass(frozen=True, slots=True, eq=False)
class Arena:
    """Documents in one buffer.

    `data` uint8 [n]; document i is `data[starts[i] : ends[i]]`. `starts`, `ends` int64 [documents].
    `at_start`, `at_end` bool [documents]: whether the document begins (ends) where its stretch
    does. Where it does not, the bytes beyond are unknown, and what depends on them is left open.
    `owned` int64 [documents, 2]: where the matches that are asked for may start, from and below
    positions of `data`; None: anywhere, all documents are whole.

    Every document begins at an even position. A window may begin one byte before a match, but only
    if the match begins at an odd position; so that byte is the document's own.

    Raises:
        UsageError: documents overlap, are out of order, lie outside of the data or begin at an odd
        position, or a length is
            wrong.
    """

    data: npt.NDArray[np.uint8]
    starts: Positions
    ends: Positions
    at_start: Flags
    at_end: Flags
    owned: Positions | None = None

    def __post_init__(self) -> None:
        starts, ends, count = self.starts, self.ends, self.starts.size
        if not count == ends.size == self.at_start.size == self.at_end.size:
            raise UsageError(
                f"an arena of {count} documents has {ends.size} ends, {self.at_start.size} "
                "at_start and "
                f"{self.at_end.size} at_end flags; give one of each for each document"
            )
        wrong = starts % _STRIDE != 0
        wrong |= (ends < starts) | (starts < np.append(np.zeros(1, np.int64), ends[:-1]))
        wrong |= ends > self.data.size
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise UsageError(
                f"document {i} of an arena lies at [{starts[i]}, {ends[i]}): documents must begin "
                "at even positions, "
                f"follow each other without overlap and end within its {self.data.size} bytes"
            )

    @classmethod
    def lay_out(
        cls,
        stretches: Sequence[bytes | memoryview],
        at_start: Sequence[bool] | None = None,
        at_end: Sequence[bool] | None = None,
        *,
        alignment: int = ALIGNMENT,
        memory: npt.NDArray[np.uint8] | None = None,
    ) -> Arena:
        """The arena of these stretches, in order, with zeros between them.

        Each begins at a multiple of `alignment`, which is even. They are whole documents unless the
        flags say otherwise. `memory`: where to put them, with arena_size bytes or more; None: in
        memory of its own, or, of one stretch, where it is.
        """
        count = len(stretches)
        sizes = np.array([len(stretch) for stretch in stretches], np.int64)
        room = -(-sizes // alignment) * alignment
        starts = np.cumsum(room) - room
        if memory is not None:
            data = memory[: int(room.sum())]
            view, at = data.data, 0
            for stretch, whole in zip(stretches, room.tolist(), strict=True):
                end = at + len(stretch)
                view[at:end] = stretch
                at += whole
                if end < at:
                    view[end:at] = bytes(at - end)
        elif count == 1:
            data = np.frombuffer(stretches[0], np.uint8)
        else:
            gaps = (room - sizes).tolist()
            parts = [
                part for s, gap in zip(stretches, gaps, strict=True) for part in (s, bytes(gap))
            ]
            data = np.frombuffer(b"".join(parts[:-1]), np.uint8)
        return cls(
            data,
            starts,
            starts + sizes,
            np.ones(count, bool) if at_start is None else np.array(at_start, bool),
            np.ones(count, bool) if at_end is None else np.array(at_end, bool),
        )

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return int(self.starts.size)

    @property
    def pieces(self) -> Flags:
        """bool [documents]: those of which not all is here, or not all is owned."""
        if self.owned is None:
            return np.zeros(self.documents, bool)
        pieces: Flags = ~(self.at_start & self.at_end) | (self.owned[:, 0] != self.starts)
        return pieces

    @property
    def watched(self) -> Flags:
        """bool [documents]: those in which a device looks for the pack's keywords: pieces, and what
        has WATCHED_BYTES or more.
        """
        watched: Flags = self.pieces | (self.ends - self.starts >= WATCHED_BYTES)
        return watched

    def part(self, low: int, high: int) -> Arena:
        """The documents [low, high) as an arena that begins with the first; nothing is copied."""
        begin, end = (int(self.starts[low]), int(self.ends[high - 1])) if low < high else (0, 0)
        own = slice(low, high)
        return Arena(
            self.data[begin:end],
            self.starts[own] - begin,
            self.ends[own] - begin,
            self.at_start[own],
            self.at_end[own],
            None if self.owned is None else self.owned[own] - begin,
        )

    def document_at(self, positions: Positions) -> Positions:
        """The document that holds the byte at each position; -1 for positions between documents."""
        found = np.searchsorted(self.ends, positions, side="right")
        inside = found < self.documents
        inside[inside] = self.starts[found[inside]] <= positions[inside]
        return np.where(inside, found, -1)
