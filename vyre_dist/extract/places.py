"""Matches near places: what iter_matches gives, found from places that the tables confirmed, without reading the rest.

Every match of a rule of bounded width holds one of the rule's places (the pivot of the window that it was found by).
"""

from __future__ import annotations

from collections.abc import Sequence

from vyre_dist.extract.matcher import RuleMatcher
from vyre_dist.extract.window import Window


def matches_at_places(
    matcher: RuleMatcher, window: Window, places: Sequence[int]
) -> list[tuple[int, int, int]]:
    """The chain of matches (start, end, flags) in `window`, for a rule whose every match holds one of `places`.

    `places`: ascending window coordinates; more than the matches' own do no harm. A rule of unbounded width is searched as
    a whole: how far before its place a match begins is not known.

    Let `place` be the first one at or after `pos`, where the last match ended, and w the widest match. No match starts at or
    after pos and before place - w: it would hold an earlier place. So the leftmost match from there on is the
    next one, if it starts at `place` or before; if not, `place` belongs to a match that overlaps the last one.
    """
    if matcher.max_width is None:
        return list(matcher.iter_matches(window))
    data, last_start = window.data, window.last_start
    width, size, search = matcher.max_width, len(data), matcher.regexp.search
    found: list[tuple[int, int, int]] = []
    pos = window.lo
    for place in places:
        if place < pos:
            continue
        low, high = max(pos, place - width), min(last_start, place)
        if low > high:
            continue
        match = search(data, low, min(size, high + width))
        if match is None or match.start() > high:
            continue
        start, pos = match.span()
        found.append((start, pos, 0))
    return found
