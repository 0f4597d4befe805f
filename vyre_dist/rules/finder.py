"""Finder: where a google-re2 object matches, as offsets.

google-re2's Python layer makes a generator and a match object for each call: some 1.5 µs, longer than most of what is
looked for here takes. So its compiled object is asked itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import re2

Offsets: TypeAlias = Sequence[tuple[int, int]]
"""(start, end) of a match and of its groups, (-1, -1) of a group that took no part."""

Groups: TypeAlias = tuple[bytes | None, ...]
"""The texts of a match's groups, None of one that took no part."""

_ANYWHERE = re2._re2.RE2.Anchor.UNANCHORED
_HERE = re2._re2.RE2.Anchor.ANCHOR_START


class Finder:
    """`search` and `match` of a google-re2 object over bytes: what lies before `pos` and beyond `limit` is looked at only
    for what stands there, as for `\\b`.
    """

    __slots__ = ("_match",)

    def __init__(self, regexp: Any) -> None:
        self._match = regexp._regexp.Match

    def search(self, data: bytes | memoryview, pos: int, limit: int) -> Offsets | None:
        """The first match that starts at `pos` or later and ends at `limit` or before."""
        if pos > limit:
            return None
        offsets: Offsets = self._match(_ANYWHERE, data, pos, min(limit, len(data)))
        return offsets if offsets[0][0] >= 0 else None

    def match(self, data: bytes | memoryview, pos: int, limit: int) -> Offsets | None:
        """The match that starts at `pos` and ends at `limit` or before."""
        if pos > limit:
            return None
        offsets: Offsets = self._match(_HERE, data, pos, min(limit, len(data)))
        return offsets if offsets[0][0] >= 0 else None


def groups_of(data: bytes | memoryview, offsets: Offsets) -> Groups:
    """The groups of a match in `data`."""
    return tuple([bytes(data[start:end]) if start >= 0 else None for start, end in offsets[1:]])
