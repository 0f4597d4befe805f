"""A rule's matches in text that is full of them, with their groups: each by one search.

Elsewhere google-re2 is asked twice: without groups, as most text has no match, and for the groups
of what is reported. Where matches follow on one another, that takes twice as long, and so does each
look at where a match may begin.
"""

from __future__ import annotations

import itertools
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from vyre_dist.extract.match_shapes import MatchShapes
from vyre_dist.extract.matcher import MOST_WASTED, RuleMatcher
from vyre_dist.extract.overrun import overrun_of
from vyre_dist.extract.window import Window
from vyre_dist.rules.entropies import LONG
from vyre_dist.rules.finder import Groups, Offsets, groups_of

if TYPE_CHECKING:
    from vyre_dist.extract.secret_screen import SecretScreen
    from vyre_dist.rules.byte_filters import ByteFilter

# from so far before an end on all is read, rather than to work out where a match to there may begin
_NEAR = 512
# of so many matches' groups are kept: those of a large piece would fill the memory
_MOST_GROUPS = 1 << 16
# of so many matches one is looked at: would it have been found in the bytes up to so many behind it
_LOOKED_AT = 16
_BEHIND = 256
# where fewer than one of so many is dropped, whoever judges the others may as well judge them all
_FEW_DROPPED = 8
# behind so many matches so many tell whether they are alike; that takes a parser of regexes, which
# would not pay for itself before
_BEFORE = 448
_FIRST = 64
_MOST_BEFORE = 64 << 10


class DenseMatches(NamedTuple):
    """`found`: matches (start, end, flags) in order, all but those that are dropped. `groups`: by
    start, of most of them. `matches`: how many, with those that are left out.
    """

    found: list[tuple[int, int, int]]
    groups: dict[int, Groups]
    matches: int


def dense_matches(
    matcher: RuleMatcher,
    window: Window,
    ends: Sequence[int] | None = None,
    drops: ByteFilter | None = None,
    screen: Callable[[], SecretScreen] | None = None,
    stretches: Sequence[tuple[int, int]] = (),
) -> DenseMatches:
    """The chain of matches in `window`.

    `ends`, `stretches`: see RuleMatcher.matches_at_ends. `drops`: leaves matches out. `screen`:
    gives what leaves out more of them, where many are alike.
    """
    data = window.data
    size = _size(matcher, window, ends)
    search, last_start = matcher.with_groups.raw_search, min(window.last_start, size)
    lookbehind, width = matcher.lookbehind, matcher.max_width
    dropped = None if drops is None else _dropped(drops)
    found: list[tuple[int, int, int]] = []
    groups: dict[int, Groups] = {}
    shapes: MatchShapes | None = None
    first: MatchShapes | None = None
    may_be_alike = matcher.group_count and not matcher.captures_matter
    most = matcher.cap if width is None else size
    # by chance, so that no text can be made of which all that is looked at is harmless
    looks = _chances(matcher)
    pos, last_end, near, behind, wasted, left_out = window.lo, -1, 0, 0, 0, 0
    while pos <= last_start:
        if ends is not None:
            near = bisect_right(ends, pos, near)
            if near == len(ends):
                break
            if (end := ends[near]) - pos > _NEAR:
                if width is not None:
                    pos = max(pos, end - width)
                elif lookbehind is not None:
                    pos = lookbehind.earliest(data, pos, end)
        match = search(data, pos, size)
        start, end = match[0]
        if not 0 <= start <= last_start:
            break
        if end - start > most or wasted > MOST_WASTED:
            if left_out:  # which of the others are too long depends on all
                return dense_matches(matcher, window, ends, stretches=stretches)
            screen = None
            found += matcher.capped_chain(window, pos, last_end, ends, groups, stretches)
            break
        if start == end == last_end:
            pos = start + 1
            continue
        behind += size - end
        if behind > MOST_WASTED and next(looks):
            wasted += _LOOKED_AT * _wasted(matcher, window, pos, match, size)
        pos = last_end = end
        if shapes is not None:
            if not shapes.add(start, end):
                found.append((start, end, 0))
            continue
        own = groups_of(data, match)
        if dropped is not None and dropped(data, start, end, own):
            left_out += 1
        else:
            found.append((start, end, 0))
            if len(groups) < _MOST_GROUPS:
                groups[start] = own
            if len(found) > _FEW_DROPPED * (left_out + _FEW_DROPPED):
                dropped = None
        number = len(found) + left_out
        if first is None:
            if number == _BEFORE and may_be_alike:
                first = MatchShapes(matcher, data)
        else:
            first.add(start, end)
            if number == _BEFORE + _FIRST:
                if first.are_alike():
                    shapes, search = MatchShapes(matcher, data), matcher.groupless.raw_search
                first = None
    if shapes is not None:
        left_out += shapes.settle(screen and screen(), found, groups, _MOST_GROUPS)
    return DenseMatches(found, groups, len(found) + left_out)


def _size(matcher: RuleMatcher, window: Window, ends: Sequence[int] | None) -> int:
    """Where the text ends in which matches are looked for, as RuleMatcher's chain has it."""
    size = len(window.data)
    if matcher.max_width is None:
        if not window.at_end and size > window.hi + matcher.cap:
            size -= 1
        if ends:
            size = min(size, ends[-1])
    return size


def _chances(matcher: RuleMatcher) -> Iterator[bool]:
    """True for one of _LOOKED_AT, by chance, if google-re2 may search in vain."""
    while matcher.may_search_in_vain:
        yield from itertools.repeat(False, random.randrange(2 * _LOOKED_AT - 1))  # noqa: S311
        yield True
    yield from itertools.repeat(False)


def _dropped(drops: ByteFilter) -> Callable[[bytes | memoryview, int, int, Groups], bool] | None:
    """Whether `drops` drops the match data[start:end] with these groups, if its secret is short;
    None where it drops nothing.
    """
    if drops.too_few < 0 and not drops.dull:
        return None
    too_few, chosen = drops.too_few, drops.secret_group
    dull = bytes(byte for byte in range(256) if drops.dull >> byte & 1)

    def dropped(data: bytes | memoryview, start: int, end: int, groups: Groups) -> bool:
        # what pick_secret picks
        if chosen:
            secret = groups[chosen - 1] or b""
        elif groups and groups[0]:
            secret = groups[0]
        else:
            secret = next(filter(None, groups), None) or bytes(data[start:end]).strip(b"\n")
        if len(secret) >= LONG:
            return False  # a look at its bytes takes as long as it saves
        return len(set(secret)) <= too_few or (bool(secret) and not secret.translate(None, dull))

    return dropped


def _wasted(matcher: RuleMatcher, window: Window, pos: int, match: Offsets, size: int) -> int:
    """How many bytes a search may have read in vain behind its match, which it began at `pos`.

    That is not known, but where fewer bytes show that the match is the one, no more were read.
    """
    start, end = match[0]
    cut = overrun_of(matcher).cut
    if cut is None or start - pos > _MOST_BEFORE:
        return size - end
    base = max(0, pos - 1)
    seen = bytes(window.data[base : end + _BEHIND])
    found = cut.search(seen, pos - base, len(seen))
    settled = found is not None and found[0][1] + base == end and found[0][1] < len(seen)
    return 0 if settled else size - end
