"""Matches that are found with their groups by one search each are those of google-re2's chain."""

from __future__ import annotations

import re

import pytest
from generate import haystacks, patterns
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import chain, is_unbounded

from vyre_dist import Scanner
from vyre_dist import regex as rx
from vyre_dist.extract import DROPPED, RuleMatcher, dense, match_shapes, secret_screen
from vyre_dist.extract import matcher as matcher_module
from vyre_dist.extract.dense import dense_matches
from vyre_dist.extract.lookbehind import Lookbehind
from vyre_dist.extract.secret_screen import SecretScreen
from vyre_dist.extract.window import Window, whole
from vyre_dist.rules.byte_filters import ByteFilter, byte_filters_of
from vyre_dist.rules.filters import CompiledFilters, pick_secret
from vyre_dist.rules.finder import Finder
from vyre_dist.rules.model import Allowlist, PackData, Rule
from vyre_dist.rules.search import Re2Pattern


def matcher_of(pattern: str, cap: int = 1 << 16) -> RuleMatcher:
    parsed = rx.parse(pattern)
    matcher = RuleMatcher(
        rx.to_re2(parsed),
        rx.max_width(parsed.root),
        cap,
        captures_matter=rx.captures_matter(parsed.root),
    )
    if is_unbounded(pattern):
        matcher.lookbehind = Lookbehind.of(matcher.pattern)
    return matcher


def ends_of(matcher: RuleMatcher, data: bytes) -> list[int]:
    regexp = matcher.regexp
    return [
        end
        for end in range(1, len(data) + 1)
        if any(regexp.fullmatch(data, start, end) for start in range(end))  # type: ignore[attr-defined]
    ]


@settings(max_examples=examples(800))
@given(
    pattern=patterns(),
    data=haystacks(),
    cap=st.integers(1, 12),
    near=st.integers(0, 20),
    wasted=st.sampled_from([0, 1 << 20]),
    low=st.integers(0, 20),
    owned=st.integers(0, 40),
    known=st.booleans(),
    first=st.sampled_from([1, 2, 64]),
)
def test_the_chain_is_google_re2s(
    pattern: str,
    data: bytes,
    cap: int,
    near: int,
    wasted: int,
    low: int,
    owned: int,
    known: bool,
    first: int,
) -> None:
    """In whole documents and in pieces, with ends and without, where google-re2 searches in vain,
    where matches are too long, and where they are taken to be alike.
    """
    matcher = matcher_of(pattern, cap)
    assume(not known or not rx.nullable(rx.parse(pattern).root))
    ends = ends_of(matcher, data) if known else None
    lo = min(low, len(data))
    hi = min(lo + owned, len(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "_NEAR", near)
        patch.setattr(dense, "MOST_WASTED", wasted)
        patch.setattr(dense, "_LOOKED_AT", 1)
        patch.setattr(dense, "_BEFORE", 1)
        patch.setattr(dense, "_FIRST", first)
        patch.setattr(match_shapes, "_OF_A_SHAPE", 0)
        found = dense_matches(matcher, whole(data), ends)
        piece = Window(data, 0, lo, hi, hi == len(data))
        own = dense_matches(matcher, piece, ends)
    expected = chain(pattern, data, cap)
    assert [row[:2] for row in found.found if row[2] != DROPPED] == [m.span() for m in expected]
    assert found.matches == len(found.found)
    for match in expected:
        assert found.groups.get(match.start(), match.groups()) == match.groups()
    assert [row for row in own.found if row[2] != DROPPED] == [
        row for row in matcher.iter_matches(piece) if row[2] != DROPPED
    ]


@given(
    numbers=st.lists(st.integers(0, 9999), max_size=30),
    too_few=st.integers(-1, 5),
    dull=st.sampled_from([0, 0x3FF << 48]),
    group=st.integers(0, 2),
    cap=st.sampled_from([4, 40]),
)
def test_what_the_byte_filter_drops_is_left_out(
    numbers: list[int], too_few: int, dull: int, group: int, cap: int
) -> None:
    """Exactly that; nothing of it where a match is too long, as the count needs all of them."""
    drops = ByteFilter(group, too_few, dull)
    rule = Rule("r", "x", secret_group=group)
    pattern = r"k=(\d*)-?(x[0-9]+)?;"
    data = b"".join(b"k=%d;\n%sk=x%d;\n" % (n, b"-" * (n % 3), n) for n in numbers)
    matcher = matcher_of(pattern, cap)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "_FEW_DROPPED", 1000)
        found = dense_matches(matcher, whole(data), None, drops)
    expected = chain(pattern, data, cap)
    kept = [m for m in expected if not drops.drops(pick_secret(rule, m.group(), m.groups()))]
    own = [row[:2] for row in found.found if row[2] != DROPPED]
    if len(list(re.finditer(pattern.encode(), data))) == len(expected):
        assert own == [m.span() for m in kept]
        assert found.matches == len(expected)
    else:
        assert own == [m.span() for m in expected]
        assert found.matches == len(found.found)


@given(
    names=st.lists(st.text("ab01-", max_size=4).map(str.encode), max_size=40),
    group=st.integers(0, 2),
    cap=st.sampled_from([4, 40]),
    most=st.sampled_from([2, 1000]),
)
def test_what_is_dropped_of_alike_matches_is_dropped_by_the_filters(
    names: list[bytes], group: int, cap: int, most: int
) -> None:
    """And all else is there, with its groups."""
    allowlists = (Allowlist(regexes=("^a0", r"1\b"), stopwords=("Ba",)),)
    rule = Rule("r", r"k=(\w*)-?(b[0-9]+)?;", entropy=1, secret_group=group, allowlists=allowlists)
    assert rule.regex is not None
    pack = PackData("p", (rule,))
    filters = CompiledFilters(pack)
    drops = byte_filters_of(pack)[0]
    data = b"".join(b"k=%b;\n-%bk=%b;" % (name, name, name) for name in names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "_BEFORE", 1)
        patch.setattr(dense, "_FIRST", 1)
        patch.setattr(dense, "_MOST_GROUPS", most)
        patch.setattr(match_shapes, "_OF_A_SHAPE", 0)
        patch.setattr(secret_screen, "_FEW_SECRETS", 1)
        found = dense_matches(
            matcher_of(rule.regex, cap),
            whole(data),
            None,
            drops,
            lambda: SecretScreen(drops, filters.contents[0].secrets),
        )
    expected = {m.span(): m for m in chain(rule.regex, data, cap)}
    own = [row[:2] for row in found.found if row[2] != DROPPED]
    assert own == sorted(own) and expected.keys() >= set(own)
    assert len(found.groups) <= most
    for span, match in expected.items():
        if span in own:
            assert found.groups.get(span[0], match.groups()) == match.groups()
        else:
            assert filters.judge(0, "p", match.group(), match.groups(), bytes) is None


def test_matches_that_are_alike_have_their_groups_found_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two thousand settings among lines that are not alike, and that an allowlist covers, few
    are searched for with groups, and none is listed.
    """
    text = b"".join(
        b"name = %s\n  password = var.password_%d\n" % (b"%x" % (n * 2654435761), n)
        for n in range(1000, 3000)
    )
    with_groups: list[int] = []
    original = Finder.raw_search.fget  # type: ignore[attr-defined]

    def made(self: Finder) -> object:
        search = original(self)

        def counted(data: bytes, pos: int, limit: int) -> object:
            match = search(data, pos, limit)
            if len(match) > 1:
                with_groups.append(pos)
            return match

        return counted

    monkeypatch.setattr(Finder, "raw_search", property(made))
    rule = Rule(
        "r",
        r"(?i)\w{0,9}?password = ([\w.]{9,})\s",
        keywords=("password",),
        allowlists=(Allowlist(regexes=(r"^var\.",)),),
    )
    assert Scanner(PackData("p", (rule,))).scan(text) == []
    assert 0 < len(with_groups) <= 512


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Is given the bytes that each of google-re2's searches may read."""
    reads: list[int] = []
    original = Finder.__init__

    def made(self: Finder, regexp: Re2Pattern) -> None:
        original(self, regexp)
        match = self._match

        def counted(how: object, data: bytes, pos: int, limit: int) -> object:
            reads.append(limit - pos)
            return match(how, data, pos, limit)

        self._match = counted

    monkeypatch.setattr(Finder, "__init__", made)
    return reads


def test_each_match_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand findings take a thousand searches, and one in sixteen a look at its end."""
    reads = counting(monkeypatch)
    text = b"".join(b"user_%d_token: %s\n" % (n, b"%08x" % (n * 2654435761)) for n in range(1000))
    pack = PackData("p", (Rule("r", r"[\w.]{0,20}?token: ([0-9a-f]{8,})\s", keywords=("token",)),))
    scanner = Scanner(pack)
    assert len(scanner.scan(text)) == 1000
    assert 1000 <= len(reads) < 1300


def test_a_rule_that_is_everywhere_is_searched_once_in_the_first_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of which Hyperscan doesn't tell each end, and of which nothing was known before."""
    reads = counting(monkeypatch)
    text = b"".join(b"key=%08x\n" % (n * 2654435761 % 2**32) for n in range(8000))
    scanner = Scanner(PackData("p", (Rule("r", "feadc|key=([0-9a-f]+)", keywords=("key",)),)))
    assert len(scanner.scan(text)) == 8000
    assert 8000 <= len(reads) < 10_000


def test_a_tail_that_is_missing_is_not_searched_for_from_every_match(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where each search reads all of the rest in vain, another way is taken soon."""
    reads = counting(monkeypatch)
    matcher = matcher_of(r"a(b)(?:[^!]*!)?", 1 << 30)
    text = (b"ab" + b"." * 38) * 5000
    monkeypatch.setattr(dense, "MOST_WASTED", 100 * len(text))
    monkeypatch.setattr(matcher_module, "MOST_WASTED", 0)
    found = dense_matches(matcher, whole(text))
    assert [row[:2] for row in found.found] == [(at, at + 2) for at in range(0, len(text), 40)]
    assert sum(reads) < 1000 * len(text)
