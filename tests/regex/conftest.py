"""What the regex tests share: random patterns and haystacks, google-re2 and Hyperscan, and a slow
matcher.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import re2

from vyre_dist.regex import Alternate, Assertion, AssertionKind, CharClass, Concat, Node, Repeat

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")

ATOM_TEXT = r"""
    a b c ab abc B _ 1 - # . ^ $ \b \B \A \z \C é \xe9 [à-é] a|b |
    [ab] [^a] [a-c1-3] []a] [^]a] [a-] [-a] [a^] [\d_] [^\W\n] [\x00-\x7f] [^\x00-\xff] [\]\[] [\n-b]
    [[:alpha:]] [^[:^digit:]x] [[:word:]-] [\pL1] [^\P{Lu}] [a[:b]
    \d \D \w \W \s \S \pL \PL \p{Lu} \P{^Nd} \p{Greek} \p{^Han}
    \n \t \x61 \x{62} \141 \0 \012 \. \- \_ \Qa.b\E \Q\E { } {,2} a{01} x{,5} , :
    (?i) (?s) (?m) (?U) (?-i) (?ms-U) (?) () (?:) (|a) (a|)
"""
ATOMS = [*ATOM_TEXT.split(), " ", "\\ "]

# Half of the patterns keep to these, so that most of them match, in many ways, in the haystacks.
DENSE_TEXT = r"a b c ab . [ab] [^a] \w \b $ ^ (?m) (?s) (?U) x [^\n] |"
DENSE = [*DENSE_TEXT.split(), ""]

BROKEN_TEXT = r"""
    ( ) [ ] * + ? {1} {2,1} \ \8 \1 \xg \x{110} \400 \p \pX \p{ \p{greek} [[:foo:]] [z-a] [a [\b] [a--] [] [^]
    (? (?P< (?P<a-b>x) (?<>x) (?=a) (?q) (?i (?: (?-) (?<n (?x a** a{2}{3} a+?+ \Q \Z \q
"""
BROKEN = BROKEN_TEXT.split()
OPERATOR_TEXT = "* + ? *? +? ?? {0} {1} {2} {0,1} {1,3} {2,} {0,}? {1,2}? {3}?"
OPERATORS = OPERATOR_TEXT.split()
GROUP_TEXT = "( ( (?: (?: (?i: (?s: (?m: (?U: (?-s: (?P<{}> (?<{}>"
GROUPS = GROUP_TEXT.split()
HAYSTACK = [
    b"a",
    b"b",
    b"c",
    b"ab",
    b"abc",
    b"B",
    b" ",
    b"_",
    b"1",
    b"-",
    b"\n",
    b"x",
    b".",
    b"\xc3\xa9",
    b"\xe9",
]


def random_pattern(rng: random.Random, *, depth: int = 4, broken: bool = False) -> str:
    """A pattern from a grammar of RE2's syntax; with `broken`, sprinkled with pieces that are often
    errors.
    """

    atoms = ATOMS if broken or rng.random() < 0.5 else DENSE

    def sequence(level: int) -> str:
        return "".join(piece(level) for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 4))))

    def piece(level: int) -> str:
        if broken and rng.random() < 0.08:
            text = rng.choice(BROKEN)
        elif level > 0 and rng.random() < 0.35:
            head = rng.choice(GROUPS).format(f"n{rng.randrange(1000)}")
            text = (
                head + "|".join(sequence(level - 1) for _ in range(rng.choice((1, 1, 2, 3)))) + ")"
            )
        else:
            text = rng.choice(atoms)
        if text and rng.random() < 0.35:
            text += rng.choice(OPERATORS)
        return text

    text = "|".join(sequence(depth) for _ in range(rng.choice((1, 1, 1, 2))))
    if broken and text and rng.random() < 0.3:
        at = rng.randrange(len(text))
        text = text[:at] + text[at + rng.randrange(1, 3) :]
    return text


def random_haystack(rng: random.Random) -> bytes:
    """A few bytes that the random patterns care about."""
    return b"".join(rng.choice(HAYSTACK) for _ in range(rng.randrange(12)))


def re2_compile(pattern: bytes) -> object | None:
    """The pattern compiled by google-re2 over Latin-1, or None where it refuses."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = 1 << 30
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None


def spans(compiled: object, haystack: bytes) -> list[list[tuple[int, int]]]:
    """Every match as the spans of group 0 and up."""
    found = compiled.finditer(haystack)  # type: ignore[attr-defined]
    return [[match.span(i) for i in range(compiled.groups + 1)] for match in found]  # type: ignore[attr-defined]


def hyperscan_database(pattern: bytes) -> Any:
    """The pattern compiled by Hyperscan, empty matches allowed; raises hyperscan.error where it
    refuses.

    Skips the test where Hyperscan is not installed.
    """
    hyperscan = pytest.importorskip("hyperscan")
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[pattern], ids=[0], elements=1, flags=[hyperscan.HS_FLAG_ALLOWEMPTY]
    )
    return database


def hyperscan_ends(database: Any, haystack: bytes) -> set[int]:
    """Where matches end, as Hyperscan reports them."""
    ends: set[int] = set()

    def note(_id: int, _from: int, to: int, _flags: int, _context: object) -> None:
        ends.add(to)

    database.scan(haystack, match_event_handler=note)
    return ends


def match_ends(node: Node, text: bytes, starts: set[int]) -> set[int]:
    """All ends of all matches that begin at one of `starts`, straight from the tree, with no
    engine.
    """
    match node:
        case CharClass(mask=mask):
            return {i + 1 for i in starts if i < len(text) and mask >> text[i] & 1}
        case Assertion(kind=kind):
            return {i for i in starts if holds(kind, text, i)}
        case Alternate(nodes=branches):
            return set().union(*(match_ends(branch, text, starts) for branch in branches))
        case Concat(nodes=parts):
            for part in parts:
                starts = match_ends(part, text, starts)
            return starts
        case Repeat(node=inner, min=low, max=high):
            for _ in range(low):
                starts = match_ends(inner, text, starts)
            reached, frontier = set(starts), starts
            for _ in range(len(text) + 1 if high is None else high - low):
                frontier = match_ends(inner, text, frontier)
                reached |= frontier
            return reached
    return match_ends(node.children[0], text, starts) if node.children else starts


def holds(kind: AssertionKind, text: bytes, i: int) -> bool:
    """Whether an assertion holds at offset i."""
    boundary = (i > 0 and text[i - 1] in WORD) != (i < len(text) and text[i] in WORD)
    return {
        AssertionKind.BEGIN_TEXT: i == 0,
        AssertionKind.END_TEXT: i == len(text),
        AssertionKind.BEGIN_LINE: i == 0 or text[i - 1] == 10,
        AssertionKind.END_LINE: i == len(text) or text[i] == 10,
        AssertionKind.WORD_BOUNDARY: boundary,
        AssertionKind.NOT_WORD_BOUNDARY: not boundary,
    }[kind]


@pytest.fixture(scope="session")
def lab() -> SimpleNamespace:
    """The helpers of this file, for tests in files that cannot import it."""
    return SimpleNamespace(
        random_pattern=random_pattern,
        random_haystack=random_haystack,
        re2_compile=re2_compile,
        spans=spans,
        hyperscan_database=hyperscan_database,
        hyperscan_ends=hyperscan_ends,
        match_ends=match_ends,
    )


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Finds third-party test data by name; skips the test where it is absent."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"third-party test data is absent: {name}")
        return path

    return find
