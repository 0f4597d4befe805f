"""What filters do with a match, case by case, as gitleaks does it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.rules import Allowlist, CompiledFilters, PackData, Rule, entropy, pick_secret
from vyre_dist.rules import path_filters as path_filters_module

RULE = Rule("r", "x")


def filters(*allowlists: Allowlist, rule: Rule = RULE, own: bool = False) -> CompiledFilters:
    """Filters of a pack with two rules, `rule` and a bare one; the allowlists are global, or
    `rule`'s own.
    """
    other = Rule("other", "y")
    if own:
        return CompiledFilters(PackData("p", (replace(rule, allowlists=allowlists), other)))
    return CompiledFilters(PackData("p", (rule, other), allowlists))


def line_of(text: bytes) -> Callable[[], bytes]:
    return lambda: text


def no_line() -> bytes:
    raise AssertionError("the line was asked for")


@pytest.mark.parametrize(
    ("secret", "bits"),
    [
        (b"", 0.0),
        (b"a", 0.0),
        (b"aaaa", 0.0),
        (b"ab", 1.0),
        (b"abcdefgh", 3.0),
        (b"abcdefgh" * 3, 3.0),
        (bytes(range(256)), 8.0),
        (b"aab", 0.9182958340544896),
        ("é".encode(), 1.0),
    ],
)
def test_entropy(secret: bytes, bits: float) -> None:
    """Entropy is Shannon's, in bits per byte, and exact where it can be."""
    assert entropy(secret) == bits
    assert str(entropy(secret)) != "-0.0"


@pytest.mark.parametrize(
    ("group", "match", "groups", "secret"),
    [
        (0, b"abc", (), b"abc"),
        (0, b"\nabc\n\n", (), b"abc"),
        (0, b"abc\r\n", (), b"abc\r"),
        (0, b"abc", (b"b",), b"b"),
        (0, b"abc", (None, b"", b"c"), b"c"),
        (0, b"abc", (None, b""), b"abc"),
        (2, b"abc", (b"a", b"b"), b"b"),
        (2, b"abc", (b"a", None), b""),
        (1, b"abc", (b"a\n", b"b"), b"a\n"),
    ],
)
def test_pick_secret(
    group: int, match: bytes, groups: tuple[bytes | None, ...], secret: bytes
) -> None:
    """The secret is the group asked for, else the first that is not empty, else the match without
    outer line breaks.
    """
    assert pick_secret(replace(RULE, secret_group=group), match, groups) == secret


def test_entropy_must_be_exceeded() -> None:
    """A secret whose entropy equals the rule's is dropped; a rule without entropy drops nothing."""
    at_limit = filters(rule=replace(RULE, entropy=3.0))
    assert at_limit.judge(0, "f", b"abcdefgh", (), no_line) is None
    assert at_limit.judge(0, "f", b"abcdefghi", (), no_line) == (
        b"abcdefghi",
        entropy(b"abcdefghi"),
    )
    assert filters().judge(0, "f", b"aaaa", (), no_line) == (b"aaaa", 0.0)


@given(
    secret=st.one_of(st.binary(max_size=20), st.text(alphabet="abcd", max_size=12).map(str.encode)),
    least=st.one_of(
        st.floats(-1, 9), st.sampled_from([0.0, math.inf, *(math.log2(n) for n in range(1, 257))])
    ),
)
def test_entropy_decides(secret: bytes, least: float) -> None:
    """A secret is dropped if its entropy is not above a limit other than 0, however it is found
    that it is not.
    """
    judged = filters(rule=replace(RULE, entropy=least)).judge(0, "f", secret, (secret,), no_line)
    secret = secret or pick_secret(RULE, secret, (secret,))
    kept = least == 0 or entropy(secret) > least
    assert judged == ((secret, entropy(secret)) if kept else None)


def test_keyword_gate() -> None:
    """A rule applies where one of its keywords occurs in the lowered document, in whatever case it
    was written.
    """
    with_keywords = filters(rule=replace(RULE, keywords=("AKIA", "ключ")))
    assert with_keywords.has_keyword(0, b"xx AkiA xx".lower())
    assert with_keywords.has_keyword(0, "мой ключ".encode().lower())
    assert not with_keywords.has_keyword(0, b"aki a")
    assert with_keywords.has_keyword(1, b"")


CASES = [
    (Allowlist(regexes=("^sec",)), True),
    (Allowlist(regexes=("match",)), False),
    (Allowlist(regexes=("nope", "cret$")), True),
    (Allowlist(regexes=("match",), regex_target="match"), True),
    (Allowlist(regexes=("^a match",), regex_target="match"), True),
    (Allowlist(regexes=("around",), regex_target="match"), False),
    (Allowlist(regexes=("around",), regex_target="line"), True),
    (Allowlist(regexes=("^around.*here$",), regex_target="line"), True),
    (Allowlist(stopwords=("ECR",)), True),
    (Allowlist(stopwords=("match",)), False),
    (Allowlist(stopwords=("x", "secret")), True),
    (Allowlist(paths=(r"\.c$",)), True),
    (Allowlist(paths=(r"\.h$",)), False),
    (Allowlist(paths=(r"\.h$",), stopwords=("secret",)), True),
    (Allowlist(paths=(r"\.h$",), stopwords=("secret",), condition="AND"), False),
    (Allowlist(paths=(r"\.c$",), stopwords=("secret",), condition="AND"), True),
    (Allowlist(paths=(r"\.c$",), stopwords=("no",), condition="AND"), False),
    (Allowlist(paths=(r"\.c$",), condition="AND"), True),
    (Allowlist(regexes=("sec",), stopwords=("no",), condition="AND"), False),
    (Allowlist(regexes=("sec",), stopwords=("no",)), True),
    (Allowlist(commits=("abc",)), False),
    (Allowlist(commits=("abc",), stopwords=("secret",)), True),
    (Allowlist(commits=("abc",), stopwords=("secret",), condition="AND"), False),
    (Allowlist(commits=("abc",), paths=(r"\.c$",), condition="AND"), False),
    (Allowlist(target_rules=("other",), stopwords=("secret",)), False),
    (Allowlist(target_rules=("r",), stopwords=("secret",)), True),
    (Allowlist(target_rules=("other",), paths=(r"\.c$",)), False),
]


@pytest.mark.parametrize(("allowlist", "dropped"), CASES)
def test_global_allowlists(allowlist: Allowlist, dropped: bool) -> None:
    """A global allowlist drops a match by its condition, its target, its kinds of checks and its
    target rules.
    """
    check_allowlist(filters(allowlist), allowlist, dropped)


@pytest.mark.parametrize(
    ("allowlist", "dropped"), [case for case in CASES if not case[0].target_rules]
)
def test_own_allowlists(allowlist: Allowlist, dropped: bool) -> None:
    """A rule's own allowlist does what a global one does, and leaves other rules alone."""
    compiled = filters(allowlist, own=True)
    check_allowlist(compiled, allowlist, dropped)
    assert not compiled.allowed(1, "dir/file.c", b"secret", b"\na match secret\n", no_line)


def check_allowlist(compiled: CompiledFilters, allowlist: Allowlist, dropped: bool) -> None:
    line = line_of(b"around a match secret here")
    assert compiled.allowed(0, "dir/file.c", b"secret", b"\na match secret\n", line) is dropped
    assert compiled.needs_line(0) is (allowlist.regex_target == "line")


def test_an_empty_text_is_on_no_allowlist() -> None:
    """A pattern that matches the empty string does not drop an empty secret, and does drop any
    other.
    """
    compiled = filters(Allowlist(regexes=("",)))
    assert not compiled.allowed(0, "f", b"", b"match", no_line)
    assert compiled.allowed(0, "f", b"s", b"match", no_line)


def test_a_document_without_path_is_on_no_path_allowlist() -> None:
    """Path patterns of allowlists, even those that match everything, leave documents without a path
    alone.
    """
    compiled = filters(Allowlist(paths=("",)))
    assert not compiled.document_skipped("")
    assert compiled.document_skipped("x")
    assert not compiled.document_skipped("")


def test_paths_decide_by_rule() -> None:
    """A document is skipped only when no rule can report there."""
    data = PackData(
        "p",
        (Rule("a", "x", path=r"\.c$"), Rule("b", "y"), Rule("only", None, path="(?i)key$")),
        (Allowlist(paths=("vendor/",), target_rules=("b", "only")),),
    )
    compiled = CompiledFilters(data)
    table = {
        "m.c": [True, True, False],
        "vendor/m.c": [True, False, False],
        "vendor/KEY": [False, False, False],
        "m.KEY": [False, True, True],
    }
    for path, applies in table.items():
        assert [compiled.rule_applies_to_path(i, path) for i in range(3)] == applies
        assert compiled.document_skipped(path) is (not any(applies))


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("é", "dir/é.txt"),
        ("(?i)É", "É"),
        ("^a.b$", "a\udcffb"),
        (r"\xff", "a\udcff"),
        ("^..$", "é"),
        ("\n", "a\nb"),
    ],
)
def test_paths_are_bytes(pattern: str, path: str) -> None:
    """Paths are matched as the bytes the file system has, UTF-8 or not."""
    assert filters(Allowlist(paths=(pattern,))).document_skipped(path)


def test_named_groups_may_repeat() -> None:
    """Patterns of one allowlist may use the same group name."""
    compiled = filters(
        Allowlist(regexes=("(?P<n>a)", "(?P<n>b)"), paths=("(?P<n>a)$", "(?P<n>b)$"))
    )
    assert compiled.allowed(0, "x", b"b", b"b", no_line)
    assert compiled.document_skipped("b")


def test_a_set_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Path patterns that do not fit in a set's memory run one by one, with the same decisions."""
    allowlists = tuple(Allowlist(paths=(f"(?:[ab]|c{i}).{{200}}x{i}$",)) for i in range(20))
    paths = [f"{prefix}{'m' * 200}x{i}" for i in range(20) for prefix in ("a", "c", f"c{i}")]
    with_set = filters(*allowlists)
    monkeypatch.setattr(path_filters_module, "_SET_MEMORY", 1 << 16)
    without = filters(*allowlists)
    assert with_set.paths._set is not None
    assert without.paths._set is None
    assert [without.document_skipped(p) for p in paths] == [
        with_set.document_skipped(p) for p in paths
    ]
    assert sum(with_set.document_skipped(p) for p in paths) == 40


def test_a_set_that_gives_up() -> None:
    """A set that answers nothing at all, as one does that ran out of memory, is not believed."""
    compiled = filters(Allowlist(paths=(r"\.c$",)))
    silent = re2.Set.SearchSet()
    silent.Add("never matches a path")
    silent.Compile()
    compiled.paths._set = silent
    assert compiled.document_skipped("m.c")
    assert not compiled.document_skipped("m.h")
