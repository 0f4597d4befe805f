"""How a device's rows and matches lie in memory: NumPy's description of them, and what their
special values mean.

`Row` of kernels/cuda/tables.cuh and `Match` of spans.cuh are the same structs; a test compares
them. The structs that only kernels read are in kernels/cuda/structs.py.
"""

from __future__ import annotations

import numpy as np

ROW_DTYPE = np.dtype([("place", "<u8"), ("document", "<u4"), ("rule", "<u4")])
"""A place in the arena that a match of the rule holds, and the document that it lies in."""

HOST = 0x8000_0000
"""Bit of a row's rule: the device has not decided whether the rule matches there."""

MAX_SLOTS = 6
"""Starts and ends of groups that a match has room for."""

OPEN, FOUND, SCREENED = 0, 1, 2
"""Status of a match: the host has to search; found; found, and a filter drops it."""

NO_GROUP, NO_SLOT = -1, -2
"""In the place of a group's start and end: it took no part in the match; the regex has no such
group.
"""

MATCH_DTYPE = np.dtype(
    [
        ("first_back", "<u4"),
        ("start_back", "<u4"),
        ("length", "<u4"),
        ("status", "<u4"),
        ("slots", "<i4", (MAX_SLOTS,)),
    ]
)
"""What the search around one row's place found.

`first_back`: how far before the place the first match starts that the search came upon.
`start_back`, `length`: the match that holds the place. `slots`: its groups' starts and ends, from
its start.
"""

SETTLED_DTYPE = np.dtype(
    [
        ("document", "<u4"),
        ("rule", "<u4"),
        ("start", "<i8"),
        ("length", "<u4"),
        ("slots", "<i4", (MAX_SLOTS,)),
    ]
)
"""A match that stands. `document`: as the rows count them. `start`: in the arena. `slots`: from
there.
"""
