"""The printers, and the rewriting of repeats that RE2 cannot count."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples

from vyre_dist.regex import (
    ANY_BYTE,
    Alternate,
    CharClass,
    Concat,
    RepeatRewriteError,
    charclass,
    concat,
    fit_repeats,
    literal,
    parse,
    strip_captures,
    to_pcre,
    to_re2,
)
from vyre_dist.regex.repeats import is_unambiguous

# Pattern with repeats beyond RE2's limits -> what RE2 is given.
REWRITTEN = {
    "x{1500}": rb"x{500}x{1000}",
    "x{2000}": rb"x{1000}x{1000}",
    "x{1001}": rb"xx{1000}",
    "x{1500,}": rb"x{500}x{1000,}",
    "x{1000,1024}": rb"x{24}x{976,1000}",
    "x{0,2400}": rb"x{1000}x{1000}x{48}x{0,352}|(?:x{1000}x{24})?(?:x{512})?x{0,511}",
    "x{5,2400}?": rb"x{5}(?:(?:x{1000}x{24})??(?:x{512})??x{0,511}?|x{1000}x{1000}x{48}x{0,347}?)",
    "(x){1500}": rb"x{500}(x){1000}",
    "(x{100}){12}": rb"(?:x{100}){2}(x{100}){10}",
    "(x){0,1500}": rb"(?:(?:x{1000}x{24}x{0,475}|(?:x{512})?x{0,511})(x))?",
    "(x){2,1500}": rb"x(?:x{1000}x{24}x{0,474}|(?:x{512})?x{0,511})(x)",
    "(?:a|ab){0,1002}?": rb"(?:(?:a|ab)(?:(?:a|ab)(?:a|ab){0,1000}?)??)??",
    "(?:x{1500}y){2}": rb"x{500}x{1000}yx{500}x{1000}y",
}

NO_REWRITE = {
    "(?:(a)|b){1500}": "some copies only",
    "(a?)(?:(b)?c){1500}": "some copies only",
    "(a|ab){0,1500}": "several ways",
    "(?:a|ab){0,1500}?": "several ways",
}

CLASSES = {
    charclass.ALL: rb"(?s:.)",
    charclass.NOT_NEWLINE: rb".",
    0: rb"[^\x00-\xff]",
    charclass.of(b"-"): rb"-",
    charclass.of(b"^]"): rb"[\]\^]",
    charclass.of(b"a-"): rb"[\-a]",
    charclass.of(b"ab"): rb"[ab]",
    charclass.of(b"abc"): rb"[a-c]",
    charclass.WORD | charclass.of(b"-"): rb"[\w\-]",
    charclass.negate(charclass.of(b"\x00\xff")): rb"[^\x00\xff]",
    charclass.of(b"\n\r\t\f\v"): rb"[\t-\r]",
}


@pytest.mark.parametrize(("mask", "text"), CLASSES.items())
def test_class_text(lab: SimpleNamespace, mask: int, text: bytes) -> None:
    """A class prints compactly, and both google-re2 and our parser read its members back."""
    assert to_re2(CharClass(mask)) == to_pcre(CharClass(mask)) == text
    assert parse(text).root == CharClass(mask)
    found = {match.start() for match in lab.re2_compile(text).finditer(bytes(range(256)))}
    assert found == set(charclass.members(mask))


def test_any_class_reads_back(lab: SimpleNamespace) -> None:
    """Random classes survive printing and parsing, and mean the same to RE2 and Hyperscan."""
    rng = random.Random(5)
    every = bytes(range(256))
    for _ in range(200):
        mask = rng.getrandbits(256)
        for _ in range(rng.randrange(4)):
            mask &= rng.getrandbits(256)
        if rng.random() < 0.3:
            mask |= charclass.WORD
        text = to_re2(CharClass(mask))
        assert parse(text).root == CharClass(mask)
        members = set(charclass.members(mask))
        assert {match.start() for match in lab.re2_compile(text).finditer(every)} == members
        if mask:
            ends = lab.hyperscan_ends(lab.hyperscan_database(to_pcre(CharClass(mask))), every)
            assert {end - 1 for end in ends} == members


def test_grouping() -> None:
    """A tree built by hand prints with the groups that keep its shape."""
    a, b = literal(b"a"), literal(b"b|")
    assert to_re2(Concat((a, Alternate((a, b)), Concat((b, ANY_BYTE))))) == rb"a(?:a|b\|)b\|(?s:.)"
    assert to_re2(concat([])) == b""


@pytest.mark.parametrize(("pattern", "rewritten"), REWRITTEN.items())
def test_rewritten(lab: SimpleNamespace, pattern: str, rewritten: bytes) -> None:
    """A repeat beyond RE2's limits is given to RE2 in pieces that it accepts."""
    assert to_re2(parse(pattern)) == rewritten
    assert lab.re2_compile(rewritten) is not None


@pytest.mark.parametrize(("pattern", "reason"), NO_REWRITE.items())
def test_not_rewritten(pattern: str, reason: str) -> None:
    """What cannot be split without changing groups or preferences is refused, saying why; stripped
    it may pass.
    """
    with pytest.raises(RepeatRewriteError, match=reason) as caught:
        to_re2(parse(pattern))
    assert caught.value.limit == 1000
    assert caught.value.maximum == 1500
    if "?" not in pattern[-1]:
        assert to_re2(strip_captures(parse(pattern).root))


def test_large_repeats_count(lab: SimpleNamespace) -> None:
    """Rewritten repeats match exactly as many copies as they say, at both bounds."""
    bounded = lab.re2_compile(to_re2(parse("^(?:ab){1200,2500}$")))
    verdicts = {
        n: bounded.search(b"ab" * n) is not None for n in (1199, 1200, 1201, 2499, 2500, 2501)
    }
    assert verdicts == {1199: False, 1200: True, 1201: True, 2499: True, 2500: True, 2501: False}
    nested = lab.re2_compile(to_re2(parse(r"((\d{50},){40};)")))
    text = (b"7" * 50 + b",") * 40 + b";"
    assert lab.spans(nested, text) == [[(0, 2041), (0, 2041), (1989, 2040)]]


AMBIGUITY = {
    "abc": True,
    "[ab]{3}": True,
    "a|bc|d": True,
    "a|ab": False,
    "a|": False,
    "a?": False,
    "a?b": True,
    "[a-z]+,": True,
    "[a-z]+a": False,
    "(?:a+b)*c": True,
    "(a?b?)c": False,
    "([a-z]*,|-){2}": True,
    r"\b": True,
}


@pytest.mark.parametrize(("pattern", "expected"), AMBIGUITY.items())
def test_ambiguity(pattern: str, expected: bool) -> None:
    """A node is unambiguous where the next byte always decides what to do."""
    assert is_unambiguous(parse(pattern).root) == expected


PARTS = [
    "a",
    "b",
    "ab",
    "[ab]",
    "(a)",
    "(a|b)",
    "(a|ab)",
    "(?:a|ab|b)",
    "(ab?c)",
    "(?:a|bc)",
    "a?",
    "(a?)",
    "x",
]
PARTS += ["(?:a{2}b)", "([ab]*c)", "(a+b)", "(?:b|a{1,3}c)", "(?:|a)", r"\b", "(?:(a)|b)"]
COUNTS = [
    "{0,7}",
    "{3,9}",
    "{5}",
    "{4,}",
    "{2,8}?",
    "{0,7}?",
    "{1,9}",
    "{6,}?",
    "{3,4}",
    "*",
    "+?",
    "?",
]


def counted_pattern(rng: random.Random, depth: int) -> str:
    text = ""
    for _ in range(rng.choice((1, 1, 2, 3))):
        nested = depth > 0 and rng.random() < 0.5
        text += f"(?:{counted_pattern(rng, depth - 1)})" if nested else rng.choice(PARTS)
        if rng.random() < 0.6:
            text += rng.choice(COUNTS)
    return text


@settings(max_examples=examples(800), deadline=None)
@given(rng=st.randoms(use_true_random=False))
def test_rewriting_keeps_every_span(lab: SimpleNamespace, rng: random.Random) -> None:
    """Rewritten under a tiny limit, repeats find the spans and groups that RE2 finds for the
    original.
    """
    pattern = counted_pattern(rng, 2)
    original = lab.re2_compile(pattern.encode())
    if original is None:
        return
    try:
        fitted = fit_repeats(parse(pattern).root, limit=rng.choice((2, 3, 5)))
    except RepeatRewriteError:
        return
    rewritten = lab.re2_compile(to_re2(fitted))
    for _ in range(4):
        text = b"".join(
            rng.choice((b"a", b"b", b"ab", b"c", b"aab", b"abc")) for _ in range(rng.randrange(16))
        )
        assert lab.spans(original, text) == lab.spans(rewritten, text), (
            pattern,
            to_re2(fitted),
            text,
        )


LOOPS_IN_LOOPS = [
    "(?:|a)*",
    "(?:|a)+",
    "(?:|a|b)??",
    "(?:a|)*?",
    "(?:|a){0,}",
    "(?:|a)*(?:)",
    "(?:|a){1,}",
]


@pytest.mark.parametrize("inner", LOOPS_IN_LOOPS)
@pytest.mark.parametrize("outer", ["*", "+", "?", "*?", "{0,}", "{1,}", "{2}", "{1,3}"])
@pytest.mark.parametrize(
    "form", ["(?:{}){}", "(?:{})(?s){}", "(?s:{}){}", "(?U)(?:{}){}", "(?:(?:{}){{1}}){}"]
)
def test_loops_in_loops(lab: SimpleNamespace, inner: str, outer: str, form: str) -> None:
    """RE2 merges some directly nested loops, depending on flags; the canonical pattern is merged
    alike.
    """
    pattern = form.format(inner, outer).encode()
    original, canonical = lab.re2_compile(pattern), lab.re2_compile(to_re2(parse(pattern)))
    for text in (b"", b"a", b"aab", b"baa"):
        assert lab.spans(original, text) == lab.spans(canonical, text), (
            pattern,
            to_re2(parse(pattern)),
            text,
        )


def test_pcre_line_start_at_the_end_of_text(lab: SimpleNamespace) -> None:
    """Where a line may start at the end of text, and PCRE's `^` does not look, the end of text is
    reported.
    """
    assert to_pcre(parse("(?m)^a")) == rb"(?m:^)a"
    assert to_pcre(parse("(?m)(?:^|x)*a")) == rb"(?:(?m:^)|x)*a"
    assert to_pcre(parse("(?m)^a?$")) == rb"(?m:^)a?(?m:$)|\z"
    database = lab.hyperscan_database(to_pcre(parse("(?m)^a?$")))
    assert lab.hyperscan_ends(database, b"a\n\n") == {1, 2, 3}


def test_pcre_has_no_groups_and_no_zero_repeats(lab: SimpleNamespace) -> None:
    """Groups are dropped, and {0}, which Hyperscan refuses, becomes an empty group."""
    assert to_pcre(parse("(a)(?P<n>b|c){0}(d)+")) == rb"a(?:)d+"
    assert lab.hyperscan_ends(lab.hyperscan_database(to_pcre(parse("(a)(b){0}"))), b"ba") == {2}
