"""Matches by the shapes of lines are those of google-re2's chain, whatever the lines are."""

from __future__ import annotations

import random

import pytest
from generate import patterns
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import chain, compiled, is_unbounded

from vyre_dist import RulePack, Scanner
from vyre_dist import regex as rx
from vyre_dist.extract import DROPPED, RuleMatcher, secret_screen
from vyre_dist.extract import line_shapes as module
from vyre_dist.extract.line_shapes import LineShapes
from vyre_dist.extract.secret_screen import SecretScreen
from vyre_dist.extract.too_long import UncappedChain
from vyre_dist.extract.window import Window, whole
from vyre_dist.regex.alike import representatives
from vyre_dist.rules.byte_filters import ByteFilter
from vyre_dist.rules.filters import pick_secret
from vyre_dist.rules.finder import Finder
from vyre_dist.rules.model import Allowlist, PackData, Rule


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few lines, alike or not, are worth it."""
    monkeypatch.setattr(module, "_LEAST_LINES", 1)
    monkeypatch.setattr(module, "_FEW_OTHERS", 1 << 20)
    monkeypatch.setattr(secret_screen, "_FEW_SECRETS", 1)
    monkeypatch.setattr(module, "_LINES_OF_A_SHAPE", 0)


def matcher_of(pattern: str, cap: int = 1 << 16) -> RuleMatcher:
    parsed = rx.parse(pattern)
    return RuleMatcher(
        rx.to_re2(parsed),
        rx.max_width(parsed.root),
        cap,
        captures_matter=rx.captures_matter(parsed.root),
    )


LINES = st.lists(st.text("ab01_ -\n", max_size=8).map(str.encode), min_size=2, max_size=12)


@settings(max_examples=examples(600))
@given(
    pattern=patterns(),
    lines=LINES,
    cap=st.integers(1, 12),
    low=st.integers(0, 30),
    owned=st.integers(0, 60),
    between=st.sampled_from([b"\n", b"\n", b",", b"-"]),
)
@example(pattern="(a)", lines=[b"a", b"a", b"a"], cap=9, low=0, owned=60, between=b"\n")
@example(pattern="(a)", lines=[b"a", b"a", b"a"], cap=9, low=0, owned=60, between=b",")
@example(pattern="a(?s:.)*b", lines=[b"a", b"a", b"b", b"a"], cap=9, low=0, owned=60, between=b"\n")
def test_the_chain_is_google_re2s(
    pattern: str, lines: list[bytes], cap: int, low: int, owned: int, between: bytes
) -> None:
    """In whole documents and in pieces of them, with the groups that come along."""
    matcher = matcher_of(pattern, cap)
    shapes = LineShapes(matcher)
    data = between.join(lines)
    text = whole(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BREAKS", (between,))
        found = shapes.search(text)
    assume(found is not None)
    assert found is not None
    expected = chain(pattern, data, cap)
    assert [row[:2] for row in found.found if row[2] != DROPPED] == [m.span() for m in expected]
    assert found.matches == len(found.found)
    for match in expected:
        assert found.groups.get(match.start(), match.groups()) == match.groups()
    if is_unbounded(pattern):
        longer = sum(m.end() - m.start() > cap for m in chain(pattern, data, len(data)))
        counted = UncappedChain(matcher, lambda start, end: data[start:end], len(data))
        marks = [row[:2] for row in found.found if row[2] == DROPPED]
        matches = [row[:2] for row in found.found if row[2] != DROPPED]
        assert counted.too_long(matches, marks) == longer
    lo = min(low, len(data))
    hi = min(lo + owned, len(data))
    piece = Window(data, 0, lo, hi, hi == len(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BREAKS", (between,))
        found = shapes.search(piece)
    if found is not None:
        own = [row[:2] for row in found.found if row[2] != DROPPED]
        assert own == [row[:2] for row in matcher.iter_matches(piece) if row[2] != DROPPED]


@settings(max_examples=examples(300))
@given(pattern=patterns(), text=st.binary(max_size=20), other=st.binary(max_size=20))
def test_alike_bytes_match_alike(pattern: str, text: bytes, other: bytes) -> None:
    """A text and what the table makes of it have the same matches, with the same groups."""
    table = representatives(rx.parse(pattern).root)
    assert table.translate(table) == table and table[10] == 10
    for data in (text, other, text + b"\n" + other):
        spans = [
            [[m.span(g) for g in range(regexp.groups + 1)] for m in regexp.finditer(read)]
            for regexp in [compiled(pattern)]
            for read in (data, data.translate(table))
        ]
        assert spans[0] == spans[1]


@given(
    lines=st.lists(st.integers(0, 999_999), min_size=4, max_size=60),
    too_few=st.integers(-1, 6),
    dull=st.sampled_from([0, 0x3FF << 48]),
    group=st.integers(0, 2),
)
def test_what_the_byte_filter_drops_is_left_out(
    lines: list[int], too_few: int, dull: int, group: int
) -> None:
    """Of whole documents exactly the matches that it drops are left out; of pieces none is."""
    drops = ByteFilter(group, too_few, dull)
    rule = Rule("r", "x", secret_group=group)
    pattern = r"k=(\d*)-?(x[0-9]+)?;"
    shapes = LineShapes(matcher_of(pattern), SecretScreen(drops))
    data = b"".join(b"k=%d;\n%sk=x%d;\n" % (n, b"-" * (n % 3), n) for n in lines)
    expected = list(compiled(pattern).finditer(data))
    found = shapes.search(whole(data))
    assert found is not None
    kept = [m for m in expected if not drops.drops(pick_secret(rule, m.group(), m.groups()))]
    own = {m.start() for m in expected}
    assert {m.start() for m in kept} <= {row[0] for row in found.found} <= own
    # the lines at both ends are searched alone, and judged later
    assert len(found.found) <= len(kept) + 4
    piece = shapes.search(Window(data, 0, 0, len(data) - 1, False))
    assert piece is not None and piece.matches == len(expected)
    assert [row[:2] for row in piece.found] == [m.span() for m in expected]


@pytest.mark.parametrize("between", [b"\n", b","])
def test_lines_of_one_shape_are_searched_once(
    monkeypatch: pytest.MonkeyPatch, between: bytes
) -> None:
    """Of twenty thousand lines google-re2 searches one of each shape, and a few more; so it does
    where all are one line, and where an allowlist has to see the secrets.
    """
    for name, value in (("_LEAST_LINES", 256), ("_LINES_OF_A_SHAPE", 16), ("_FEW_OTHERS", 16)):
        monkeypatch.setattr(module, name, value)
    rules = (
        Rule("setting", r"(?i)\w+_key=(\w{6,40})[\s,]", entropy=3.5, keywords=("key",)),
        Rule("option", r"\w+_key=(\w+)[\s,]", allowlists=(Allowlist(stopwords=("Alu",)),)),
        Rule("row", r"row ([0-9]+)\b", allowlists=(Allowlist(stopwords=("7",)),)),
    )
    scanner = Scanner(PackData("p", rules))
    text = b"".join(b"SERVICE_%d_KEY=value_%d\n" % (n, n) for n in range(20_000))
    text += b"".join(b"row %d\n" % n for n in range(500))
    text = text.replace(b"\n", between)
    calls = []
    for method in ("search", "match"):
        original = getattr(Finder, method)

        def counted(self: Finder, *args: object, original=original) -> object:  # type: ignore[no-untyped-def]
            calls.append(args[1:])
            return original(self, *args)

        monkeypatch.setattr(Finder, method, counted)
    found = scanner.scan(text)
    assert [f.secret for f in found] == [b"%d" % n for n in range(500) if b"7" not in b"%d" % n]
    assert len(calls) < 4000
    calls.clear()  # a text that is like the last one is taken to be so from the beginning
    assert scanner.scan(text) == found
    assert len(calls) < 1000


def test_text_of_unlike_lines_is_left_to_others() -> None:
    """Lines of random letters have too many shapes; such text is looked at less and less often."""
    rng = random.Random(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_LINES_OF_A_SHAPE", 16)
        shapes = LineShapes(matcher_of("a(b+)c"))
        data = b"\n".join(bytes(rng.choices(b"abcd", k=20)) for _ in range(2000))
        tries = 0
        for _ in range(200):
            before = shapes._skipped
            assert shapes.search(whole(data)) is None
            tries += shapes._skipped <= before
    assert 4 < tries < 12
    assert is_unbounded("a(b+)c")


@pytest.mark.parametrize("mixed", [False, True])
def test_text_that_is_alike_at_its_beginning_only_is_not_tried(
    mixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at few places tells: with all of the text it takes seconds to find out."""
    for name, value in (("_LEAST_LINES", 256), ("_LINES_OF_A_SHAPE", 16), ("_FEW_OTHERS", 16)):
        monkeypatch.setattr(module, name, value)
    alike = b"".join(b"#define REGISTER_%05d 0x%04x\n" % (i, i) for i in range(8_000))
    words = (b"if", b"while", b"return", b"static", b"struct", b"unsigned", b"else", b"goto")
    rng = random.Random(1)
    other = b"".join(b" ".join(rng.choices(words, k=9)) + b"\n" for _ in range(20_000))
    shapes = LineShapes(matcher_of("(REGISTER|goto)_?[0-9]*"))
    tried: list[int] = []
    search = LineShapes._search

    def counted(self: LineShapes, window: Window, data: bytes) -> module.ShapedMatches | None:
        tried.append(len(data))
        return search(self, window, data)

    monkeypatch.setattr(LineShapes, "_search", counted)
    text = alike + other if mixed else 4 * alike
    found = shapes.search(whole(text))
    assert tried == ([] if mixed else [len(text)])
    assert (found is None) is mixed


@pytest.mark.parametrize("apart", [2, 40])
def test_few_matches_are_not_worth_a_look_at_all_lines(
    apart: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However alike they are."""
    for name, value in (("_LEAST_LINES", 256), ("_LINES_OF_A_SHAPE", 16), ("_FEW_OTHERS", 16)):
        monkeypatch.setattr(module, name, value)
    looked: list[int] = []
    search = LineShapes.search

    def counted(self: LineShapes, window: Window) -> module.ShapedMatches | None:
        looked.append(len(window.data))
        return search(self, window)

    monkeypatch.setattr(LineShapes, "search", counted)
    lines = [b"#define REGISTER_%06d 0x%04x\n" % (i, i % 4096) for i in range(600 * apart)]
    lines[::apart] = [b"#define SECRET_%06d = 0x%04x\n" % (i, i % 4096) for i in range(600)]
    scanner = Scanner(RulePack.from_patterns({"secret": r"SECRET_(\d+) = 0x[0-9a-f]+"}))
    found = scanner.scan(b"".join(lines))
    assert len(found) == 600
    assert bool(looked) is (apart == 2)
