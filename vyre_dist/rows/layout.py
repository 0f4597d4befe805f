"""How a device's rows and matches lie in memory, and what their special values mean.

`Row` of kernels/cuda/tables.cuh and `Match` of spans.cuh are the same structs; a test compares
them. The structs that only kernels read are in kernels/cuda/structs.py.
"""

from __future__ import annotations

import numpy as np

ROW_DTYPE = np.dtype([("position", "<u8"), ("document", "<u4"), ("rule", "<u4")])
"""A position in the arena that a match of the rule holds, and the document that it lies in."""

HOST = 0x8000_0000
"""Bit of a row's rule: the device has not decided whether the rule matches there."""

MAX_GROUP_OFFSETS = 6
"""Starts and ends of groups that a match has room for."""

OPEN, FOUND, FILTERED, FOREIGN = 0, 1, 2, 3
"""Status of a match: the host has to search; found; found, and a filter drops it; none that starts
where its piece of a document owns starts.
"""

NO_GROUP, NO_SUCH_GROUP = -1, -2
"""In the place of a group's start and end: it took no part in the match; the regex has no such
group.
"""

MATCH_DTYPE = np.dtype(
    [
        ("first_back", "<u4"),
        ("start_back", "<u4"),
        ("length", "<u4"),
        ("status", "<u4"),
        ("group_offsets", "<i4", (MAX_GROUP_OFFSETS,)),
    ]
)
"""What the search around one row's position found.

`first_back`: how far before the position the first match starts that the search came upon.
`start_back`, `length`: the match that holds the position. `group_offsets`: its groups' starts and
ends, from its start.
"""

SETTLED_DTYPE = np.dtype(
    [
        ("document", "<u4"),
        ("rule", "<u4"),
        ("start", "<i8"),
        ("length", "<u4"),
        ("rejected", "<u4"),
        ("group_offsets", "<i4", (MAX_GROUP_OFFSETS,)),
    ]
)
"""A match that stands. `document`: as the rows count them. `start`: in the arena. `rejected`: 1 of
one that a filter drops, which has a place in its piece's chain of matches. `group_offsets`: from
the start.
"""

CONTENT_BLOCK = 1 << 16
"""Bytes of a piece whose newlines are counted together, and which have digests together."""

CONTENT_DTYPE = np.dtype([("digest", "<u8", (2,)), ("newlines", "<u4"), ("unused", "<u4")])
"""What one block of a piece holds. Newlines count from the first start that the piece owns, digests
from its first byte (engine/content.py).
"""
