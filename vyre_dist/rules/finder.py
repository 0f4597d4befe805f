"""Finder: where a google-re2 object matches, as offsets.

google-re2's Python layer makes a generator and a match object for each call, some 1.5 µs: longer
than most searches here. So Finder asks the compiled object itself. Patterns are compiled in
search.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import re2

if TYPE_CHECKING:
    from vyre_dist.rules.search import Re2Pattern

Offsets: TypeAlias = Sequence[tuple[int, int]]
"""(start, end) of a match and of its groups, (-1, -1) of a group that took no part."""

Groups: TypeAlias = tuple[bytes | None, ...]
"""The texts of a match's groups, None of one that took no part."""

_ANYWHERE = re2._re2.RE2.Anchor.UNANCHORED
_HERE = re2._re2.RE2.Anchor.ANCHOR_START


RawSearch: TypeAlias = Callable[[bytes | memoryview, int, int], Offsets]
"""As Finder.search; the first offsets are (-1, -1) for no match."""

_NOTHING: Offsets = ((-1, -1),)


class Finder:
    """`search` and `match` of a google-re2 object over bytes.

    What lies before `pos` and beyond `limit` is context only, as for `\\b`.
    """

    __slots__ = ("_match",)

    def __init__(self, regexp: Re2Pattern) -> None:
        self._match = regexp._regexp.Match

    def search(self, data: bytes | memoryview, pos: int, limit: int) -> Offsets | None:
        """The first match that starts at `pos` or later and ends at `limit` or before."""
        if pos > limit:
            return None
        offsets: Offsets = self._match(_ANYWHERE, data, pos, min(limit, len(data)))
        return offsets if offsets[0][0] >= 0 else None

    @property
    def raw_search(self) -> RawSearch:
        """`search` for who asks again and again: `limit` must not be beyond the data, nor before
        the offset that it is asked for.
        """
        return partial(self._match, _ANYWHERE)

    def match(self, data: bytes | memoryview, pos: int, limit: int) -> Offsets | None:
        """The match that starts at `pos` and ends at `limit` or before."""
        if pos > limit:
            return None
        offsets: Offsets = self._match(_HERE, data, pos, min(limit, len(data)))
        return offsets if offsets[0][0] >= 0 else None


class CountedFinder(Finder):
    """A Finder for repeats of thousands, for which google-re2 cannot try all starts at once.

    `loose`: finds a superset without counting; where that begins, `regexp` is tried. `width`: the
    longest match in bytes, None for no bound.
    """

    __slots__ = ("_loose", "_width")

    def __init__(self, regexp: Re2Pattern, loose: Finder, width: int | None) -> None:
        super().__init__(regexp)
        self._loose = loose
        self._width = width

    @property
    def raw_search(self) -> RawSearch:
        """See Finder."""
        search = self.search
        return lambda data, pos, limit: search(data, pos, limit) or _NOTHING

    def search(self, data: bytes | memoryview, pos: int, limit: int) -> Offsets | None:
        """See Finder."""
        limit = min(limit, len(data))
        width = limit if self._width is None else self._width
        while pos <= limit:
            near = min(limit, pos + 2 * width)
            found = self._loose.search(data, pos, near)
            start = near + 1 if found is None else found[0][0]
            if near < limit and start > near - width:
                # of these starts the matches may not have been seen
                pos = near - width + 1
                continue
            if start > near:
                return None
            end = min(limit, start + width)
            # counting takes google-re2 40 times as long as not counting
            if self._loose.match(data, start, end) is not None:
                match = self.match(data, start, end)
                if match is not None:
                    return match
            pos = start + 1
        return None


def groups_of(data: bytes | memoryview, offsets: Offsets) -> Groups:
    """The groups of a match in `data`."""
    return tuple([bytes(data[start:end]) if start >= 0 else None for start, end in offsets[1:]])
