"""Widths, edges, sizes and factors of single patterns."""

from __future__ import annotations

import itertools
import pickle
import random

import pytest
import re2
from tree_facts import assertion_kinds, has_assertions, node_count

from vyre_dist.regex import (
    EMPTY,
    NO_MATCH,
    AssertionKind,
    CharClass,
    Concat,
    FactorSet,
    Repeat,
    alternate,
    byte_cost,
    capture_count,
    captures_matter,
    charclass,
    concat,
    factors,
    first_bytes,
    fold,
    last_bytes,
    literal,
    max_width,
    min_width,
    never_matches,
    nullable,
    parse,
    position_count,
    strip_captures,
    to_re2,
)

# Pattern -> minimum and maximum width, nullable, first bytes, last bytes, positions.
FACTS = {
    "": (0, 0, True, "", "", 0),
    "abc": (3, 3, False, "a", "c", 3),
    "a|bcd": (1, 3, False, "a|b", "a|d", 4),
    "a?b*": (0, None, True, "a|b", "a|b", 2),
    "(a{2,5}b)+": (3, None, False, "a", "b", 6),
    "(?:a|){3}c": (1, 4, False, "a|c", "c", 4),
    r"\bx$": (1, 1, False, "x", "x", 1),
    "(?:^)*": (0, 0, True, "", "", 0),
    "a{0}b{4,}": (4, None, False, "b", "b", 4),
    "(?i)[x-z]?k": (1, 2, False, "[XYZxyzKk]", "[Kk]", 2),
    "(?:ab){1000}": (2000, 2000, False, "a", "b", 2000),
}


@pytest.mark.parametrize(("pattern", "facts"), FACTS.items())
def test_facts(pattern: str, facts: tuple[int, int | None, bool, str, str, int]) -> None:
    """The analysis of a pattern gives the table's values."""
    root = parse(pattern).root
    low, high, empty, first, last, positions = facts
    assert (min_width(root), max_width(root), nullable(root)) == (low, high, empty)
    assert first_bytes(root) == (first_bytes(parse(first).root) if first else 0)
    assert last_bytes(root) == (last_bytes(parse(last).root) if last else 0)
    assert position_count(root) == positions


def test_what_a_tree_contains() -> None:
    """Assertions, groups and nodes are counted, and groups can be stripped."""
    root = parse(r"(?m)(a)^(?:\b(b)|$)*").root
    kinds = {AssertionKind.BEGIN_LINE, AssertionKind.WORD_BOUNDARY, AssertionKind.END_LINE}
    assert assertion_kinds(root) == kinds
    assert has_assertions(root)
    assert not has_assertions(parse("a.b").root)
    assert (capture_count(root), node_count(root)) == (2, 11)
    assert strip_captures(root) == parse(r"(?m)a^(?:\bb|$)*").root
    assert strip_captures(parse("(a(?P<n>(b)c))").root) == literal(b"abc")
    assert strip_captures(parse("()a").root) == literal(b"a")


def test_empty_classes_never_match() -> None:
    """An empty class poisons what needs it and nothing else, and needs no factors."""
    never = {
        r"a\P{Any}": True,
        r"a|\P{Any}": False,
        r"\P{Any}*": False,
        r"\P{Any}+": True,
        "": False,
    }
    assert {p: never_matches(parse(p).root) for p in never} == never
    assert factors(parse(r"ab\P{Any}").root) == FactorSet((), 0.0)
    assert factors(parse(r"ab|\P{Any}").root) == factors(parse("ab").root)


# with bytes of three kinds: a word byte, a newline, another
SMALL = [bytes(text) for size in range(6) for text in itertools.product(b"a\n ", repeat=size)]


@pytest.mark.parametrize("pattern", [
    r"a\Aa", r"a^a", r"(?m)a^a", r"(?m)\n^a", r"a$a", r"(?m)a$\n", r"(?m)a$a", r"\b\B", r"a\ba", r"a\b a",
    r"a\B a", r"(?:a\b)+a", r"(?:a\b)*a", r"(?:a\b){2}", r"(?:a\b ){2}", r"(?:\Aa){2}", r"(?:\Aa){1,2}",
    r"\z\A", r"\z.\A", r"(?m)^\n^\n^$", r"(?m)$a^", r"\B", r"a[^\x00-\x{ff}]|\Ba\B", r"(?:|a)\b\B(?:|a)",
    r"(?:a|\n){3}\b\b\B", r"(?m)(?:$\n){3}\ba", r"(?:a$)*", r"(?m)a(?:$|\b)a", r"(?s).{5}\Aa",
])  # fmt: skip
def test_what_never_matches_is_what_no_text_has(pattern: str) -> None:
    """google-re2, given every text of at most five bytes of three kinds, finds a match of exactly
    the others.
    """
    root = parse(pattern).root
    compiled = re2.compile(to_re2(root).decode("latin-1"))
    found = any(compiled.search(text.decode()) for text in SMALL)
    assert never_matches(root) == (not found)


def text_of(found: FactorSet | None) -> set[bytes] | None:
    return (
        None
        if found is None
        else {to_re2(concat(map(CharClass, factor))) for factor in found.factors}
    )


# Pattern, factor width -> the factors.
FACTORS = {
    ("", 4): None,
    ("a*", 4): None,
    ("a|b?", 4): None,
    ("a", 4): {b"a"},
    ("abc", 4): {b"abc"},
    ("e e zqx e", 3): {b"zqx"},
    ("(foo|bar)(?:baz)?", 8): {b"foo", b"bar"},
    ("[a-z]{0,20}KEY[0-9]+", 4): {rb"KEY\d"},
    ("(?i)sk_[ab]{2}", 4): {rb"[Ss][Kk]_[ABab]"},
    ("(a|b)c", 4): {b"[ab]c"},
    ("x?yz", 4): {b"yz", b"xyz"},
    (r"\bAKIA[A-Z]{16}\b", 6): {b"AKIA[A-Z][A-Z]"},
    (r"(?:QX){3,}", 8): {b"QXQXQX"},
    (r"a(?:bc|de)f", 4): {b"abcf", b"adef"},
    (r"\s*(?:QZ|[a-z]+JX)\s*", 4): {b"QZ", b"[a-z]JX"},
}


@pytest.mark.parametrize(("query", "expected"), FACTORS.items())
def test_factors(query: tuple[str, int], expected: set[bytes] | None) -> None:
    """The cheapest required factors of a pattern are those of the table."""
    pattern, width = query
    assert text_of(factors(parse(pattern).root, width=width)) == expected


def test_factors_stay_within_bounds() -> None:
    """However many branches there are, no more than `max_factors` factors of at most `width` bytes
    come back.
    """
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefgh", k=rng.randrange(1, 12))) for _ in range(500)]
    root = parse("(?:" + "|".join(words) + ")X?(?:" + "|".join(words) + ")").root
    for width, most in ((1, 1), (2, 16), (4, 64), (8, 1000)):
        found = factors(root, width=width, max_factors=most)
        assert found is not None
        assert 0 < len(found.factors) <= most
        assert all(0 < len(factor) <= width for factor in found.factors)
        assert found.cost == pytest.approx(sum(map(byte_cost, found.factors)))
    with pytest.raises(ValueError, match="at least 1"):
        factors(root, width=0)


def test_the_cost_model_decides() -> None:
    """A caller's cost model moves the choice to the place that it calls rare."""
    root = parse("common_rare").root

    def dislikes(letters: bytes) -> set[bytes] | None:
        mask = charclass.of(letters)
        return text_of(
            factors(root, width=4, cost=lambda f: 5.0 - len(f) + sum(bool(m & mask) for m in f))
        )

    assert dislikes(b"comn_") == {b"rare"}
    assert dislikes(b"rae_") == {b"comm"}


def test_trees_are_values() -> None:
    """Equal trees are equal, hash alike and survive pickling; different ones differ."""
    one, other = parse("(?i)(a|b{2,3}?)+$").root, parse("([Aa]|[bB]{2,3}?)+\\z").root
    assert one == other
    assert hash(one) == hash(other)
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301
    assert len({one, other, parse("(a|b{2,3}?)+$").root}) == 2
    assert one != parse("(?i)(a|b{2,3})+$").root
    assert one != "a"
    assert repr(parse("a*").root) == "Repeat(0, None, True, CharClass(0x2000000000000000000000000))"


def test_constructors_flatten() -> None:
    """Concatenations and alternations are flat, without needless nodes."""
    a = literal(b"a")
    assert concat([a, EMPTY, Concat((a, a))]) == literal(b"aaa")
    assert concat([EMPTY]) == EMPTY
    assert alternate([a]) is a
    assert alternate([]) == NO_MATCH
    assert alternate([alternate([a, EMPTY]), a]) == parse("a||a").root


def test_fold_visits_shared_nodes_once() -> None:
    """A node object that occurs many times is combined once, so huge expansions cost nothing."""
    node = literal(b"ab")
    for _ in range(60):
        node = Concat((node, node))
    visits = 0

    def count(_: object, parts: list[int]) -> int:
        nonlocal visits
        visits += 1
        return sum(parts) or 1

    assert fold(node, count) == 2 << 60
    assert visits == 63
    assert max_width(Repeat(node, 0, 2, True)) == 4 << 60


def test_charclass_ranges() -> None:
    """A mask's ranges are its maximal runs, and rebuild it."""
    rng = random.Random(3)
    for mask in [
        0,
        charclass.ALL,
        1,
        1 << 255,
        *(rng.getrandbits(256) & rng.getrandbits(256) for _ in range(50)),
    ]:
        runs = charclass.ranges(mask)
        rebuilt = 0
        for low, high in runs:
            rebuilt |= charclass.span(low, high)
        assert rebuilt == mask
        assert all(high + 1 < low for (_, high), (low, _) in itertools.pairwise(runs))
        assert charclass.of(charclass.members(mask)) == mask


@pytest.mark.parametrize(
    ("pattern", "want"),
    [
        ("((a*|c)*|a{0})*", True),
        ("(a*)+b", True),
        ("(?:(a|)){2}", True),
        ("(a)(?:b?)*", True),
        ("(?:a*)*", False),
        ("(a+)+b?", False),
        ("(a*)b(?:c){1}", False),
        ("(?:(a?)b)*", False),
        ("(a)(?:b*){0}", False),
    ],
)
def test_captures_matter(pattern: str, want: bool) -> None:
    """Where a loop is around what can be empty, and there are groups."""
    assert captures_matter(parse(pattern).root) == want
