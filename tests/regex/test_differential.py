"""Random patterns: our parser, printers and analysis against google-re2, Hyperscan and a slow
matcher.
"""

from __future__ import annotations

import random
import re
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples
from tree_facts import assertion_kinds

from vyre_dist.regex import (
    AssertionKind,
    Regex,
    RegexSyntaxError,
    factors,
    first_bytes,
    last_bytes,
    max_width,
    min_width,
    never_matches,
    nullable,
    parse,
    strip_captures,
    to_pcre,
    to_re2,
)

randoms = st.randoms(use_true_random=False)


def parse_or_none(pattern: str) -> Regex | None:
    try:
        return parse(pattern)
    except RegexSyntaxError:
        return None


def check_verdict(lab: SimpleNamespace, pattern: str) -> None:
    regex = parse_or_none(pattern)
    ours = regex is not None and not regex.extended
    assert ours == (lab.re2_compile(pattern.encode()) is not None), pattern


def folds_high_bytes(pattern: str) -> bool:
    return "i" in pattern and bool(re.search(r"[^\x00-\x7f]|\\[xpP]", pattern))


def check_same_matches(lab: SimpleNamespace, pattern: str, haystacks: list[bytes]) -> None:
    original = lab.re2_compile(pattern.encode())
    if original is None:
        return
    regex = parse(pattern)
    canonical = lab.re2_compile(to_re2(regex))
    assert canonical is not None, (pattern, to_re2(regex))
    assert canonical.groups == regex.groups == original.groups
    assert canonical.groupindex == original.groupindex
    assert {
        name.encode(): index for name, index in regex.group_names.items()
    } == original.groupindex
    assert parse(to_re2(regex)).root == regex.root
    ascii_only = folds_high_bytes(pattern)
    for haystack in haystacks:
        text = bytes(b for b in haystack if b < 0x80) if ascii_only else haystack
        assert lab.spans(original, text) == lab.spans(canonical, text), (
            pattern,
            to_re2(regex),
            text,
        )


def check_facts(lab: SimpleNamespace, pattern: str, haystack: bytes) -> None:
    regex = parse_or_none(pattern)
    if regex is None or regex.extended:
        return
    root = regex.root
    low, high, firsts, lasts = min_width(root), max_width(root), first_bytes(root), last_bytes(root)
    found = factors(root, width=4, max_factors=16)
    compiled = lab.re2_compile(to_re2(root))
    for start, end in (groups[0] for groups in lab.spans(compiled, haystack)):
        match = haystack[start:end]
        assert not never_matches(root)
        assert low <= len(match) and (high is None or len(match) <= high)
        assert match or nullable(root)
        assert not match or (firsts >> match[0] & 1 and lasts >> match[-1] & 1)
        assert found is None or any(occurs(factor, match) for factor in found.factors), (
            pattern,
            match,
            found,
        )
        assert end in lab.match_ends(root, haystack, {start})
    assert lab.match_ends(strip_captures(root), haystack, {0}) == lab.match_ends(
        root, haystack, {0}
    )


def occurs(factor: tuple[int, ...], match: bytes) -> bool:
    return any(
        all(mask >> byte & 1 for mask, byte in zip(factor, match[i:], strict=False))
        for i in range(len(match) - len(factor) + 1)
    )


def check_hyperscan(lab: SimpleNamespace, pattern: str, haystacks: list[bytes]) -> bool:
    """False where Hyperscan refuses the pattern, by its own rules: anchors within, or nothing can
    match.
    """
    hyperscan = pytest.importorskip("hyperscan")
    regex = parse_or_none(pattern)
    if regex is None or regex.extended:
        return False
    try:
        database = lab.hyperscan_database(to_pcre(regex))
    except hyperscan.error:
        return False
    for haystack in haystacks:
        if not haystack:
            continue  # Hyperscan reports nothing in an empty buffer
        expected = lab.match_ends(regex.root, haystack, set(range(len(haystack) + 1)))
        ends = lab.hyperscan_ends(database, haystack)
        if AssertionKind.BEGIN_LINE in assertion_kinds(regex.root):
            ends -= {len(haystack)} - expected
        assert ends == expected, (pattern, to_pcre(regex), haystack)
    return True


@settings(max_examples=examples(1000), deadline=None)
@given(rng=randoms)
def test_verdicts(lab: SimpleNamespace, rng: random.Random) -> None:
    """A pattern, valid or broken, is accepted exactly when google-re2 accepts it."""
    check_verdict(lab, lab.random_pattern(rng, broken=True))


@settings(max_examples=examples(500), deadline=None)
@given(pattern=st.text(alphabet="ab(){}[]^$.*+?|\\-,:<>PQEpLdxnius01 é", max_size=14))
def test_verdicts_on_punctuation(lab: SimpleNamespace, pattern: str) -> None:
    """A string of syntax characters is accepted exactly when google-re2 accepts it."""
    if "x" not in pattern:
        check_verdict(lab, pattern)


@settings(max_examples=examples(800), deadline=None)
@given(rng=randoms)
def test_same_matches(lab: SimpleNamespace, rng: random.Random) -> None:
    """The canonical pattern finds the spans and groups of the original and keeps its group
    names.
    """
    check_same_matches(lab, lab.random_pattern(rng), [lab.random_haystack(rng) for _ in range(4)])


@settings(max_examples=examples(500), deadline=None)
@given(rng=randoms)
def test_facts(lab: SimpleNamespace, rng: random.Random) -> None:
    """Every match keeps to the widths, edge bytes and factors of the analysis, and is one of the
    tree's.
    """
    check_facts(lab, lab.random_pattern(rng, depth=3), lab.random_haystack(rng))


def test_hyperscan_ends(lab: SimpleNamespace) -> None:
    """Hyperscan, given the PCRE form, reports exactly the ends of the tree's matches."""
    rng = random.Random(20)
    accepted = [
        check_hyperscan(
            lab, lab.random_pattern(rng, depth=2), [lab.random_haystack(rng) for _ in range(3)]
        )
        for _ in range(400)
    ]
    assert sum(accepted) > 200


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(8))
def test_many_cases(lab: SimpleNamespace, seed: int) -> None:
    """Over a hundred thousand cases a run: verdicts, matches, facts and Hyperscan's ends all
    agree.
    """
    rng = random.Random(seed)
    for i in range(15_000):
        check_verdict(lab, lab.random_pattern(rng, broken=True))
        pattern = lab.random_pattern(rng, depth=rng.randrange(1, 6))
        haystacks = [lab.random_haystack(rng) for _ in range(3)]
        check_same_matches(lab, pattern, haystacks)
        check_facts(lab, pattern, haystacks[0])
        if i % 10 == 0:
            check_hyperscan(lab, pattern, haystacks)
