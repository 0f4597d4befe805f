"""Matches near places: what iter_matches gives, found from places that the tables confirmed, without reading the rest.

Every match holds one of its rule's places (the pivot of the window that it was found by), at most `back` bytes after its
start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vyre_dist.extract.matcher import RuleMatcher
from vyre_dist.extract.window import Window
from vyre_dist.rules.finder import Offsets


def matches_at_places(
    matcher: RuleMatcher,
    window: Window,
    places: Sequence[int],
    back: int | None = None,
    wanted: Callable[[Offsets], bool] | None = None,
) -> list[tuple[int, int, int]]:
    """The chain of matches (start, end, flags) in `window`, for a rule whose every match holds one of `places`.

    `places`: ascending window coordinates; more than the matches' own do no harm. `back`: the most bytes of a match before
    its place; None: not known, then it is the rule's width, and a rule of unbounded width is searched as a whole.
    `wanted`: is asked for each match that was found here, with its groups; those that it does not want are left out of
    what is returned (not of the chain). Matches that iter_matches had to find are not asked for.

    Let `place` be the first one at or after `pos`, where the last match ended. No match starts at or after pos and before
    place - back: it would hold an earlier place. So the leftmost match from there on is the next one, if it starts
    at `place` or before; if not, `place` belongs to a match that overlaps the last one.
    """
    width = matcher.max_width
    if back is None and (back := width) is None:
        return list(matcher.iter_matches(window))
    data, last_start = window.data, window.last_start
    size, search = len(data), matcher.with_groups.search
    found: list[tuple[int, int, int]] = []
    pos = window.lo
    for place in places:
        if place < pos:
            continue
        low, high = max(pos, place - back), min(last_start, place)
        if low > high:
            continue
        match = search(data, low, size if width is None else min(size, high + width))
        if match is None or match[0][0] > high:
            continue
        start, end = match[0]
        if end - start > matcher.cap:
            # what is reported in its place, and where it goes on from, is iter_matches' to say
            return list(matcher.iter_matches(window))
        if wanted is None or wanted(match):
            found.append((start, end, 0))
        pos = end
    return found
