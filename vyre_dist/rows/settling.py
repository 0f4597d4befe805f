"""Which of a device's matches google-re2 would find, too, and where the host has to search.

google-re2 finds a chain: each match begins where the one before it ended, or later. A device
searches around each row by itself, from a bounded distance before its position. For one rule in one
document its matches are that chain if (a) no match found overlaps another, and (b) the first match
that each search came upon is one of them:

- The chain's first match is the leftmost of the document, so every search that covers its start
  finds it.
- A search through a later match begins after the end of the one before it, or comes upon a match of
  the chain first, by (a) and (b), and goes on from its end as the chain does.

A piece of a document has a chain of its own, which begins where its own starts do. What is foreign
to it is left out.

Where all that is known of a rule's matches ends before the next row's search begins, the chain has
no match in between: each is in a row's reach. So what follows is a stretch of its own, and (a) and
(b) are asked of stretches. Where they do not hold, or a search was given up, the host searches: the
stretch, or all of the document where nothing else is sure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from vyre_dist.rows.layout import FILTERED, FOREIGN, HOST, NO_SUCH_GROUP, OPEN, SETTLED_DTYPE
from vyre_dist.rules.finder import Groups

_KEY_BITS = 40  # more than an arena has bytes

UNKNOWN_BACK = 1 << 41
"""A row's search begins before everything."""

_MOST_REACH = 256 << 10
"""Bytes in which the host tries every one as a match's start, for one rule in one document: more
take longer than to search all of a piece.
"""


class NearMatch(NamedTuple):
    """A match that the host found: [start, end) in the arena. `document`, `rule`: as rows have."""

    document: int
    rule: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class HostSearch:
    """How the host searches a stretch.

    `backs` int64 [rules]: the most bytes of a match before its row's position; UNKNOWN_BACK: a
    rule's stretches can't be told apart. `search` (document, rule, positions, ascending, in the
    arena): the chain's matches that hold one of the positions, as (start, end), from where no match
    before them ends; None: only a search of the whole document can tell.
    """

    backs: npt.NDArray[np.int64]
    search: Callable[[int, int, list[int]], list[tuple[int, int]] | None]


class Settlement(NamedTuple):
    """`rows`: at which the host has to search, in all of their documents. `matches`: SETTLED_DTYPE,
    those that stand. `near`: those that the host has found in stretches.
    """

    rows: npt.NDArray[np.void]
    matches: npt.NDArray[np.void]
    near: list[NearMatch]


def settle(
    rows: npt.NDArray[np.void],
    matches: npt.NDArray[np.void],
    pieces: npt.NDArray[np.bool_] | None = None,
    host: HostSearch | None = None,
) -> Settlement:
    """What is known of the matches of `rows` (ROW_DTYPE); `matches`: MATCH_DTYPE, one for each.

    `pieces` bool [documents]: those that are pieces, whose chains are joined with others'; None:
    none is. Matches that a filter drops are among those of pieces only. `host`: None: documents are
    searched as a whole.
    """
    own_rows = matches["status"] != FOREIGN
    if not own_rows.all():
        rows, matches = rows[own_rows], matches[own_rows]
    if not rows.size:
        return Settlement(rows, np.empty(0, SETTLED_DTYPE), [])
    rules = rows["rule"] & np.uint32(~HOST & 0xFFFF_FFFF)
    _, group = np.unique(rows["document"].astype(np.int64) << 32 | rules, return_inverse=True)
    positions = rows["position"].astype(np.int64)
    starts, firsts = positions - matches["start_back"], positions - matches["first_back"]
    ends = starts + matches["length"]
    is_open = matches["status"] == OPEN
    groups = int(group.max()) + 1
    if host is None:
        stretches = _Stretches(group, np.arange(groups), np.zeros(groups, np.int64))
    else:
        known = np.where(is_open, positions, ends)
        stretches = _Stretches.of(group, positions - host.backs[rules], known)
    stretch = stretches.number
    open_stretches = np.zeros(stretches.groups.size, bool)
    open_stretches[stretch[is_open]] = True
    keys = stretch << _KEY_BITS | starts
    order = np.argsort(keys, kind="stable")
    fresh = np.ones(order.size, bool)
    fresh[1:] = keys[order[1:]] != keys[order[:-1]]
    own = order[fresh]  # a row for each match
    overlaps = (stretch[own[1:]] == stretch[own[:-1]]) & (starts[own[1:]] < ends[own[:-1]])
    open_stretches[stretch[own[1:][overlaps]]] = True
    wanted = stretch << _KEY_BITS | firsts
    at = np.minimum(np.searchsorted(keys[own], wanted), own.size - 1)
    open_stretches[stretch[keys[own][at] != wanted]] = True
    open_groups = np.zeros(groups, bool)
    near: list[NearMatch] = []
    if host is None:
        open_groups = open_stretches
    elif open_stretches.any():
        near = _search_stretches(
            host, stretches, np.flatnonzero(open_stretches), rows, positions, open_groups
        )
    rejected = matches["status"] == FILTERED
    kept_statuses = ~rejected if pieces is None else ~rejected | pieces[rows["document"]]
    is_settled = ~open_stretches[stretch] & ~open_groups[group]
    kept = own[is_settled[own] & kept_statuses[own]]
    settled = np.empty(kept.size, SETTLED_DTYPE)
    settled["document"], settled["rule"], settled["start"] = (
        rows["document"][kept],
        rules[kept],
        starts[kept],
    )
    settled["rejected"] = rejected[kept]
    for name in ("length", "group_offsets"):
        settled[name] = matches[name][kept]
    return Settlement(rows[open_groups[group]], settled, near)


def _search_stretches(
    host: HostSearch,
    stretches: _Stretches,
    numbers: npt.NDArray[np.int64],
    rows: npt.NDArray[np.void],
    positions: npt.NDArray[np.int64],
    open_groups: npt.NDArray[np.bool_],
) -> list[NearMatch]:
    """The matches in the stretches `numbers`. Groups of which that can't be told are marked in
    `open_groups`, and left out.
    """
    searched = np.zeros(stretches.groups.size, bool)
    searched[numbers] = True
    own = np.flatnonzero(searched[stretches.number])
    own = own[np.lexsort((positions[own], stretches.number[own]))]
    places = positions[own].tolist()
    bounds = np.searchsorted(stretches.number[own], [numbers, numbers + 1])
    first = own[bounds[0]]
    rules = rows["rule"][first] & np.uint32(~HOST & 0xFFFF_FFFF)
    columns = (
        *bounds,
        stretches.groups[numbers],
        rows["document"][first],
        rules,
        host.backs[rules],
        stretches.next_begins[numbers],
    )
    found: dict[int, list[NearMatch]] = {}
    budgets: dict[int, int] = {}
    # few rows of many documents each: a call of NumPy takes longer than a search
    for low, high, group, document, rule, back, next_begin in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        if open_groups[group]:
            continue
        pivots = sorted(set(places[low:high]))
        budgets[group] = budgets.get(group, _MOST_REACH) - (pivots[-1] - pivots[0] + back)
        near = None
        if budgets[group] >= 0:
            near = host.search(document, rule, pivots)
        if near is None or (near and near[-1][1] > next_begin):
            open_groups[group] = True
            found.pop(group, None)
        else:
            matches = [NearMatch(document, rule, start, end) for start, end in near]
            found.setdefault(group, []).extend(matches)
    return [match for matches in found.values() for match in matches]


@dataclass(frozen=True, slots=True)
class _Stretches:
    """`number`: of each row's stretch. By stretch: `groups`, and `begins`, where its first search
    begins. Stretches ascend by group and place.
    """

    number: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]
    begins: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls,
        group: npt.NDArray[np.int64],
        begins: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
    ) -> Self:
        """`begins`: where rows' searches begin. `ends`: as far as their matches are known."""
        low = group << _KEY_BITS | np.maximum(begins, 0)
        order = np.argsort(low, kind="stable")
        # groups are in the keys' highest bits: what an earlier one has ends before
        reached = np.maximum.accumulate((group << _KEY_BITS | ends)[order])
        new = np.ones(order.size, bool)
        new[1:] = (low[order[1:]] >= reached[:-1]) | (group[order[1:]] != group[order[:-1]])
        number = np.empty_like(group)
        number[order] = np.cumsum(new) - 1
        first = order[new]
        return cls(number, group[first], np.maximum(begins, 0)[first])

    @property
    def next_begins(self) -> npt.NDArray[np.int64]:
        """By stretch, where its group's next one begins; beyond all positions if there is none."""
        following = np.full(self.groups.size, 1 << _KEY_BITS)
        same = self.groups[1:] == self.groups[:-1]
        following[:-1][same] = self.begins[1:][same]
        return following


def groups_in(text: memoryview, start: int, group_offsets: Sequence[int]) -> Groups:
    """The groups of a match that starts at `start` in `text`. `group_offsets`: see MATCH_DTYPE."""
    return tuple(
        bytes(text[start + low : start + high]) if low >= 0 else None
        for low, high in zip(group_offsets[::2], group_offsets[1::2], strict=True)
        if low != NO_SUCH_GROUP
    )
