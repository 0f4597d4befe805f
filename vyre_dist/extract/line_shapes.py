"""LineShapes: the matches in text of many lines that are alike, found once for each shape of line.

A line here is what lies between two places of some byte: a newline, or a comma in JSON without any.

Tables, logs and settings repeat their lines, but for some digits. An expression does not tell most
digits apart, so to it thousands of such lines are one. Where a line settles its own matches,
whatever stands in the lines around it, they are found once, and moved to where each of them is.

A line does so if google-re2 says that nothing which begins in it goes on behind it: if the pattern
with the text's end allowed in place of each of its parts (overrun.py) finds no match that ends
where the next line's first byte does. Then the chain of matches that comes to the line's beginning
comes to its end, too. The other lines are searched one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vyre_dist import regex as rx
from vyre_dist.extract.match_shapes import secret_spot
from vyre_dist.extract.matcher import RuleMatcher
from vyre_dist.extract.overrun import overrun_of
from vyre_dist.extract.secret_screen import SecretScreen
from vyre_dist.extract.spans import DROPPED
from vyre_dist.extract.window import Window
from vyre_dist.rules.finder import Finder, Groups, Offsets

# so many bytes of a window, at so many places of it, tell whether it is worth a try: so many lines,
# so few different ones
_SAMPLE = 64 << 10
_SAMPLES = 8
_LEAST_LINES = 256
_LINES_OF_A_SHAPE = 16
# so many lines, and one of so many, may be searched one by one: each may read far
_FEW_OTHERS = 16
_LINES_TO_OTHERS = 512
# shapes that are remembered, and windows that are passed over where nothing came of many
_MOST_SHAPES = 1 << 14
_MOST_SKIPPED = 64
# what else texts of one line have between their parts
_NEWLINE = b"\n"
_BREAKS = (_NEWLINE, b",", b";", b"&", b"|", b" ", b"\t", b"}")


_NO_SCREEN = SecretScreen()


class ShapedMatches(NamedTuple):
    """`found`: matches (start, end, flags) in order. `groups`: by start, of most of them.
    `matches`: how many, with those that are left out.
    """

    found: list[tuple[int, int, int]]
    groups: dict[int, Groups]
    matches: int


class _Match(NamedTuple):
    """A match in a line of one shape, from the line's start. `groups`: (-1, -1) for no part.
    `secret`: where pick_secret takes it from.
    """

    start: int
    end: int
    groups: Offsets
    secret: tuple[int, int]


_Shape = tuple[_Match, ...] | None
"""The matches in a line; None if it does not settle them."""


@dataclass(slots=True)
class LineShapes:
    """The shapes of one rule's lines. `screen`: of the rule; what it drops is left out of the
    matches of whole documents.
    """

    matcher: RuleMatcher
    screen: SecretScreen = _NO_SCREEN
    _cut: Finder | None = field(init=False)
    _table: bytes = field(init=False)
    _shapes: dict[bytes, _Shape] = field(default_factory=dict)
    _break: bytes = _NEWLINE
    _skipped: int = 0
    _skips: int = 0

    def __post_init__(self) -> None:
        root = rx.parse(self.matcher.pattern.decode("latin-1")).root
        self._cut = None if rx.nullable(root) else overrun_of(self.matcher).cut
        self._table = self.matcher.alike

    def search(self, window: Window) -> ShapedMatches | None:
        """The rule's chain of matches in `window`; None if its lines are not alike."""
        if self._cut is None:
            return None
        if self._skipped < self._skips:
            self._skipped += 1
            return None
        matches = None
        # most text is of another kind, and a copy of a piece takes long
        if self._may_be_alike(window.data):
            data = window.data if isinstance(window.data, bytes) else bytes(window.data)
            matches = self._search(window._replace(data=data), data)
        self._skipped = 0
        self._skips = 0 if matches is not None else min(2 * self._skips + 1, _MOST_SKIPPED)
        return matches

    def _may_be_alike(self, data: bytes | memoryview) -> bool:
        """Whether `data` seems to have a byte between whose places it is alike, which is
        remembered. It is looked at all over: text that is alike at its beginning only takes
        seconds to find out about.
        """
        if not self._has_break(bytes(data[:_SAMPLE]).translate(self._table)):
            return False
        step = (len(data) - _SAMPLE) // (_SAMPLES - 1)
        lines: list[bytes] = []
        for at in range(0, len(data) - _SAMPLE + 1, max(step, _SAMPLE)):
            sample = bytes(data[at : at + _SAMPLE]).translate(self._table)
            # parts of lines at the sample's ends are like no others
            lines += sample.split(self._break)[1:-1]
            if not _are_alike(lines):
                return False
        return True

    def _has_break(self, text: bytes) -> bool:
        for byte in _BREAKS:
            self._break = byte.translate(self._table)
            if text.count(self._break) >= _LEAST_LINES and _are_alike(text.split(self._break)):
                return True
        return False

    def _search(self, window: Window, data: bytes) -> ShapedMatches | None:
        text = data.translate(self._table)
        lines = text.split(self._break)
        numbers = {line: number for number, line in enumerate(dict.fromkeys(lines))}
        if not _are_few(len(numbers), len(lines)):
            return None
        shape = np.fromiter(map(numbers.__getitem__, lines), np.int64, len(lines))
        sizes = np.fromiter(map(len, numbers), np.int64, len(numbers))
        begins = np.zeros(len(lines) + 1, np.int64)
        np.cumsum(sizes[shape] + 1, out=begins[1:])
        # lines behind a line break, with a byte after them, and all of whose starts are owned
        first = max(1, int(np.searchsorted(begins, window.lo)))
        stop = int(np.searchsorted(begins, min(window.hi, len(data) - 1), "right")) - 1
        if stop - first < _LEAST_LINES:
            return None
        # the byte behind a line is part of its shape
        array = np.frombuffer(text, np.uint8)
        keys = shape[first:stop] << 8 | array[begins[first + 1 : stop + 1]]
        _, one_of_each, number = np.unique(keys, return_index=True, return_inverse=True)
        shapes = [
            self._shape(text, int(begins[line]), int(begins[line + 1]))
            for line in (first + one_of_each).tolist()
        ]
        settled = np.array([own is not None for own in shapes])[number]
        others = (first + np.flatnonzero(~settled)).tolist()
        if len(others) > _FEW_OTHERS + len(lines) // _LINES_TO_OTHERS:
            return None
        alone, taken = self._one_by_one(window, begins, first, stop, others)
        marked = any(flags & DROPPED for _, _, flags in alone)
        drops = self.screen if window.is_whole and not marked else _NO_SCREEN
        number[~settled | taken] = len(shapes)
        shaped = self._moved(data, begins[first:stop], number, shapes, drops)
        found = sorted(alone + shaped.found)
        return ShapedMatches(found, shaped.groups, shaped.matches + len(alone))

    def _shape(self, text: bytes, begin: int, end: int) -> _Shape:
        """That of the line text[begin:end], its line break included; one byte follows."""
        line = text[begin - 1 : end + 1]
        if line not in self._shapes:
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            self._shapes[line] = self._settle(line)
        return self._shapes[line]

    def _settle(self, line: bytes) -> _Shape:
        """The shape of a line that lies between the byte before it and the byte behind it."""
        cut, matcher, size = self._cut, self.matcher, len(line)
        if cut is None or (size > matcher.cap and matcher.max_width is None):
            return None
        matches: list[_Match] = []
        at = 1
        while (found := cut.search(line, at, size)) is not None and found[0][0] < size - 1:
            start, end = found[0]
            if end == size or start == end:
                return None
            offsets = matcher.with_groups.match(line, start, end)
            if offsets is None or offsets[0][1] != end:
                return None
            groups = [(low - 1, high - 1) if low >= 0 else (-1, -1) for low, high in offsets[1:]]
            secret = secret_spot(self.screen.byte_filter.secret_group, line, offsets)
            matches.append(_Match(start - 1, end - 1, groups, (secret[0] - 1, secret[1] - 1)))
            at = end
        return tuple(matches)

    def _one_by_one(
        self,
        window: Window,
        begins: npt.NDArray[np.int64],
        first: int,
        stop: int,
        others: Sequence[int],
    ) -> tuple[list[tuple[int, int, int]], npt.NDArray[np.bool_]]:
        """(matches before line `first`, in the `others` and from line `stop` on; which of the lines
        [first, stop) such a match goes over).
        """
        found: list[tuple[int, int, int]] = []
        taken = np.zeros(stop - first, bool)

        def search(pos: int, line: int) -> tuple[int, int]:
            """Search from `pos` until the chain comes to a line's beginning, `line`'s or later."""
            while line <= stop and pos < (high := int(begins[line])):
                for start, end, flags in self.matcher.iter_matches(
                    window._replace(lo=pos, hi=high)
                ):
                    if start >= high:
                        break
                    found.append((start, end, flags))
                    if not flags & DROPPED:
                        pos = end
                pos = max(pos, high)
                line = int(np.searchsorted(begins, pos))
            return pos, line

        pos, line = search(window.lo, first)
        taken[: line - first] = True
        for other in others:
            if other >= line:
                pos, line = search(int(begins[other]), other + 1)
                taken[other - first : line - first] = True
        found += self.matcher.iter_matches(window, max(pos, int(begins[stop])))
        return found, taken

    def _moved(
        self,
        data: bytes,
        begins: npt.NDArray[np.int64],
        number: npt.NDArray[np.int64],
        shapes: Sequence[_Shape],
        drops: SecretScreen,
    ) -> ShapedMatches:
        """The shapes' matches where their lines are. `number`: of each line's shape, if it has
        one of `shapes`. `drops`: which are left out.
        """
        found: list[tuple[int, int, int]] = []
        groups: dict[int, Groups] = {}
        order = np.argsort(number, kind="stable")
        bounds = np.searchsorted(number[order], np.arange(len(shapes) + 1))
        count = 0
        for own, first, stop in zip(shapes, bounds[:-1], bounds[1:], strict=True):
            if not own or first == stop:
                continue
            at = begins[order[first:stop]]
            count += len(at) * len(own)
            for match in own:
                low, high = match.secret
                for start in drops.kept_of(data, at.tolist(), low, high - low):
                    begin = start + match.start
                    found.append((begin, start + match.end, 0))
                    groups[begin] = tuple(
                        [data[start + a : start + b] if b >= 0 else None for a, b in match.groups]
                    )
        return ShapedMatches(found, groups, count)


def _are_alike(lines: Sequence[bytes]) -> bool:
    return _are_few(len(set(lines)), len(lines))


def _are_few(different: int, lines: int) -> bool:
    return lines >= _LEAST_LINES and different * _LINES_OF_A_SHAPE <= lines
