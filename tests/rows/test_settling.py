"""What a device's searches around rows come to: google-re2's chain, whatever was given up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples
from span_executor import find_span

from vyre_dist.compiler.span_program import compile_span_program
from vyre_dist.extract import RuleMatcher
from vyre_dist.extract.pivots import matches_near_pivots
from vyre_dist.extract.window import whole
from vyre_dist.regex import parse
from vyre_dist.rows.layout import FOUND, MATCH_DTYPE, OPEN, ROW_DTYPE
from vyre_dist.rows.settling import UNKNOWN_BACK, HostSearch, settle

BACK = 6
PATTERNS = [r"ab(?:a|b)*?c", r"(?:ab|abab)c?", r"a[ab]{1,4}", r"ba*(?:b|c+a)", r"(?:a|ba)+?b+"]
MATCHERS = {pattern: RuleMatcher(pattern.encode(), None, 1 << 16) for pattern in PATTERNS}
PROGRAMS = {pattern: compile_span_program(parse(pattern.encode()).root) for pattern in PATTERNS}


def rows_of(data: st.DataObject, text: bytes, pattern: str, ahead: int) -> tuple[np.ndarray, ...]:
    """A row in every match that google-re2 finds from any start, and what a device makes of it that
    looks `ahead` bytes.
    """
    rows, found = [], []
    program = PROGRAMS[pattern]
    assert program is not None
    for start in range(len(text)):
        end = MATCHERS[pattern].end_at(text, start, len(text))
        if end is None:
            continue
        position = start + data.draw(st.integers(0, min(BACK, end - start - 1)))
        rows.append((position, 0, 0))
        span = find_span(program, text, position, BACK, ahead)
        if span is None:
            found.append((0, 0, 0, OPEN, (0,) * 6))
        else:
            back = position - span.first, position - span.start
            found.append((*back, span.end - span.start, FOUND, (0,) * 6))
    return np.array(rows, ROW_DTYPE), np.array(found, MATCH_DTYPE)


@pytest.mark.parametrize("knows_back", [True, False])
@settings(max_examples=examples(150), deadline=None)
@given(data=st.data())
def test_what_is_settled_and_searched_is_the_chain(knows_back: bool, data: st.DataObject) -> None:
    """Of texts that match everywhere, with searches that are given up at random."""
    pattern = data.draw(st.sampled_from(PATTERNS))
    parts = data.draw(
        st.lists(st.sampled_from([b"ab", b"a", b"b", b"c", b"........"]), max_size=40)
    )
    text = b"".join(parts)
    matcher = MATCHERS[pattern]
    rows, found = rows_of(data, text, pattern, data.draw(st.sampled_from([3, 9, 200])))
    searched: list[list[int]] = []

    def search(document: int, rule: int, positions: list[int]) -> list[tuple[int, int]] | None:
        assert document == rule == 0
        searched.append(positions)
        return matches_near_pivots(matcher, whole(text), positions, BACK)

    backs = np.array([BACK if knows_back else UNKNOWN_BACK])
    done = settle(rows, found, host=HostSearch(backs, search))
    got = [(m["start"], m["start"] + m["length"]) for m in done.matches]
    got += [(match.start, match.end) for match in done.near]
    want = [(start, end) for start, end, _ in matcher.iter_matches(whole(text))]
    if done.rows.size:
        # all of the document is searched: nothing else is said of the rule
        assert got == []
    else:
        assert sorted(got) == want
    assert knows_back or searched == []


def test_a_search_that_was_given_up_leaves_the_others_alone() -> None:
    """One long match among a thousand short ones costs a search near it."""
    pattern = PATTERNS[0]
    text = b"abc......." * 500 + b"ab" + b"ab" * 200 + b"c......." + b"abc......." * 500
    rows, found = [], []
    program, matcher = PROGRAMS[pattern], MATCHERS[pattern]
    assert program is not None
    want = [(start, end) for start, end, _ in matcher.iter_matches(whole(text))]
    for start, end in want:
        rows.append((start, 0, 0))
        span = find_span(program, text, start, BACK, 100)
        status = OPEN if span is None else FOUND
        found.append((0, 0, 0 if span is None else end - start, status, (0,) * 6))
    calls: list[list[int]] = []

    def search(_document: int, _rule: int, positions: list[int]) -> list[tuple[int, int]] | None:
        calls.append(positions)
        return matches_near_pivots(matcher, whole(text), positions, BACK)

    done = settle(
        np.array(rows, ROW_DTYPE),
        np.array(found, MATCH_DTYPE),
        host=HostSearch(np.array([BACK]), search),
    )
    assert calls == [[5000]] and done.rows.size == 0 and done.matches.size == 1000
    assert [(match.start, match.end) for match in done.near] == [(5000, 5403)]
