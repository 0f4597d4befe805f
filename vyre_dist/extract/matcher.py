"""RuleMatcher: the exact matches of one rule in a window, by google-re2.

What is here is the definition of a match: non-overlapping, leftmost-first, at most `cap` bytes long. Finding where to look
is the backends' business; they may pass the ends of possible matches as a hint.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import re2

from vyre_dist.extract.spans import CAPPED
from vyre_dist.extract.window import Window

# google-re2's own default is 8 MiB; large counted repeats need more. Past the last one the rule is refused.
MAX_MEM_STEPS = (8 << 20, 64 << 20, 1 << 30)


def compile_re2(pattern: bytes) -> Any:
    """Compile a latin-1 pattern, with as much memory as it turns out to need.

    Raises re2.error when it does not fit in the last of MAX_MEM_STEPS or is no regex.
    """
    for last, max_mem in enumerate(MAX_MEM_STEPS, 1):
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.log_errors = False
        options.max_mem = max_mem
        try:
            # not re2.compile: its cache holds 128 patterns, a pack has more
            return re2._Regexp(pattern, options)
        except re2.error:
            if last == len(MAX_MEM_STEPS):
                raise
    raise AssertionError("unreachable")


class RuleMatcher:
    """The matches of one canonical pattern (latin-1 RE2 syntax, flags resolved).

    `max_width`: the widest match in bytes, None when unbounded. `cap`: matches longer than that are cut to the
    best match that fits (and flagged CAPPED), whatever the window, so that the result does not depend on how a
    document was split. A rule narrower than the cap is never cut.
    """

    __slots__ = ("_pattern", "_regexp", "cap", "max_width")

    def __init__(self, pattern: bytes, max_width: int | None, max_match_bytes: int) -> None:
        self._pattern = pattern
        self._regexp: Any = None
        self.max_width = max_width
        self.cap = max_match_bytes if max_width is None else min(max_width, max_match_bytes)

    @property
    def regexp(self) -> Any:
        """The compiled google-re2 object; compiled when first asked for, most rules of a pack never are."""
        if self._regexp is None:
            self._regexp = compile_re2(self._pattern)
        return self._regexp

    def next_match(
        self, data: bytes, pos: int, last_end: int, last_start: int, endpos: int
    ) -> tuple[int, int, int] | None:
        """The first match (start, end, flags) with pos <= start <= last_start, as seen in data[:endpos].

        `last_end` is where the previous match ended: an empty match there is not another one (the rule of Go's and
        Rust's iterators). The caller sees to it that endpos is the end of data or at least last_start + cap.
        """
        search = self.regexp.search
        cap = self.cap
        while pos <= last_start:
            found = search(data, pos, endpos)
            if found is None:
                return None
            start, end = found.span()
            if start > last_start:
                return None
            flags = 0
            if end - start > cap:
                found = self.regexp.match(data, start, start + cap)
                if found is None:  # no shorter match starts here
                    pos = start + 1
                    continue
                end = found.end()
                flags = CAPPED
            if start == end == last_end:
                pos = start + 1
                continue
            return start, end, flags
        return None

    def iter_matches(
        self, window: Window, pos: int | None = None, last_end: int = -1
    ) -> Iterator[tuple[int, int, int]]:
        """The chain of matches (start, end, flags) in window coordinates that begins at `pos` (default: window.lo)."""
        data, last_start = window.data, window.last_start
        pos = window.lo if pos is None else pos
        while (found := self.next_match(data, pos, last_end, last_start, len(data))) is not None:
            yield found
            pos = last_end = found[1]

    def matches_at_ends(self, window: Window, ends: Sequence[int]) -> list[tuple[int, int, int]]:
        """What iter_matches gives, found faster from `ends`: sorted offsets among which every match's end is.

        Each search is confined to the neighbourhood of one end: with the widest match w, no match ends
        before end e and starts before e - w. If data[e-w : e+w] holds a match that starts at or before e,
        the first such is the next match (an earlier one would end before e and so be in `ends`); if not, e
        belongs to a match that overlaps an earlier one, and the next end is tried. A rule without a width
        searches on from where it is.
        """
        data, last_start = window.data, window.last_start
        out: list[tuple[int, int, int]] = []
        pos, last_end = window.lo, -1
        width = self.max_width
        size = len(data)
        i, n = 0, len(ends)
        while i < n:
            e = ends[i]
            if e < pos:
                i = bisect_right(ends, pos - 1, i)
                continue
            if width is None or width > self.cap:
                found = self.next_match(data, pos, last_end, last_start, size)
                if found is None:
                    break
            else:
                low = max(pos, e - width)
                found = self.next_match(data, low, last_end, min(last_start, e), min(size, e + width + 1))
                if found is None:
                    i += 1
                    continue
            out.append(found)
            pos = last_end = found[1]
            i = bisect_right(ends, pos, i)
        return out

    def groups_at(self, data: bytes, start: int, end: int, flags: int) -> tuple[bytes | None, ...]:
        """The capture groups of the match data[start:end] that one of the methods above found.

        `data` must hold the same context as then, or at least one byte on both sides where the document has one.
        """
        limit = start + self.cap if flags & CAPPED else len(data)
        found = self.regexp.match(data, start, limit)
        if found is None or found.end() != end:
            raise AssertionError(f"span [{start}, {end}) is not a match of {self._pattern!r}")
        groups: tuple[bytes | None, ...] = found.groups()
        return groups
