"""Which of a device's matches google-re2 would find, too, and where the host has to search.

google-re2 finds a chain: each match begins where the one before it ended, or later. A device
searches around each row by itself, from a bounded distance before its position. For one rule in one
document its matches are that chain if (a) no match found overlaps another, and (b) the first match
that each search came upon is one of them:

- The chain's first match is the leftmost of the document, so every search that covers its start
  finds it.
- A search through a later match begins after the end of the one before it, or comes upon a match of
  the chain first, by (a) and (b), and goes on from its end as the chain does.

Where that does not hold, or a search was given up, the host searches.

A piece of a document has a chain of its own, which begins where its own starts do. What is foreign
to it is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vyre_dist.rows.layout import FILTERED, FOREIGN, HOST, NO_SUCH_GROUP, OPEN, SETTLED_DTYPE
from vyre_dist.rules.finder import Groups

_KEY_BITS = 40  # more than an arena has bytes


def settle(
    rows: npt.NDArray[np.void],
    matches: npt.NDArray[np.void],
    pieces: npt.NDArray[np.bool_] | None = None,
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void]]:
    """(rows at which the host has to search, SETTLED_DTYPE: matches that stand).

    `rows`: ROW_DTYPE; `matches`: MATCH_DTYPE, one for each. `pieces` bool [documents]: those that
    are pieces, whose chains are joined with others'; None: none is. Matches that a filter drops are
    among those of pieces only.
    """
    own_rows = matches["status"] != FOREIGN
    if not own_rows.all():
        rows, matches = rows[own_rows], matches[own_rows]
    if not rows.size:
        return rows, np.empty(0, SETTLED_DTYPE)
    rules = rows["rule"] & np.uint32(~HOST & 0xFFFF_FFFF)
    _, group = np.unique(rows["document"].astype(np.int64) << 32 | rules, return_inverse=True)
    positions = rows["position"].astype(np.int64)
    starts, firsts = positions - matches["start_back"], positions - matches["first_back"]
    ends = starts + matches["length"]
    open_groups = np.zeros(int(group.max()) + 1, bool)
    open_groups[group[matches["status"] == OPEN]] = True
    keys = group << _KEY_BITS | starts
    order = np.argsort(keys, kind="stable")
    fresh = np.ones(order.size, bool)
    fresh[1:] = keys[order[1:]] != keys[order[:-1]]
    own = order[fresh]  # a row for each match
    overlaps = (group[own[1:]] == group[own[:-1]]) & (starts[own[1:]] < ends[own[:-1]])
    open_groups[group[own[1:][overlaps]]] = True
    wanted = group << _KEY_BITS | firsts
    at = np.minimum(np.searchsorted(keys[own], wanted), own.size - 1)
    open_groups[group[keys[own][at] != wanted]] = True
    rejected = matches["status"] == FILTERED
    wanted_ones = ~rejected if pieces is None else ~rejected | pieces[rows["document"]]
    kept = own[~open_groups[group[own]] & wanted_ones[own]]
    settled = np.empty(kept.size, SETTLED_DTYPE)
    settled["document"], settled["rule"], settled["start"] = (
        rows["document"][kept],
        rules[kept],
        starts[kept],
    )
    settled["rejected"] = rejected[kept]
    for name in ("length", "group_offsets"):
        settled[name] = matches[name][kept]
    return rows[open_groups[group]], settled


def groups_in(text: memoryview, start: int, group_offsets: Sequence[int]) -> Groups:
    """The groups of a match that starts at `start` in `text`. `group_offsets`: see MATCH_DTYPE."""
    return tuple(
        bytes(text[start + low : start + high]) if low >= 0 else None
        for low, high in zip(group_offsets[::2], group_offsets[1::2], strict=True)
        if low != NO_SUCH_GROUP
    )
