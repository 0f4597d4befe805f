"""MatchShapes: a rule's matches by what its expression can tell of them.

Where a match is known, its groups depend on its bytes and on one at either side. To find them takes
google-re2 longer than to find the match, and matches of settings and code often differ in bytes
that the expression does not tell apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vyre_dist.rules.finder import Groups, Offsets

if TYPE_CHECKING:
    from vyre_dist.extract.matcher import RuleMatcher
    from vyre_dist.extract.secret_screen import SecretScreen

_MOST_SHAPES = 1 << 12
_OF_A_SHAPE = 4


class MatchShapes:
    """Some of the matches in one text."""

    def __init__(self, matcher: RuleMatcher, data: bytes | memoryview) -> None:
        self._matcher = matcher
        self._data = data
        self._size = len(data)
        self._table = matcher.alike
        self._starts: dict[bytes, list[int]] = {}

    def of(self, start: int, end: int) -> bytes | None:
        """The shape of the match data[start:end]; None at an edge of the text."""
        if not start or end >= self._size:
            return None
        return bytes(self._data[start - 1 : end + 1]).translate(self._table)

    def add(self, start: int, end: int) -> bool:
        """Take a match; False: it has no shape, or there are too many."""
        shape = self.of(start, end)
        if shape is None:
            return False
        starts = self._starts.get(shape)
        if starts is None:
            if len(self._starts) >= _MOST_SHAPES:
                return False
            starts = self._starts[shape] = []
        starts.append(start)
        return True

    def are_alike(self) -> bool:
        """Whether there are few shapes among the matches."""
        matches = sum([len(starts) for starts in self._starts.values()])
        return len(self._starts) * _OF_A_SHAPE <= matches

    def settle(
        self,
        screen: SecretScreen | None,
        found: list[tuple[int, int, int]],
        groups: dict[int, Groups],
        most: int,
    ) -> int:
        """Add the matches that were taken to `found`, and the groups of at most `most` to `groups`,
        but for those that `screen` drops: how many these are.
        """
        data, left_out = self._data, 0
        for shape, starts in self._starts.items():
            first, width = starts[0], len(shape) - 2
            match = self._matcher.with_groups.match(data, first, first + width)
            kept = starts
            if match is not None and screen is not None:
                low, high = secret_spot(screen.byte_filter.secret_group, data, match)
                kept = screen.kept_of(data, starts, low - first, high - low)
            left_out += len(starts) - len(kept)
            found += [(start, start + width, 0) for start in kept]
            if match is None or match[0][1] != first + width:
                continue  # whoever asks for the groups says that they are not to be had
            spots = [(a - first, b - first) if a >= 0 else None for a, b in match[1:]]
            for start in kept[: max(0, most - len(groups))]:
                groups[start] = tuple(
                    [spot and bytes(data[start + spot[0] : start + spot[1]]) for spot in spots]
                )
        found.sort()
        return left_out


def secret_spot(secret_group: int, data: bytes | memoryview, match: Offsets) -> tuple[int, int]:
    """Where pick_secret takes the secret of a match from; some empty place for an empty one."""
    start, end = match[0]
    if secret_group:
        low, high = match[secret_group]
        return (low, high) if low >= 0 else (start, start)
    for low, high in match[1:]:
        if low < high:
            return low, high
    text = bytes(data[start:end])
    start += len(text) - len(text.lstrip(b"\n"))
    return start, start + len(text.strip(b"\n"))
