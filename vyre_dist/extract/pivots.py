"""Matches near pivots: what iter_matches gives, without reading all of the window.

A pivot is an offset that the tables put out: every match of the rule holds one of its pivots, at
most `back` bytes after its start. If all matches have one width, the pivots may be the starts of
all matches instead; then nothing is searched. Matches near their ends are in matcher.py.
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

# So few starts are quicker one by one than with NumPy.
_FEW = 64


def matches_at_starts(
    window: Window, starts: Sequence[int], width: int
) -> list[tuple[int, int, int]]:
    """The chain of matches (start, end, flags) in `window` if all have `width` bytes, one or more.

    `starts`: of all matches, overlapping ones included, ascending in window coordinates, with or
    without repeats. Starts that the window does not own are left out.
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
    """The same for many starts. All are chosen if no match overlaps the one before."""
    if not (np.diff(starts) >= width).all():
        following = np.searchsorted(starts, starts + width).tolist()
        chosen, at = [], 0
        while at < len(following):
            chosen.append(at)
            at = following[at]
        starts = starts[chosen]
    return list(zip(starts.tolist(), (starts + width).tolist(), itertools.repeat(0)))


def matches_near_pivots(
    matcher: RuleMatcher, window: Window, pivots: Sequence[int], back: int
) -> list[tuple[int, int]] | None:
    """Those matches (start, end) of the chain in `window` that hold one of `pivots`, if no match
    before them ends in their reach, which is `back` bytes before each; pivots as in
    matches_at_pivots, but not all of them.

    No more is read than what decides about starts in that reach. None: a match is longer than its
    cap, and what is reported of it is for iter_matches to say.
    """
    data, last_start = window.data, window.last_start
    # see RuleMatcher: a window that is shorter ends where its document does, whoever owns that
    size = len(data)
    cut_off = not window.at_end and size > window.hi + matcher.cap
    size -= cut_off
    found: list[tuple[int, int]] = []
    pos, starters = window.lo, matcher.starters
    for pivot in pivots:
        pos = max(pos, pivot - back)
        while pos <= min(pivot, last_start):
            # a call of google-re2 takes as long as a look at 30 bytes
            if pos >= size or data[pos] not in starters:
                pos += 1
                continue
            end = matcher.end_at(data, pos, size)
            if end is None or end == pos:
                pos += 1
                continue
            if end - pos > matcher.cap or (end == size and cut_off):
                return None
            found.append((pos, end))
            pos = end
    return found


def matches_at_pivots(
    matcher: RuleMatcher,
    window: Window,
    pivots: Sequence[int],
    back: int | None = None,
    wanted: Callable[[Offsets], bool] | None = None,
) -> list[tuple[int, int, int]]:
    """The chain of matches (start, end, flags) in `window`, if each match holds one of `pivots`.

    `pivots`: ascending, in window coordinates; more than the matches' own do no harm. `back`: the
    most bytes of a match before its pivot; None if not known: then it is the rule's width, and a
    rule of unbounded width is searched for in all of the window. `wanted`: is asked for each match
    that was found here, with its groups; what it refuses is left out of the result, not of the
    chain. It is not asked for matches that iter_matches had to find.

    Let `pivot` be the first one at or after `pos`, where the last match ended. No match starts in
    [pos, pivot - back): it would hold an earlier pivot. So the leftmost match from there on is the
    next one, if it starts at `pivot` or before. If not, `pivot` belongs to a match that overlaps
    the last one.

    A search through all of the rest tells where the next match starts, and pivots before that are
    passed over: else each of many pivots without a match could read the rest. If the width is
    bounded, such a search is made only after as much has been read in vain.
    """
    width = matcher.max_width
    if back is None and (back := width) is None:
        return list(matcher.iter_matches(window))
    data, last_start = window.data, window.last_start
    size, search = len(data), matcher.search_within
    found: list[tuple[int, int, int]] = []
    pos = next_start = window.lo
    in_vain = wasted = 0
    for pivot in pivots:
        if pivot < pos or pivot < next_start:
            continue
        low, high = max(pos, pivot - back), min(last_start, pivot)
        if low > high:
            continue
        end = size if width is None or in_vain > size - low else min(size, high + width)
        # most pivots of some rules are in no match: groups, which take google-re2 a hundred times
        # as long to look for, are asked for of those that are
        match = search(data, low, end)
        if match is None or match[0] > high:
            if end < size:
                in_vain += end - low
                continue
            if match is None or match[0] > last_start:
                break
            next_start, in_vain = match[0], 0
            continue
        start, end = match
        if end - start > matcher.cap:
            # what is reported in its pivot, and where it goes on from, is iter_matches' to say
            return list(matcher.iter_matches(window))
        if wanted is None or wanted(matcher.with_groups.match(data, start, end) or ()):
            found.append((start, end, 0))
        pos = end
        if width is None:
            wasted += size - end
            if wasted > MOST_WASTED and matcher.may_search_in_vain:
                return list(matcher.iter_matches(window))  # which knows another way
    return found
