"""A rule's matches where google-re2 would look for a missing tail again and again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vyre_dist.extract.spans import CAPPED, DROPPED
from vyre_dist.extract.window import Window

if TYPE_CHECKING:
    from vyre_dist.extract.automaton import Automaton
    from vyre_dist.extract.matcher import RuleMatcher
    from vyre_dist.rules.finder import Finder

# bytes of the first and the longest step of a search for the next match
_FIRST_STEP = 64
_LAST_STEP = 64 << 10
# so many bytes behind a step may show where a match ends that starts in it
_BEHIND = 256

# so many bytes behind a match's start are tried, before Python's automaton is asked where it ends
_LOOKS = (1 << 10, 8 << 10)


def step_by_step(
    matcher: RuleMatcher,
    automaton: Automaton,
    window: Window,
    pos: int,
    last_end: int,
    last_start: int,
    ends: Sequence[int] | None,
) -> Iterator[tuple[int, int, int]]:
    """A matcher's chain up to `last_start`, by an automaton that remembers which tails are missing.

    google-re2 would search for the same tail behind every match. `ends`: see matches_at_ends.
    """
    from vyre_dist.extract.overrun import overrun_of

    data, size = window.data, len(window.data)
    cut = overrun_of(matcher).cut
    automaton.forget()

    def read(low: int, high: int) -> bytes:
        return bytes(data[low:high])

    step, lookbehind = _FIRST_STEP, matcher.lookbehind
    while pos <= last_start:
        if ends is not None and lookbehind is not None:
            if (i := bisect_right(ends, pos)) == len(ends):
                return
            if (earliest := lookbehind.earliest(data, pos, ends[i])) > pos:
                pos, step = earliest, _FIRST_STEP
                if pos > last_start:
                    return
        base, upto = max(0, pos - 1), min(pos + step, last_start + 1)
        near = read(base, min(size, upto + _BEHIND))
        start, settled, goes_on = pos, False, False
        end: int | None = None
        if cut is not None:
            # where a match begins, or goes on where these bytes end
            found = cut.search(near, pos - base, len(near))
            if found is None or found[0][0] + base >= upto:
                pos, step = upto, min(2 * step, _LAST_STEP)
                continue
            start, step = found[0][0] + base, _FIRST_STEP
            end = found[0][1] + base
            settled = end < base + len(near) <= start + matcher.cap
            if not settled:
                settled, end = _end_nearby(matcher, cut, data, start)
        if not settled:
            end, goes_on = automaton.end_within(read, size, start, start + matcher.cap)
        if goes_on:
            yield start, start + 1, DROPPED
        if end is None or start == end == last_end:
            pos = start + 1
            continue
        yield start, end, CAPPED if goes_on else 0
        pos = last_end = end


def _end_nearby(
    matcher: RuleMatcher, cut: Finder, data: bytes | memoryview, start: int
) -> tuple[bool, int | None]:
    """(whether the bytes behind `start` tell, where the preferred match at `start` ends)."""
    for look in _LOOKS:
        if look > matcher.cap:
            break
        base = max(0, start - 1)
        near = bytes(data[base : start + look])
        found = cut.match(near, start - base, len(near))
        if found is None:
            return True, None
        if found[0][1] < len(near):
            return True, found[0][1] + base
    return False, None
