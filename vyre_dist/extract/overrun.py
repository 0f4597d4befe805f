"""Overrun: whether a match may go on where a window ends, for rules without a widest match.

How many matches turn out too long is counted in too_long.py.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import re2

from vyre_dist import regex as rx
from vyre_dist.extract.lookbehind import Lookbehind
from vyre_dist.extract.window import Window
from vyre_dist.rules.finder import Finder
from vyre_dist.rules.search import compile_pattern

if TYPE_CHECKING:
    from vyre_dist.extract.matcher import RuleMatcher

# before a window's end so many bytes are looked at first, few before many: a counted repeat takes
# google-re2 milliseconds for as many as decide of nearly all rules
_NEAR = (1 << 10, 32 << 10)
# and before that so many, of which bytes are only counted
_COUNTED_NEAR = (64, 4 << 10, 16 << 10, 1 << 20)
# so few starts are looked at before all that: most pieces' bytes have been, by a device
_FEW_STARTS = 32 << 10
# positions of a repeat that is more than a loop when it is looked for from a window's end
_MOST_COUNTED = 512


class OverrunFacts(NamedTuple):
    """Patterns that are made of an expression once; each is empty where google-re2 refuses it.

    `head`: at most `head_width` bytes that every longer match begins with; empty if it does not
    begin with two bytes that google-re2 can look for. `cut`: the pattern, with the text's end
    allowed instead of each of its parts. `begun`: the same without large counts and groups.
    `middle`: with the text's beginning allowed, too; it has to match all of a text.

    `cut` is also empty if the counts are large, or if something that can be empty is repeated. Such
    loops prefer other matches once their own parts can be empty: `(.*?)*a` with the text's end
    allowed goes as far as `.*a`.

    `lookbehind`: what bytes a match is made of, None if that says nothing.
    """

    head: bytes
    head_width: int
    cut: bytes
    begun: bytes
    middle: bytes
    lookbehind: Lookbehind | None

    @classmethod
    def of(cls, pattern: bytes) -> OverrunFacts:
        """The facts of a canonical pattern of unbounded width."""
        root = rx.parse(pattern.decode("latin-1")).root
        loose = rx.loosen_repeats(rx.strip_captures(root), _MOST_COUNTED)
        head = _from_first_byte(rx.before_loops(loose))
        counts = loose != rx.strip_captures(root)
        return cls(
            rx.to_re2(head) if _begins_with_bytes(head) else b"",
            rx.max_width(head) or 0,
            b"" if counts or rx.repeats_empty(root) else _accepted(root),
            _accepted(loose),
            _accepted(loose, at_both_ends=True),
            Lookbehind.of(pattern),
        )


def _accepted(root: rx.Node, *, at_both_ends: bool = False) -> bytes:
    """The expression as it may be cut off, empty if google-re2 does not take it."""
    try:
        text = rx.to_re2(rx.may_be_cut_off(root, at_both_ends=at_both_ends))
        if at_both_ends:
            text = rb"\A(?:" + text + rb")\z"
        compile_pattern(text, captures=True)
    except (rx.RepeatRewriteError, re2.error):
        return b""
    return text


@dataclass(slots=True)
class Overrun:
    """The overrun of one rule. `captures`: see CompiledRule.captures_matter."""

    facts: OverrunFacts
    captures: bool = False
    _cut: Finder | None = field(default=None, init=False)
    _middle: Finder | None = field(default=None, init=False)
    _head: Finder | None = field(default=None, init=False)
    _at_end: Finder | None = field(default=None, init=False)

    @property
    def middle(self) -> Finder | None:
        """The `middle` pattern."""
        if self._middle is None and self.facts.middle:
            self._middle = Finder(compile_pattern(self.facts.middle).regexp)
        return self._middle

    @property
    def cut(self) -> Finder | None:
        """The `cut` pattern.

        If its match ends where the data does, that may be the beginning of a longer one. If not,
        nothing that is preferred to the match goes on there.
        """
        if self._cut is None and self.facts.cut:
            self._cut = Finder(compile_pattern(self.facts.cut, captures=self.captures).regexp)
        return self._cut

    def open_from(
        self, window: Window, found: Sequence[tuple[int, int, int]], low: int = 0
    ) -> int | None:
        """The first start that `window` owns whose match depends on bytes after the window.

        `found`: the rule's matches (start, end, flags) in the window, in order. Starts within a
        match do not count. `low`: no such start is below. None: the window decides all starts.
        """
        data, low, last = window.data, max(low, window.lo), window.last_start
        if window.at_end or last < low:
            return None
        pos = self._first_possible(data, low, last)
        if pos is None or (pos := self._first_at_end(data, pos)) is None or pos > last:
            return None
        if before := bisect_left(found, (pos, -1, 0)):
            pos = max(pos, found[before - 1][1])
        if self.cut is None:
            return pos if pos <= last else None
        size = len(data)
        while pos <= last:
            match = self.cut.search(data, pos, size)
            if match is None or match[0][0] > last:
                return None
            start, end = match[0]
            if end == size:
                return start
            pos = max(end, start + 1)
        return None

    def _first_possible(self, data: bytes | memoryview, low: int, last: int) -> int | None:
        """The first offset in [low, last] where a match to the end of `data` may start, or None."""
        size, head_width = len(data), self.facts.head_width
        # a look at all of the window's bytes is left to google-re2, from their end
        has_head = bool(self.facts.head) and size - last > head_width
        begins: int | None = low
        if has_head and last - low < _FEW_STARTS:
            if (begins := self._first_head(data, low, last)) is None:
                return None
            has_head = False
        # Can the bytes before the end be the middle of a match? In most text they can't.
        if (lookbehind := self.facts.lookbehind) is not None:
            for length in _COUNTED_NEAR:
                if not lookbehind.may_span(bytes(data[max(last, size - length) :])):
                    return None
        if self.middle is not None:
            for length in _NEAR:
                near = memoryview(data)[max(last, size - length) :]
                if self.middle.match(near, 0, len(near)) is None:
                    return None
        return self._first_head(data, low, last) if has_head else begins

    def _first_head(self, data: bytes | memoryview, low: int, last: int) -> int | None:
        """The first offset in [low, last] where the head is, which does not end behind `data`."""
        if self._head is None:
            self._head = Finder(compile_pattern(self.facts.head).regexp)
        match = self._head.search(data, low, last + self.facts.head_width)
        return match[0][0] if match is not None and match[0][0] <= last else None

    def _first_at_end(self, data: bytes | memoryview, low: int) -> int | None:
        """The first offset from `low` on where all of the rest may be the beginning of a match.

        google-re2 reads a pattern with the text's end behind it backwards from there, and stops
        where no match can begin.
        """
        if not self.facts.begun:
            return low
        if self._at_end is None:
            self._at_end = Finder(compile_pattern(b"(?:" + self.facts.begun + rb")\z").regexp)
        match = self._at_end.search(data, low, len(data))
        return None if match is None else match[0][0]


def _from_first_byte(node: rx.Node) -> rx.Node:
    """The expression without leading assertions, which hide its first bytes from google-re2."""
    nodes = node.nodes if isinstance(node, rx.Concat) else (node,)
    return rx.concat(itertools.dropwhile(lambda n: isinstance(n, rx.Assertion), nodes))


def _begins_with_bytes(node: rx.Node) -> bool:
    first = node.nodes[:2] if isinstance(node, rx.Concat) else ()
    return len(first) == 2 and all(
        isinstance(n, rx.CharClass) and n.mask.bit_count() == 1 for n in first
    )


def overrun_of(matcher: RuleMatcher) -> Overrun:
    """The overrun of a matcher's rule; worked out when first asked for."""
    if matcher.overrun is None:
        matcher.overrun = Overrun(OverrunFacts.of(matcher.pattern), matcher.captures_matter)
    return matcher.overrun
