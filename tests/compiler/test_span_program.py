"""Span programs give google-re2's spans and groups, from wherever the search begins."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
import re2
import span_executor
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples
from span_executor import FoundSpan, find_span

from vyre_dist.compiler.span_program import MAX_GROUPS, compile_span_program
from vyre_dist.regex import parse
from vyre_dist.rules.search import compile_pattern

randoms = st.randoms(use_true_random=False)


def by_re2(pattern: bytes, text: bytes, position: int, back: int) -> FoundSpan | None:
    """What find_span has to give, searched for with google-re2 from match to match."""
    regexp = compile_pattern(pattern, captures=True).regexp
    pos, first = max(0, position - back), None
    while True:
        found = regexp.search(text, pos)
        if found is None or found.start() > position:
            return None
        first = found.start() if first is None else first
        if found.end() > position:
            slots = [edge for group in range(1, regexp.groups + 1) for edge in found.span(group)]
            return FoundSpan(first, *found.span(), tuple(slots))
        pos = found.end()


def check(pattern: str, text: bytes, back: int) -> int:
    """Compare at every position; how many positions were in a match."""
    program = compile_span_program(parse(pattern).root)
    if program is None:
        return 0
    hits = 0
    for position in range(len(text)):
        want = by_re2(pattern.encode("latin-1"), text, position, back)
        got = find_span(program, text, position, back, len(text) + 1)
        if want is not None:
            want = want._replace(slots=want.slots[: 2 * program.groups])
        assert got == want, (pattern, text, position, back)
        hits += want is not None
    return hits


@settings(max_examples=examples(600), deadline=None)
@given(rng=randoms)
def test_random_patterns(lab: SimpleNamespace, rng: random.Random) -> None:
    """Random patterns and haystacks, every position, with little and with much before it."""
    pattern = lab.random_pattern(rng)
    if lab.parse_or_none(pattern) is None:
        return
    try:
        pattern.encode("latin-1")
        re2.compile(pattern)
    except (UnicodeEncodeError, re2.error):
        return
    check(pattern, lab.random_haystack(rng)[:60], rng.choice([0, 1, 3, 100]))


PATTERNS = [
    r"(?i)[\w.-]{0,9}?(?:key|token)[ "
    r"\t\w.-]{0,5}[\s']{0,3}(?:=|:=)['\s=]{0,2}([\w.=-]{3,9}|[a-z0-9]{4,}={0,3})(?:['\s;]|$)",
    r"(a|ab)(c|bcd)(d*)",
    r"(?:(a)|b)+",
    r"(?:(a)|(b)|c){2,5}",
    r"(a+?)(a{1,3})(a*?)b?",
    r"x(\d{2,4}?)(\d*)y?",
    r"\b(\w+)\b[^\w]+",
    r"(?m)^(a*)b$",
    r"a[\s\S]*?b|c",
    r"(?s:.)\z",
    r"[^\x00-\x7f]a",
    r"a(?:b*){0}(b|c*?d)",
]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("back", [0, 1, 7, 1000])
def test_preferences(pattern: str, back: int) -> None:
    """What greedy and lazy repeats, branches and groups prefer, over texts of what the patterns are
    made of.
    """
    rng = random.Random(3)
    pieces = [
        *"abcdxyAB01 \n';=:._-",
        "key",
        "token",
        "my.key = 'abcdef'",
        "aab",
        "\xe9a",
        "x0110y",
    ]
    pieces += ["\naab\n", "abcd", ":="]
    hits = 0
    for _ in range(40):
        text = "".join(rng.choice(pieces) for _ in range(rng.randrange(40))).encode("latin-1")
        hits += check(pattern, text, back)
    assert hits > 10


@pytest.mark.parametrize(
    "pattern",
    ["(?:a*)*", "a*", "(?:a|b?)+", "(?:^|a){2}b", "(a)(a)(a)(a)", "a{900}b{900}c{900}" * 4, r"\b"],
)
def test_left_to_the_host(pattern: str) -> None:
    """What can be empty, repeats what can be, has many groups or many instructions, has no
    program.
    """
    assert compile_span_program(parse(pattern).root) is None
    assert MAX_GROUPS == 3


def test_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies too far ahead, or takes too long or too deep a stack, is given up and not
    guessed.
    """
    program = compile_span_program(parse(r"a[^b]*b").root)
    assert program is not None
    text = b"..a" + b"x" * 300 + b"b"
    found = FoundSpan(2, 2, len(text), ())
    assert find_span(program, text, 2, 5, 400) == found  # further than the first look goes
    assert find_span(program, text, 2, 5, 302) == found
    assert find_span(program, text, 2, 5, 301) is None
    assert find_span(program, text[:-1], 2, 5, 400) is None
    monkeypatch.setattr(span_executor, "SEARCH_DEPTH", 200)
    assert find_span(program, text, 2, 5, 400) is None
    monkeypatch.setattr(span_executor, "SEARCH_DEPTH", 2048)
    monkeypatch.setattr(span_executor, "SEARCH_STEPS", 200)
    assert find_span(program, text, 2, 5, 400) is None
