"""Content: whether a file still has the bytes that its pieces were scanned from.

A file that is appended to has another size and another time of change after every write, and so has
one that was cut and written anew. Only its bytes tell the two apart: each piece keeps a digest of
what it read, and where the file is not as it was planned, its bytes are read once more when all
pieces are done. If they are the same then, they were the same at the moment between the last
piece's read and this one's: the pieces belong to one state of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import xxhash

DIGEST_BYTES = 16
_CHUNK = 4 << 20


class Evidence(NamedTuple):
    """The bytes [start, end) of a document had this digest."""

    start: int
    end: int
    digest: bytes


def digest_of(data: bytes | memoryview) -> bytes:
    """DIGEST_BYTES that tell `data` from other bytes.

    18 GB/s, where SHA-1 makes 1.3 and CRC-32 1.5.
    """
    return xxhash.xxh3_128_digest(data)


def first_difference(
    evidence: Sequence[Evidence], read: Callable[[int, int], bytes]
) -> Evidence | None:
    """The first of `evidence` that `read` (start, end) does not bear out; None if none."""
    for each in evidence:
        state = xxhash.xxh3_128()
        for at in range(each.start, each.end, _CHUNK):
            state.update(read(at, min(at + _CHUNK, each.end)))
        if state.digest() != each.digest:
            return each
    return None
