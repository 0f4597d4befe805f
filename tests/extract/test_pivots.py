"""Matches near the pivots that the tables leave are all matches: in whole documents, in pieces,
dense or not.
"""

from __future__ import annotations

import numpy as np
import pytest
from generate import haystacks, patterns
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples

from vyre_dist import regex as rx
from vyre_dist.compiler import GramModel, compile_tables
from vyre_dist.compiler.arena_executor import execute_arena
from vyre_dist.compiler.gram_model import encode_grams
from vyre_dist.extract import RuleMatcher
from vyre_dist.extract.pivots import matches_at_pivots, matches_at_starts, matches_near_pivots
from vyre_dist.extract.window import Window, whole
from vyre_dist.kernels.reference import arena_of
from vyre_dist.program import compile_pack
from vyre_dist.rules import RulePack

CAP = 64

# every narrow window is worth having: most of the patterns have anchors
FLAT = GramModel.from_bytes(
    encode_grams(np.array([1], np.uint32), np.array([1e-9]), np.full(256, 1 / 256))
)

DENSE = [
    "abca?",
    "(?:abc)+",
    "a{4}",
    "a{4,9}",
    "abc|bcab",
    r"\babc.{0,3}",
    "(?:ab){2}c?",
    "aaab?",
    "(?i)abcab",
    "ab.?ca",
]


def anchored_pivots(pattern: str, windows: list[Window]) -> list[list[int]] | None:
    """By window: the pivots of all rows, in its coordinates; None for a pattern that has no
    anchors.
    """
    compiled = compile_pack(RulePack.from_patterns({"r": pattern}).data)
    tables = compile_tables([rx.parse(compiled.rules[0].pattern).root], FLAT).tables
    if not tables.entries.size or tables.runs.size:
        return None
    arena = arena_of(windows)
    result = execute_arena(tables, arena, tile_bytes=64)
    pivots: list[set[int]] = [set() for _ in windows]
    for document, _, position in result.confirmed.tolist() + result.for_host.tolist():
        pivots[document].add(position - int(arena.starts[document]))
    return [sorted(own) for own in pivots]


def windows_of(document: bytes, size: int, overlap: int) -> list[Window]:
    """The document in pieces of `size`, each with the context that it needs."""
    pieces = []
    for start in range(0, max(1, len(document)), size):
        base, stop = max(0, start - 1), min(len(document), start + size + overlap)
        end = min(start + size, len(document))
        pieces.append(
            Window(
                document[base:stop], base, start - base, end - base, start + size >= len(document)
            )
        )
    return pieces


def check(pattern: str, document: bytes, size: int) -> int:
    """Compare both ways in each piece and in the whole; how many matches there were."""
    compiled = compile_pack(RulePack.from_patterns({"r": pattern}).data, max_match_bytes=CAP)
    if not compiled.rules:
        return 0  # nothing can match: the rule is not searched for
    rule = compiled.rules[0]
    matcher = RuleMatcher(rule.pattern, rule.max_width, rule.max_match_bytes)
    windows = [whole(document), *windows_of(document, size, compiled.overlap)]
    pivots = anchored_pivots(pattern, windows)
    if pivots is None:
        return 0
    seen = 0
    for window, own in zip(windows, pivots, strict=True):
        wanted = list(matcher.iter_matches(window))
        found = (
            matches_at_pivots(matcher, window, own) if own else []
        )  # without pivots nobody looks
        assert found == wanted, (pattern, window)
        seen += len(wanted)
    return seen


@settings(max_examples=examples(500))
@given(
    pattern=st.one_of(patterns(), st.sampled_from(DENSE)),
    document=haystacks(60),
    size=st.integers(1, 30),
)
def test_matches_at_places(pattern: str, document: bytes, size: int) -> None:
    """The chain found from the pivots is the whole chain, whichever piece of the document is looked
    at.
    """
    check(pattern, document, size)


@pytest.mark.parametrize("pattern", DENSE)
def test_dense_matches(pattern: str) -> None:
    """Overlapping candidates, touching matches and matches at both edges come out as one search
    finds them.
    """
    seen = 0
    for document in (
        b"abc" * 9,
        b"a" * 40,
        b"abcab" * 5 + b"ca",
        b"ab" * 11 + b"c abcx abc",
        b"ABCABaaaab",
    ):
        for size in (1, 2, 7, 64):
            seen += check(pattern, document, size)
    assert seen > 10


@settings(max_examples=examples(300))
@given(
    gaps=st.lists(st.integers(0, 7), max_size=300),
    width=st.integers(1, 9),
    low=st.integers(0, 40),
    owned=st.integers(0, 2000),
    at_end=st.booleans(),
)
def test_matches_at_starts(gaps: list[int], width: int, low: int, owned: int, at_end: bool) -> None:
    """From many starts or few, with repeats and outside of the window, the chain is what one by one
    gives.
    """
    starts = np.cumsum(gaps).tolist()
    data = b"." * (low + owned if at_end else low + owned + width + 1)
    window = Window(data, 7, low, low + owned, at_end)
    wanted, pos = [], low
    for start in starts:
        if pos <= start <= window.last_start:
            pos = start + width
            wanted.append((start, pos, 0))
    assert matches_at_starts(window, starts, width) == wanted


@pytest.mark.parametrize("pattern", ["key=[^\\n;]*;", "key=[^\\n;]{0,3000};"])
@pytest.mark.parametrize("tail", [b"", b"x;", b"\nkey=;", b"\nkey;"])
def test_places_without_matches_are_not_each_searched_to_the_end(
    pattern: str, tail: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of pivots on one line that have no match: what is read in all is the text a few
    times over.
    """
    count = 4000
    text = b"key=abcd," * count + tail
    compiled = compile_pack(RulePack.from_patterns({"r": pattern}).data, max_match_bytes=1 << 20)
    rule = compiled.rules[0]
    matcher = RuleMatcher(rule.pattern, rule.max_width, rule.max_match_bytes)
    want = list(matcher.iter_matches(whole(text)))
    read = [0]
    searcher = matcher.with_groups

    class Counting:
        def search(self, data: bytes, low: int, high: int) -> object:
            match = searcher.search(data, low, high)
            read[0] += (high if match is None else match[0][1]) - low
            return match

    monkeypatch.setattr(RuleMatcher, "with_groups", Counting())
    pivots = [9 * n + 1 for n in range(count)] + [9 * count + 2] * (len(tail) > 4)
    assert matches_at_pivots(matcher, whole(text), pivots, back=1) == want
    assert read[0] < 8 * len(text)


def test_near_a_pivot_only_what_may_begin_a_match_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the bytes in a pivot's reach google-re2 is asked for those that a match can begin with."""
    matcher = RuleMatcher(b"[kK]ey[0-9]+", None, CAP, captures_matter=False)
    tried: list[int] = []
    end_at = RuleMatcher.end_at

    def counted(self: RuleMatcher, data: bytes, start: int, limit: int) -> int | None:
        tried.append(start)
        return end_at(self, data, start, limit)

    monkeypatch.setattr(RuleMatcher, "end_at", counted)
    window = whole(b"= kKey123; zzzzzzzzkezz Key4")
    assert matches_near_pivots(matcher, window, [5, 20, 26], 6) == [(3, 9), (24, 28)]
    assert tried == [2, 3, 19, 24]
