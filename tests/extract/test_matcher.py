"""RuleMatcher and stitch on their own: chains, hints, caps and their flags, and how long hard cases
take.
"""

from __future__ import annotations

import itertools
import time

import pytest
from generate import haystacks, patterns
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import chain, is_unbounded

from vyre_dist import regex as rx
from vyre_dist.engine.document import BytesDocument, window_of
from vyre_dist.engine.stitch import stitch
from vyre_dist.extract import CAPPED, DROPPED, RuleMatcher
from vyre_dist.extract.lookbehind import Lookbehind
from vyre_dist.extract.window import whole


def matcher_of(pattern: str, cap: int = 1 << 16) -> RuleMatcher:
    parsed = rx.parse(pattern)
    return RuleMatcher(rx.to_re2(parsed), rx.max_width(parsed.root), cap)


def spans(matcher: RuleMatcher, data: bytes) -> list[tuple[int, int]]:
    return [(s, e) for s, e, flags in matcher.iter_matches(whole(data)) if not flags & DROPPED]


def all_ends(pattern: str, data: bytes) -> list[int]:
    """Where matches end, and a few places where none does: a hint may be a superset."""
    regexp = matcher_of(pattern).regexp
    return [
        e
        for e in range(len(data) + 1)
        if e % 5 == 0 or any(regexp.fullmatch(data, s, e) for s in range(e + 1))
    ]


@settings(max_examples=examples(600))
@given(pattern=patterns(), data=haystacks(), cap=st.integers(1, 9))
def test_chain_is_the_oracles(pattern: str, data: bytes, cap: int) -> None:
    """A whole document's matches are the oracle's, cut where the rule has no longest match."""
    found = spans(matcher_of(pattern, cap), data)
    assert found == [m.span() for m in chain(pattern, data, cap)]


@settings(max_examples=examples(600))
@given(pattern=patterns(), data=haystacks(), cap=st.integers(1, 9))
def test_ends_change_nothing(pattern: str, data: bytes, cap: int) -> None:
    """With the ends of all matches as a hint, the same matches come out."""
    assume(not rx.nullable(rx.parse(pattern).root))
    matcher = matcher_of(pattern, cap)
    if is_unbounded(pattern):
        matcher.lookbehind = Lookbehind.of(rx.to_re2(rx.parse(pattern)))
    hinted = matcher.matches_at_ends(whole(data), all_ends(pattern, data))
    assert [(s, e) for s, e, flags in hinted if not flags & DROPPED] == spans(matcher, data)


@settings(max_examples=examples(600))
@given(
    pattern=patterns(),
    data=haystacks(),
    cap=st.integers(1, 9),
    cuts=st.lists(st.integers(0, 80), max_size=6),
)
def test_pieces_of_any_sizes_join(pattern: str, data: bytes, cap: int, cuts: list[int]) -> None:
    """However unevenly a document is cut, empty pieces included, its parts join to the chain of the
    whole.
    """
    matcher = matcher_of(pattern, cap)
    document = BytesDocument(data, "d")
    edges = sorted({0, len(data), *(min(c, len(data)) for c in cuts)})
    parts = []
    for start, end in zip(edges, edges[1:] if len(edges) > 1 else [0], strict=False):
        window = window_of(document, start, end, matcher.cap + 1)
        rows = [
            (s + window.base, e + window.base, f)
            for s, e, f in matcher.iter_matches(window)
            if f != DROPPED
        ]
        assert all(start <= s < end or s == end == len(data) for s, _, _ in rows)
        parts.append((start, end, rows))
    assert [(s, e) for s, e, _ in stitch(document, matcher, parts)] == spans(matcher, data)


@settings(max_examples=examples(400))
@given(
    pattern=patterns(),
    data=haystacks(),
    cap=st.integers(1, 9),
    left=st.integers(1, 5),
    right=st.integers(1, 9),
)
def test_a_window_need_show_no_more_than_it_must(
    pattern: str, data: bytes, cap: int, left: int, right: int
) -> None:
    """One byte before the first owned start and cap + 1 after the last decide; what lies beyond
    changes no match.
    """
    matcher = matcher_of(pattern, cap)
    document = BytesDocument(data, "d")
    start, end = min(left, len(data)), min(left + right, len(data))
    narrow, wide = (window_of(document, start, end, matcher.cap + more) for more in (0, 100))
    assert [m[:2] for m in matcher.iter_matches(narrow) if m[2] != DROPPED] == [
        m[:2] for m in matcher.iter_matches(wide) if m[2] != DROPPED
    ]


FLAGS = [
    # pattern, document, rows with a cap of 4
    ("a+", b"aaaa", [(0, 4, 0)]),
    ("a+", b"aaaaaa", [(0, 6, DROPPED), (0, 4, CAPPED), (4, 6, 0)]),
    ("<.*?>", b"<ab><abc><a>", [(0, 4, 0), (4, 9, DROPPED), (9, 12, 0)]),
    ("<.*>", b"<a><b>x<c>", [(0, 10, DROPPED), (0, 3, CAPPED), (3, 6, CAPPED), (7, 10, 0)]),
    (r"(?:<.*?>|<)", b"<abcd>", [(0, 6, DROPPED), (0, 1, CAPPED)]),
    # beyond the cap only what the rest of the text makes true: not `$` in the middle of it
    (r"(?:ab*|ab{0,3}$)", b"abbbbbb", [(0, 7, DROPPED), (0, 4, CAPPED)]),
    (r"ab*\z", b"abbbbbb", [(0, 7, DROPPED)]),
    (r"ab*\b", b"abbbbbb", [(0, 7, DROPPED)]),
    # a rule with a longest match is never cut, however long
    ("a{0,6}", b"aaaaaa", [(0, 6, 0)]),
    ("abcdef", b"abcdef", [(0, 6, 0)]),
]


@pytest.mark.parametrize(("pattern", "data", "rows"), FLAGS)
def test_flags(pattern: str, data: bytes, rows: list[tuple[int, int, int]]) -> None:
    """What is longer than the cap is cut or dropped, and says so; a bounded rule has no cap."""
    assert list(matcher_of(pattern, 4).iter_matches(whole(data))) == rows


@settings(max_examples=examples(600))
@given(
    pattern=patterns(),
    data=haystacks(),
    cap=st.integers(1, 9),
    cuts=st.lists(st.integers(0, 80), max_size=6),
    more=st.integers(1, 9),
    hinted=st.booleans(),
)
@example(r"ab*\z", b"abbbbbbb-", 2, [2], 1, False)
@example(r"ab*\z", b"abbbbbbb-", 2, [2], 1, True)
@example(r"(?:ab*\b|a)", b"abbbbbbb", 2, [1], 1, False)
def test_what_is_too_long_in_a_piece_is_too_long_in_the_document(
    pattern: str, data: bytes, cap: int, cuts: list[int], more: int, hinted: bool
) -> None:
    """Where a piece flags a match, one longer than the cap starts in the document: a piece's end is
    not the document's.
    """
    assume(is_unbounded(pattern) and not (hinted and rx.nullable(rx.parse(pattern).root)))
    matcher = matcher_of(pattern, cap)
    regexp = matcher.regexp
    document, size = BytesDocument(data, "d"), len(data)
    edges = sorted({0, size, *(min(c, size) for c in cuts)})
    for start, end in itertools.pairwise(edges):
        window = window_of(document, start, end, cap + more)
        rows = (
            matcher.matches_at_ends(window, all_ends(pattern, window.data))
            if hinted
            else matcher.iter_matches(window)
        )
        for s, _, flags in rows:
            at = s + window.base
            assert not flags or any(
                regexp.fullmatch(data, at, e) for e in range(at + cap + 1, size + 1)
            )


SHOWN = [
    # what a piece that owns the first 4 of these bytes and shows `more` after them flags, with a
    # cap of 2
    (r"ab*\z", b"abbbbbbbbb", 3, []),
    (r"ab*\z", b"abbbbb", 3, [(0, 6, DROPPED)]),  # here the document ends where it ends
    (r"ab*\z", b"abbbbb-", 3, []),
    ("ab*c", b"abbbbcbbbb", 3, [(0, 6, DROPPED)]),
    ("ab*", b"abbbbbbbbb", 3, [(0, 6, DROPPED), (0, 2, CAPPED)]),
    (r"(?:ab*\z|a)", b"abbbbbbbbb", 3, [(0, 1, 0)]),
    (r"(?:ab*\z|a)", b"abbbbb", 3, [(0, 6, DROPPED), (0, 1, CAPPED)]),
]


@pytest.mark.parametrize(("pattern", "data", "more", "rows"), SHOWN)
def test_flags_in_pieces(
    pattern: str, data: bytes, more: int, rows: list[tuple[int, int, int]]
) -> None:
    """A piece flags what it can be sure of: not what may end only because the piece does."""
    window = window_of(BytesDocument(data, "d"), 0, 4, more)
    matcher = matcher_of(pattern, 2)
    assert list(matcher.iter_matches(window)) == rows
    assert matcher.matches_at_ends(window, range(1, len(window.data) + 1)) == rows


HARD = [
    # every `a` starts a match that is far too long
    ("(?s)a.*?b", b"a" * (1 << 20) + b"b"),
    ("(?s)a.*b", b"a" * (1 << 20) + b"b"),
    # and here each start is too far from its end by another distance
    ("(?s)a.*?b", (b"a" * 30_000 + b"b") * 30),
    (r"(?s)BEGIN.*?END", b"BEGIN \n" * 150_000 + b"END"),
    # greedy, over many ends
    ("(?s)x.*y", b"xy" * 400_000),
]


@pytest.mark.parametrize(("pattern", "data"), HARD)
def test_too_long_matches_are_not_searched_again_from_every_start(
    pattern: str, data: bytes
) -> None:
    """A stretch of starts whose matches are too long costs seconds at most, not hours; the first
    that fits is found.
    """
    cap = 1 << 12
    began = time.process_time()
    rows = list(matcher_of(pattern, cap).iter_matches(whole(data)))
    seconds = time.process_time() - began
    assert rows[0][2]
    found = [row for row in rows if row[2] != DROPPED]
    assert found
    assert all(e - s <= cap for s, e, _ in found)
    assert found[-1][1] == len(data)
    assert seconds < 5


def test_groups_are_those_of_the_match_as_it_was_cut() -> None:
    """Groups come from the cut match, and what is no match has none."""
    matcher = matcher_of("(<)(a*)(>?)", 4)
    assert is_unbounded("(<)(a*)(>?)")
    data = b"x<aaaaa>"
    assert list(matcher.iter_matches(whole(data))) == [(1, 8, DROPPED), (1, 5, CAPPED)]
    assert matcher.groups_at(data, 1, 5) == (b"<", b"aaa", b"")
    assert matcher.groups_at(data, 1, 6) is None
    assert matcher.groups_at(data, 2, 5) is None


@settings(max_examples=examples(600))
@given(pattern=patterns(), data=haystacks())
def test_no_match_starts_before_its_reach(pattern: str, data: bytes) -> None:
    """Of all substrings that match and go to an end or beyond, none starts before the offset that
    is given for it.
    """
    assume(is_unbounded(pattern))
    lookbehind = Lookbehind.of(rx.to_re2(rx.parse(pattern)))
    assume(lookbehind is not None)
    assert lookbehind is not None
    regexp = matcher_of(pattern).regexp
    size = len(data)
    matching = [
        (s, e) for e in range(size + 1) for s in range(e + 1) if regexp.fullmatch(data, s, e)
    ]
    for end in range(size + 1):
        for low in (0, size // 2):
            earliest = lookbehind.earliest(data, low, end)
            assert all(s >= earliest for s, e in matching if e >= end > s >= low)


@pytest.mark.parametrize(
    ("pattern", "text", "at"),
    [
        # the parenthesis is in no match
        (r"\w+=\w+", b"f(" + b"a" * 100 + b"=b", 2),
        # no more than four bytes that are not letters of the loop
        (r"[-=]{0,4}x[a-w]+", b"=" * 500 + b"x" + b"a" * 300, 397),
        # nothing is known: everything may be in the loop
        (r"[a-c](?s:.)*", b"a" * 1000, None),
    ],
)
def test_reach_in_numbers(pattern: str, text: bytes, at: int | None) -> None:
    """How far back a look goes; never further than one factor of four beyond what the bytes
    allow.
    """
    lookbehind = Lookbehind.of(rx.to_re2(rx.parse(pattern)))
    if at is None:
        assert lookbehind is None
        return
    assert lookbehind is not None
    assert 0 <= at - lookbehind.earliest(text, 0, len(text)) <= 4 * (len(text) - at)
    if at == 2:
        assert lookbehind.earliest(text, 0, len(text)) == 2


LEADS = st.sampled_from(
    [
        r"[ab]{0,3}?a+c",
        r"[ab]{0,2}b[abc]*c",
        r"[a-c]{0,5}?(?:c|bb)+x?a",
        r"[ab]{0,4}?\bb+\b",
        r"[ab]{0,3}(?m:^)a+",
        r"a{0,2}?(?:a|b)+(?:c|\z)",
        r"[ab]?(?:ab)+?c",
        r"[ab]{0,3}?\Ba*b",
        r"[ab]{0,2}?(?P<run>a+)(x)?(b|c+)",
    ]
)


@settings(max_examples=examples(1500))
@given(pattern=LEADS, data=st.text(alphabet="abcx \n", max_size=40), cap=st.integers(1, 12))
def test_a_lead_that_may_be_missing_changes_nothing(pattern: str, data: str, cap: int) -> None:
    """Rules that begin with bytes they can do without are found by what follows, with the matches
    of the whole.
    """
    matcher = matcher_of(pattern, cap)
    matcher.lookbehind = Lookbehind.of(rx.to_re2(rx.parse(pattern)))
    assert matcher.lookbehind is not None and matcher.lookbehind.core
    text = data.encode()
    seen: dict[int, tuple[bytes | None, ...]] = {}
    hinted = matcher.matches_at_ends(whole(text), all_ends(pattern, text), seen)
    assert [(s, e) for s, e, flags in hinted if not flags & DROPPED] == spans(matcher, text)
    assert spans(matcher, text) == [m.span() for m in chain(pattern, text, cap)]
    for start, end, flags in hinted:
        if start in seen:
            assert not flags and seen[start] == matcher.groups_at(text, start, end)


def test_groups_seen_on_the_way() -> None:
    """A match that is found from its start comes with its groups, if no match that is too long
    could be there.
    """
    pattern, text = r"[ab]{0,2}?(?P<run>a+)(x)?(b|c+)", b"xaac bacc aab"
    for cap, starts in ((13, {1, 5, 10}), (3, {10})):
        matcher = matcher_of(pattern, cap)
        matcher.lookbehind = Lookbehind.of(rx.to_re2(rx.parse(pattern)))
        seen: dict[int, tuple[bytes | None, ...]] = {}
        found = matcher.matches_at_ends(whole(memoryview(text)), all_ends(pattern, text), seen)
        assert [(s, e) for s, e, flags in found if flags != DROPPED] == [
            (1, 4),
            (5, 9 if cap > 3 else 8),
            (10, 13),
        ]
        assert seen.keys() == starts
        assert seen[10] == matcher.groups_at(text, 10, 13)
