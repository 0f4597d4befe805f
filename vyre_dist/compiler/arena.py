"""Arena: many documents, or stretches of documents, packed back to back, as one launch of a program sees them.

What the programs do with one is in arena_executor.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vyre_dist.errors import UsageError

Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Arena:
    """`data` uint8 [n]; document i is `data[starts[i] : starts[i + 1]]`, without gaps. `starts` int64 [documents + 1].

    `at_start`, `at_end` bool [documents]: whether the whole document begins (ends) where its stretch does. Where it
    does not, the bytes beyond are not known, and whatever would have to read them is left open.

    Raises:
        UsageError: the starts do not ascend from 0 to n, or a length is wrong.
    """

    data: npt.NDArray[np.uint8]
    starts: Places
    at_start: Flags
    at_end: Flags

    def __post_init__(self) -> None:
        starts, count = self.starts, self.starts.size - 1
        if count < 0 or starts[0] != 0 or starts[-1] != self.data.size or np.any(starts[1:] < starts[:-1]):
            raise UsageError(
                f"the starts of an arena's documents must ascend from 0 to its {self.data.size} bytes, "
                f"found {starts.tolist()[:4]}…; give one start for each document and the end of the last one"
            )
        if self.at_start.size != count or self.at_end.size != count:
            raise UsageError(
                f"an arena of {count} documents has {self.at_start.size} at_start and {self.at_end.size} "
                "at_end flags; give one of each for each document"
            )

    @classmethod
    def pack(
        cls,
        stretches: Sequence[bytes],
        at_start: Sequence[bool] | None = None,
        at_end: Sequence[bool] | None = None,
    ) -> Arena:
        """The arena of these stretches, in order; whole documents unless the flags say otherwise."""
        count = len(stretches)
        starts = np.zeros(count + 1, np.int64)
        np.cumsum([len(stretch) for stretch in stretches], out=starts[1:])
        joined = stretches[0] if count == 1 else b"".join(stretches)
        return cls(
            np.frombuffer(joined, np.uint8),
            starts,
            np.ones(count, bool) if at_start is None else np.array(at_start, bool),
            np.ones(count, bool) if at_end is None else np.array(at_end, bool),
        )

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return int(self.at_start.size)

    def document_at(self, places: Places) -> Places:
        """The document that holds the byte at each place; places must lie in 0 … n − 1."""
        return np.searchsorted(self.starts, places, side="right") - 1
