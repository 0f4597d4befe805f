"""MatchCounts: which of a document's findings match the same, however many they are.

A table of all matches would take gigabytes for a large file of addresses. Here a match is its
digest (fingerprints.py), and where there are many, they lie as sorted arrays in temporary files. A
bitmap tells of nearly all that are new that they are, without a look at those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from vyre_dist.engine.fingerprints import DIGEST_BYTES
from vyre_dist.engine.spool import Kept, Spool, bytes_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]
    Digests = npt.NDArray[np.uint64]

FEW = 1 << 16
"""Up to so many different matches a dict counts them."""
MAP_BITS = 29
"""The bitmap has a bit for each value of so many bits of a digest: 64 MiB."""


class _Sorted(NamedTuple):
    """Different digests in order, as two numbers each, and how often each one came."""

    high: Digests
    low: Digests
    counts: Numbers


class MatchCounts:
    """Numbers the findings of one document that match the same, in the order in which they come."""

    def __init__(self, spool: Spool, few: int = FEW, map_bits: int = MAP_BITS) -> None:
        self._spool = spool
        self._limit, self._map_bits = few, map_bits
        self._few: dict[bytes, int] = {}
        self._many: _ManyCounts | None = None

    def ordinals(self, digests: bytes) -> Sequence[int]:
        """For each of `digests`, how many before it are the same, in all calls so far."""
        few = self._few
        if self._many is None and len(few) + len(digests) // DIGEST_BYTES > self._limit:
            self._many = _ManyCounts(self._spool, self._map_bits)
            self._many.take_over(few)
            few.clear()
        if self._many is not None:
            return self._many.ordinals(digests)
        found = []
        for at in range(0, len(digests), DIGEST_BYTES):
            digest = digests[at : at + DIGEST_BYTES]
            ordinal = few.get(digest, 0)
            few[digest] = ordinal + 1
            found.append(ordinal)
        return found


class _ManyCounts:
    """The same in arrays."""

    def __init__(self, spool: Spool, map_bits: int) -> None:
        import numpy as np

        self._spool = spool
        self._runs: list[Kept] = []
        self._shift = np.uint64(64 - map_bits)
        self._map = np.zeros(1 << map_bits - 3, np.uint8)

    def take_over(self, few: dict[bytes, int]) -> None:
        """Go on from counts of digests."""
        import numpy as np

        if few:
            high, low = _numbers_of(b"".join(few))
            counts = np.fromiter(few.values(), np.int64, len(few))
            order = _order(high, low)
            self._keep(_Sorted(high[order], low[order], counts[order]))

    def ordinals(self, digests: bytes) -> Sequence[int]:
        """See MatchCounts."""
        import numpy as np

        high, low = _numbers_of(digests)
        order = _order(high, low)
        high, low = high[order], low[order]
        first = np.append(True, (high[1:] != high[:-1]) | (low[1:] != low[:-1]))
        starts = np.flatnonzero(first)
        group = np.cumsum(first) - 1
        own = _Sorted(high[starts], low[starts], np.diff(np.append(starts, len(high))))
        found = np.empty(len(high), np.int64)
        found[order] = np.arange(len(high)) - starts[group] + self._before(own)[group]
        self._keep(own)
        ordinals: list[int] = found.tolist()
        return ordinals

    def _before(self, own: _Sorted) -> Numbers:
        """How often each came before."""
        import numpy as np

        before = np.zeros(len(own.high), np.int64)
        place, bits = self._places(own)
        maybe = np.flatnonzero(self._map[place] & bits)
        if not len(maybe):
            return before
        high, low = own.high[maybe], own.low[maybe]
        for kept in self._runs:
            run = _sorted_of(bytes_of(kept))
            at = np.searchsorted(run.high, high)
            # different digests may have the same first half: they are next to each other
            left = np.flatnonzero(at < len(run.high))
            while len(left := left[run.high[at[left]] == high[left]]):
                same = left[run.low[at[left]] == low[left]]
                before[maybe[same]] += run.counts[at[same]]
                at[left] += 1
                left = left[at[left] < len(run.high)]
        return before

    def _keep(self, own: _Sorted) -> None:
        import numpy as np

        # the digests are in order, and so are their bits: those of a byte are next to each other
        place, bits = self._places(own)
        starts = np.flatnonzero(np.append(True, place[1:] != place[:-1]))
        self._map[place[starts]] |= np.bitwise_or.reduceat(bits, starts)
        data = own.high.tobytes() + own.low.tobytes() + own.counts.tobytes()
        self._runs.append(self._spool.keep(data))

    def _places(self, own: _Sorted) -> tuple[Numbers, npt.NDArray[np.uint8]]:
        """The byte of the bitmap and the bit in it of each."""
        import numpy as np

        index = own.high >> self._shift
        bit = (index & np.uint64(7)).astype(np.uint8)
        return (index >> np.uint64(3)).astype(np.int64), np.left_shift(np.uint8(1), bit)


def _numbers_of(digests: bytes) -> tuple[Digests, Digests]:
    import numpy as np

    pairs = np.frombuffer(digests, "<u8").reshape(-1, 2)
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


def _order(high: Digests, low: Digests) -> npt.NDArray[np.intp]:
    """What sorts digests; equal ones stay in their order."""
    import numpy as np

    order = np.argsort(high, kind="stable")
    ordered, rest = high[order], low[order]
    # to sort by both halves takes three times as long, and hardly ever makes a difference
    if np.any((ordered[1:] == ordered[:-1]) & (rest[1:] < rest[:-1])):
        return np.lexsort((low, high))
    return order


def _sorted_of(data: bytes) -> _Sorted:
    import numpy as np

    high, low, counts = np.frombuffer(data, np.uint64).reshape(3, -1)
    return _Sorted(high, low, counts.view(np.int64))
