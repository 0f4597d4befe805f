"""Repeats of thousands: exact whatever the number, at a cost that does not grow with the number of
starts.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import chain

from vyre_dist import Scanner
from vyre_dist import regex as rx
from vyre_dist.extract import DROPPED, RuleMatcher
from vyre_dist.extract.window import whole
from vyre_dist.program import CompiledPack, compile_pack, compiled
from vyre_dist.rules import RulePack

PARTS = st.sampled_from(
    ["a", "b", "[ab]", ".", "(?s:.)", "(?:ab)", "(?:a|bc)", "(?:a|ab)", r"\b", "c", "$"]
)
COUNTS = st.sampled_from(["", "", "{0,9}", "{3,12}", "{7}", "{0,11}?", "{2,8}?", "*", "{5,}", "?"])


@st.composite
def counted(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.tuples(PARTS, COUNTS), min_size=1, max_size=4))
    return "".join(part + ("" if part in (r"\b", "$") else count) for part, count in parts)


@settings(max_examples=examples(800))
@given(
    pattern=counted(),
    text=st.text("aabbc \n", max_size=40).map(str.encode),
    cap=st.integers(1, 12),
    most=st.integers(1, 8),
)
def test_loose_searches_change_nothing(pattern: str, text: bytes, cap: int, most: int) -> None:
    """A rule whose repeats are looked for as loops, and then tried, has the matches of the rule, by
    their ends, too.
    """
    root = rx.parse(pattern).root
    loose = rx.loosen_repeats(rx.strip_captures(root), most)
    matcher = RuleMatcher(
        rx.to_re2(root), rx.max_width(root), cap, loose_pattern=rx.to_re2(rx.lazy_loops(loose))
    )
    expected = [m.span() for m in chain(pattern, text, cap)]
    found = list(matcher.iter_matches(whole(text)))
    assert [(s, e) for s, e, flags in found if flags != DROPPED] == expected
    if not rx.nullable(root):
        ended = matcher.matches_at_ends(whole(text), range(1, len(text) + 1))
        assert [(s, e) for s, e, flags in ended if flags != DROPPED] == expected


@settings(max_examples=examples(400))
@given(
    part=st.sampled_from(["a", "[ab]", "(?:ab|c)"]),
    text=st.text("abc", max_size=30),
    data=st.data(),
)
def test_repeats_beyond_the_limit_prefer_what_they_did(
    part: str, text: str, data: st.DataObject
) -> None:
    """A repeat that is written out by powers of two matches as the repeat, greedy and lazy, for
    every bound and limit.
    """
    low = data.draw(st.integers(0, 6))
    high = data.draw(st.integers(low, 20))
    lazy, limit = data.draw(st.sampled_from(["", "?"])), data.draw(st.integers(1, 5))
    pattern = f"b?{part}{{{low},{high}}}{lazy}[bc]?"
    assume(high)
    fitted = rx.to_re2(rx.fit_repeats(rx.parse(pattern).root, limit=limit)).decode("latin-1")
    spans = [[m.span() for m in chain(p, text.encode(), 1 << 16)] for p in (pattern, fitted)]
    assert spans[0] == spans[1]


def pack_of(pattern: str) -> CompiledPack:
    return compile_pack(RulePack.from_patterns({"r": pattern}).data)


@pytest.mark.parametrize("count", [4_000, 30_000, 33_000, 60_000])
@pytest.mark.parametrize(
    "pattern",
    [
        r"BEGIN[\s\S]{0,%d}STOP",
        r"x[\s\S]{0,%d}?zz",
        r"tok_[a-z ]{0,%d}=",
        r"some[ -~\n]{9,%d}zz",
    ],
)
def test_large_counts_are_bounded(pattern: str, count: int) -> None:
    """300 kB with starts everywhere and one end take seconds, on both sides of Hyperscan's limit
    for counts.
    """
    text = b"BEGIN some x=1 other tok_ text y\n" * 9_000 + b"tok_ab= y STOP yzz"
    began = time.process_time()
    scanner = Scanner({"r": pattern % count})
    found = scanner.scan(text)
    assert time.process_time() - began < 20
    assert len(found) >= 1
    assert all(f.end - f.start <= count + 30 for f in found)


@pytest.mark.parametrize(
    "pattern",
    [r"(?:x[^#]{0,20000}y){1,3}zz", r"x(?:[ -~]|\n){9,20000}zz", r"x.{0,9000}y.{0,9000}yzz"],
)
def test_nested_and_repeated_counts_are_bounded(pattern: str) -> None:
    """The same for counts in counts, of more than one byte, and one after the other."""
    text = b"BEGIN some x=1 other tok_ text y\n" * 2_000 + b"tok_ab= x y STOP yzz"
    began = time.process_time()
    assert len(Scanner({"r": pattern}).scan(text)) == 1
    assert time.process_time() - began < 20


def test_hyperscan_and_google_re2_count_only_so_far() -> None:
    """Neither is given counts that it does not bear: its compiler's time, its limit and its faults
    come with them.
    """
    rule = pack_of(r"x[\s\S]{0,30000}?zz").rules[0]
    assert rule.candidate_pattern == b"x(?s:.)*?zz"
    assert rule.loose_pattern == b"x(?s:.)*?zz"
    rule = pack_of(rf"x[ab]{{0,{compiled.MOST_SEARCHED}}}zz").rules[0]
    assert rule.candidate_pattern == b"x[ab]{0,2048}zz"
    assert rule.loose_pattern is None
