"""Matches near places: what iter_matches gives, found from places that the tables confirmed,
without reading the rest.

Every match holds one of its rule's places (the pivot of the window that it was found by), at most
`back` bytes after its start. Of a rule whose matches are all of one width the places may be all
starts there are: then nothing is searched.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from vyre_dist.extract.matcher import MOST_WASTED, RuleMatcher
from vyre_dist.extract.window import Window
from vyre_dist.rules.finder import Offsets

# So few starts are quicker gone through one by one than by NumPy.
_FEW = 64


def matches_at_starts(
    window: Window, starts: Sequence[int], width: int
) -> list[tuple[int, int, int]]:
    """The chain of matches (start, end, flags) in `window` of a rule whose every match has `width`
    bytes, at least one.

    `starts`: in ascending window coordinates, with or without repeats, every place where the rule
    matches, whether another match overlaps it or not. What starts outside of what the window owns
    is left out.
    """
    low = bisect_left(starts, window.lo)
    high = bisect_right(starts, window.last_start, low)
    if high - low > _FEW:
        return _long_chain(np.array(starts[low:high], np.int64), width)
    found: list[tuple[int, int, int]] = []
    pos = window.lo
    for start in starts[low:high]:
        if start >= pos:
            pos = start + width
            found.append((start, pos, 0))
    return found


def _long_chain(starts: npt.NDArray[np.int64], width: int) -> list[tuple[int, int, int]]:
    """The same for many starts. Where none overlaps the one before, all are chosen."""
    if not (np.diff(starts) >= width).all():
        following = np.searchsorted(starts, starts + width).tolist()
        chosen, at = [], 0
        while at < len(following):
            chosen.append(at)
            at = following[at]
        starts = starts[chosen]
    return list(zip(starts.tolist(), (starts + width).tolist(), itertools.repeat(0)))


def matches_at_pivots(
    matcher: RuleMatcher,
    window: Window,
    places: Sequence[int],
    back: int | None = None,
    wanted: Callable[[Offsets], bool] | None = None,
) -> list[tuple[int, int, int]]:
    """The chain of matches (start, end, flags) in `window`, for a rule whose every match holds one
    of `places`.

    `places`: ascending window coordinates; more than the matches' own do no harm. `back`: the most
    bytes of a match before its place; None: not known, then it is the rule's width, and a rule of
    unbounded width is searched as a whole. `wanted`: is asked for each match that was found here,
    with its groups; those that it does not want are left out of what is returned (not of the
    chain). Matches that iter_matches had to find are not asked for.

    Let `place` be the first one at or after `pos`, where the last match ended. No match starts at
    or after pos and before place - back: it would hold an earlier place. So the leftmost match from
    there on is the next one, if it starts at `place` or before; if not, `place` belongs to a match
    that overlaps the last one.

    A search through all of the rest says where the next match starts, and places before that are
    passed over: else each of many places without a match could read the rest. Where the width is
    bounded such a search is made only after as much has been read in vain.
    """
    width = matcher.max_width
    if back is None and (back := width) is None:
        return list(matcher.iter_matches(window))
    data, last_start = window.data, window.last_start
    size, search = len(data), matcher.with_groups.search
    found: list[tuple[int, int, int]] = []
    pos = next_start = window.lo
    in_vain = wasted = 0
    for place in places:
        if place < pos or place < next_start:
            continue
        low, high = max(pos, place - back), min(last_start, place)
        if low > high:
            continue
        end = size if width is None or in_vain > size - low else min(size, high + width)
        match = search(data, low, end)
        if match is None or match[0][0] > high:
            if end < size:
                in_vain += end - low
                continue
            if match is None or match[0][0] > last_start:
                break
            next_start, in_vain = match[0][0], 0
            continue
        start, end = match[0]
        if end - start > matcher.cap:
            # what is reported in its place, and where it goes on from, is iter_matches' to say
            return list(matcher.iter_matches(window))
        if wanted is None or wanted(match):
            found.append((start, end, 0))
        pos = end
        if width is None:
            wasted += size - end
            if wasted > MOST_WASTED and matcher.may_search_in_vain:
                return list(matcher.iter_matches(window))  # which knows another way
    return found
