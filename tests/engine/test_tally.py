"""Tallies: small whatever is counted, equal where findings are, told apart where they are not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.engine import tally
from vyre_dist.engine.finding_rows import FindingRow, path_row
from vyre_dist.engine.tally import Difference, Tally
from vyre_dist.engine.task_codec import _tally, _wire_tally


def row(rule: int, start: int, text: bytes = b"x", **more: object) -> FindingRow:
    made = FindingRow(0, rule, start, start + 1, 1, start + 1, text, text, (), 1.0, 1, 1, 2)
    return made._replace(**more)


rows = st.lists(st.builds(row, st.integers(0, 3), st.integers(0, 1 << 40)), max_size=60)


def tally_of(some: list[FindingRow]) -> Tally:
    made = Tally()
    assert list(made.seen(some)) == some
    return made


@given(some=rows, seed=st.integers(0, 9))
def test_the_order_does_not_matter_and_stretches_add_up(some: list[FindingRow], seed: int) -> None:
    """However few sums there may be."""
    for most in (1, 5, 1024):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tally, "MOST_SUMS", most)
            other = list(some)
            random.Random(seed).shuffle(other)
            one, two = tally_of(some), tally_of(other[: seed * 5])
            two.merge(tally_of(other[seed * 5 :]))
            assert one.differences(two) == [] == two.differences(one)
            assert len(one.sums) <= max(most, 4)
            assert _tally(_wire_tally(one)) == one


@pytest.mark.parametrize(
    "other",
    [
        row(1, 7, end=9),
        row(1, 7, line=2),
        row(1, 7, column=1),
        row(1, 7, end_line=2),
        row(1, 7, text=b"y"),
        row(1, 7, secret=b""),
        row(1, 7, groups=(None,)),
        row(1, 7, groups=(b"",)),
    ],
)
def test_what_a_finding_says_is_told_apart(other: FindingRow) -> None:
    assert tally_of([row(1, 7)]).differences(tally_of([other])) == [Difference(1, 7, 8, 1, 1)]


def test_where_they_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """By rule and start; in stretches where there are many. What a path alone says is not
    counted.
    """
    one = tally_of([row(0, 1), row(0, 2), row(2, 5), path_row(0, 3)])
    two = tally_of([row(0, 1), row(0, 3)])
    assert one.differences(two) == [
        Difference(0, 2, 3, 1, 0),
        Difference(0, 3, 4, 0, 1),
        Difference(2, 5, 6, 1, 0),
    ]
    monkeypatch.setattr(tally, "MOST_SUMS", 10)
    dense = tally_of([row(0, start) for start in range(100)])
    assert dense.shift == 4 and len(dense.sums) == 7
    dense.merge(tally_of([row(0, 77)]))
    assert dense.differences(tally_of([row(0, start) for start in range(100)])) == [
        Difference(0, 64, 80, 17, 16)
    ]
