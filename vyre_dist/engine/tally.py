"""Tally: the findings of a document summed up, so that those of two scans of it can be compared.

A finding is counted under its rule and its start, with a hash of all else that it says. Where there
are more than MOST_SUMS, one sum stands for a stretch of starts. So a tally is small whatever was
found, holds no secret, and tallies of a document's stretches add up to the document's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Self

import msgpack
import xxhash

from vyre_dist.engine.finding_rows import FindingRow

MOST_SUMS = 1024
_COARSER = 4
_COARSEST = 63
_HASHED = (1 << 64) - 1


class Difference(NamedTuple):
    """Findings of `rule` that start in [low, high): so many in one tally, so many in the other. If
    these are as many, they are others.
    """

    rule: int
    low: int
    high: int
    here: int
    there: int


class Tally:
    """By (rule, start >> shift): how many findings there are, and the sum of their hashes."""

    __slots__ = ("shift", "sums")

    def __init__(
        self, shift: int = 0, sums: Mapping[tuple[int, int], tuple[int, int]] | None = None
    ) -> None:
        self.shift = shift
        self.sums = dict(sums or {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and (self.shift, self.sums) == (other.shift, other.sums)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Tally({self.shift}, {self.sums})"

    def add(self, row: FindingRow) -> None:
        """Count a finding."""
        told = (
            row.end,
            row.line,
            row.column,
            row.end_line,
            row.match,
            row.secret,
            row.groups,
        )
        self._add(row.rule, row.start >> self.shift, 1, xxhash.xxh3_64_intdigest(_packed(told)))
        if len(self.sums) > MOST_SUMS:
            self._limit()

    def seen(self, rows: Iterable[FindingRow]) -> Iterator[FindingRow]:
        """`rows`, each counted as it passes; those that a path alone makes are not."""
        for row in rows:
            if row.line:
                self.add(row)
            yield row

    def merge(self, other: Tally) -> None:
        """Add all of `other`."""
        if other.shift > self.shift:
            self._coarsen(other.shift)
        for (rule, place), (count, total) in other.sums.items():
            self._add(rule, place >> (self.shift - other.shift), count, total)
        self._limit()

    def copy(self) -> Self:
        """Another one with the same sums."""
        return type(self)(self.shift, self.sums)

    def differences(self, other: Tally) -> list[Difference]:
        """Where the two differ, by rule and start."""
        one, two = self.copy(), other.copy()
        shift = max(one.shift, two.shift)
        for each in (one, two):
            each._coarsen(shift)
        nothing = (0, 0)
        return [
            Difference(
                rule,
                place << shift,
                (place + 1) << shift,
                one.sums.get((rule, place), nothing)[0],
                two.sums.get((rule, place), nothing)[0],
            )
            for rule, place in sorted(one.sums.keys() | two.sums.keys())
            if one.sums.get((rule, place)) != two.sums.get((rule, place))
        ]

    def _add(self, rule: int, place: int, count: int, total: int) -> None:
        before = self.sums.get((rule, place), (0, 0))
        self.sums[rule, place] = before[0] + count, (before[1] + total) & _HASHED

    def _limit(self) -> None:
        while len(self.sums) > MOST_SUMS and self.shift < _COARSEST:
            self._coarsen(min(self.shift + _COARSER, _COARSEST))

    def _coarsen(self, shift: int) -> None:
        by, sums = shift - self.shift, self.sums
        if by:
            self.shift, self.sums = shift, {}
            for (rule, place), (count, total) in sums.items():
                self._add(rule, place >> by, count, total)


def _packed(told: tuple[object, ...]) -> bytes:
    return bytes(msgpack.packb(told))
