"""What single patterns parse to, which are refused, and where the error points."""

from __future__ import annotations

import pickle
import time
from types import SimpleNamespace

import pytest
from long_runs import nightly
from tree_facts import node_count

from vyre_dist.errors import VyreError
from vyre_dist.regex import (
    MAX_EXPANDED_POSITIONS,
    MAX_NESTING,
    RegexSyntaxError,
    charclass,
    factors,
    max_width,
    parse,
    to_pcre,
    to_re2,
)
from vyre_dist.regex.unicode_tables import unicode_class

# Pattern -> what it means, printed without flags.
MEANINGS = {
    "abc": rb"abc",
    "": rb"",
    "a|b|": rb"a|b|",
    "(?i)aB1é": rb"[Aa][Bb]1\xc3\xa9",
    "(?i)[^k]": rb"[^Kk]",
    r"(?i)\P{Lu}[[:^lower:]]": rb"[^A-Za-z\xc0-\xd6\xd8-\xde][^A-Za-z]",
    "a(?i)b|c": rb"a[Bb]|[Cc]",
    "(?i:a)b(?:c(?i)d)e": rb"[Aa]bc[Dd]e",
    "^a$": rb"\Aa\z",
    "(?m)^a$(?-m)$": rb"(?m:^)a(?m:$)\z",
    r"\Aa\z\b\B": rb"\Aa\z\b\B",
    r".(?s).(?-s).\C": rb".(?s:.).(?s:.)",
    "(?U)a*b*?c{2}(?-U)d+": rb"a*?b*c{2}?d+",
    "x{,5}y{01}z{1000000000}{": rb"x\{,5\}y\{01\}z\{1000000000\}\{",
    "a{0,}b{1,}c{0,1}d{1}e{0}f{2,}g{2,3}?": rb"a*b+c?de{0}f{2,}g{2,3}?",
    r"\Qa.b*\E+\Q(": rb"a\.b\*+\(",
    r"\x41\x{42}\103\0\07\a\f\t\n\r\v\_\-": rb"ABC\x00\x07\x07\f\t\n\r\x0b_-",
    r"[\d_-][^\n][]a][^]a][a-][\w.]": rb"[\-0-9_].[\]a][^\]a][\-a][\w.]",
    r"[[:alpha:][:^ascii:]][[:word:]]\D\W\s": rb"[A-Za-z\x80-\xff]\w\D\W[\t\n\f\r ]",
    r"\pN\p{^Lu}": rb"[0-9\xb2\xb3\xb9\xbc-\xbe][^A-Z\xc0-\xd6\xd8-\xde]",
    r"\P{Greek}\p{Han}\p{Any}": rb"(?s:.)[^\x00-\xff](?s:.)",
    "(a)(?P<n>b)(?<m>c)(?:d)((e))": rb"(a)(?P<n>b)(?P<m>c)d((e))",
    "(?:ab)*(?:a|b)c()": rb"(?:ab)*(?:a|b)c()",
    "(?x) a b # comment ( \n [ #] \\ \\# c": rb"ab[ #] #c",
    "(?x: a b ) c d": rb"ab c d",
    "a (?x) b (?-x) c": rb"a b c",
    "(?ix) a (?-i: b ) # no newline": rb"[Aa]b",
    "(?x) a * b {2} c{ 3 , 4 } (?# note ) d {,2}": rb"a*b{2}c{3,4}d\{,2\}",
    "(?x)a\\Q b\\E": rb"a b",
}

UNICODE_NAMES = """
    Greek Han Latin Common Inherited Cyrillic Kawi Any
    C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs
"""

# Pattern -> column of the caret, a word of the reason.
REFUSED = {
    "(": (1, "missing )"),
    "ab(c(d)": (3, "missing )"),
    "a)": (2, "unexpected )"),
    "a**": (2, "operator **"),
    "a{2}{3}": (2, "operator {2}{3}"),
    "(?x)a* ?": (6, "operator"),
    "(?x)a* # c\n+": (6, "operator"),
    "(?x)a (?# c": (7, "comment"),
    "éé*|*": (5, "nothing to repeat"),
    "a{3,2}": (2, "maximum is below"),
    "[a": (1, "missing ]"),
    "[z-a]": (2, "ends before"),
    "[a-\\d]": (4, r"\d"),
    "[[:foo:]]": (2, "[:foo:]"),
    r"é\8": (2, "back-reference"),
    r"a\p{greek}": (2, "greek"),
    r"\p{L": (1, "missing }"),
    r"\x{100}": (1, "largest byte"),
    r"\400": (1, "largest byte"),
    "\\": (1, "trailing"),
    r"\é": (1, r"\é"),
    "(?=a)": (1, "look-around"),
    "(?<!a)": (1, "look-around"),
    "(?P<a-b>x)": (1, "group name"),
    "(?P<é>x)": (1, "group name"),
    "(?q)": (1, "(?q"),
    "(?#c)": (1, "(?#"),
    "a\ud800": (2, "surrogate"),
    "x{70000}": (2, "70000 positions"),
    "(?:x{300}){300}": (11, "90000 positions"),
    "(?:x{40000}y{40000})": (1, "80000 positions"),
    "x{40000}|y{40000}": (1, "80000 positions"),
}


@pytest.mark.parametrize(("pattern", "meaning"), MEANINGS.items())
def test_meaning(lab: SimpleNamespace, pattern: str, meaning: bytes) -> None:
    """A pattern means what the table says, and what it means parses to the same tree."""
    regex = parse(pattern)
    assert to_re2(regex) == meaning
    assert parse(meaning).root == regex.root
    assert lab.re2_compile(meaning) is not None
    assert regex.extended == (lab.re2_compile(pattern.encode()) is None)


@pytest.mark.parametrize(("pattern", "where"), REFUSED.items())
def test_refusal(lab: SimpleNamespace, pattern: str, where: tuple[int, str]) -> None:
    """A refused pattern's error has the column, the reason and a caret below the column."""
    column, word = where
    with pytest.raises(RegexSyntaxError) as caught:
        parse(pattern)
    error = caught.value
    assert error.column == column
    assert word in error.reason
    assert error.position == len(pattern[: column - 1].encode("utf-8"))
    assert error.pattern == pattern.encode("utf-8", "replace")
    assert isinstance(error, VyreError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301
    if "\n" not in pattern:
        assert str(error).splitlines()[2] == " " * (4 + column - 1) + "^"


def test_bytes_and_str() -> None:
    """A str stands for its UTF-8 bytes; a bytes pattern counts columns in bytes and may hold any
    byte.
    """
    assert parse("é\n").root == parse(b"\xc3\xa9\n").root
    assert parse(b"\xe9\x00").pattern == b"\xe9\x00"
    with pytest.raises(RegexSyntaxError) as caught:
        parse("é*|*".encode())
    assert (caught.value.position, caught.value.column) == (4, 5)


def test_groups_and_names() -> None:
    """Groups are numbered by their opening parenthesis; a name used twice means its first group, as
    in RE2.
    """
    regex = parse("(a)(?P<x>b(?<y>c))(?:d)(?P<x>e)")
    assert regex.groups == 4
    assert regex.group_names == {"x": 2, "y": 3}
    assert hash(regex) == hash(parse(regex.pattern))
    assert regex == parse(regex.pattern)


def test_latin1_group_names(lab: SimpleNamespace) -> None:
    """A name takes the single bytes that RE2 takes for letters in Latin-1."""
    for byte in range(256):
        pattern = b"(?P<" + bytes([byte]) + b">x)"
        try:
            ours = list(parse(pattern).group_names)
        except RegexSyntaxError:
            ours = []
        theirs = lab.re2_compile(pattern)
        assert ours == ([] if theirs is None else [name.decode() for name in theirs.groupindex])


def test_named_classes_hold_what_re2s_hold(lab: SimpleNamespace) -> None:
    """Every POSIX, Perl and Unicode class has the 256 verdicts of google-re2's."""
    every = bytes(range(256))
    patterns = [
        rf"{p}{{{name}}}" for name in UNICODE_NAMES.split() for p in (r"\p", r"\P", r"[^\p")
    ]
    patterns = [p + "]" if p.startswith("[") else p for p in patterns]
    patterns += [f"[[:{sign}{name.decode()}:]]" for name in charclass.POSIX for sign in ("", "^")]
    patterns += [rf"\{letter}" for letter in "dDsSwW"] + [".", "(?s).", r"\C"]
    for pattern in patterns:
        found = {match.start() for match in lab.re2_compile(pattern.encode()).finditer(every)}
        assert set(charclass.members(parse(pattern).root.mask)) == found, pattern


def test_unknown_unicode_names_are_none() -> None:
    """A Unicode class name is known only in RE2's own spelling."""
    assert unicode_class("greek") is None
    assert unicode_class("") is None
    assert unicode_class("Greek") == 0


def test_folding_is_ascii_only() -> None:
    """(?i) folds ASCII letters and leaves the Latin-1 ones alone, which google-re2 would fold."""
    assert to_re2(parse(b"(?i)\xe9")) == rb"\xe9"
    assert to_re2(parse(rb"(?i)[\xe0-\xfek]")) == rb"[Kk\xe0-\xfe]"


def test_verbose_patterns_and_large_repeats_are_extended() -> None:
    """`extended` tells the patterns that google-re2 itself refuses."""
    plain = ["a{1000}", "(?:a{100}){10}", "a*", "(?i)a"]
    extended = [
        "(?x)a",
        "(?x:a)",
        "a{1001}",
        "a{1001,}",
        "(?:a{100}){11}",
        "(?:(?:a{11}){11}b){11}",
    ]
    assert [parse(p).extended for p in plain + extended] == [False] * len(plain) + [True] * len(
        extended
    )


def test_nesting_limit() -> None:
    """A thousand levels of groups are read, analysed, printed, compared and pickled; one more is
    refused.
    """
    deepest = "(" * MAX_NESTING + "x" + ")*" * MAX_NESTING
    regex = parse(deepest)
    assert (regex.groups, node_count(regex.root), max_width(regex.root)) == (
        MAX_NESTING,
        2 * MAX_NESTING + 1,
        None,
    )
    assert parse(to_re2(regex)).root == regex.root
    assert to_pcre(regex).count(b"x") == 1
    assert repr(regex.root).count("Capture") == MAX_NESTING
    with pytest.raises(RegexSyntaxError, match="more than 1000 deep"):
        parse("(?:" + deepest + ")")


HOSTILE = [
    "[[:",
    "[",
    "(?i)",
    "a|",
    "a?",
    r"\p{L}",
    r"\Q",
    "{",
    "(?x){ ",
    "(?x)#",
    "(?P<",
    "[a-",
    r"\x{",
    "()",
]


@pytest.mark.parametrize("piece", [*HOSTILE, *nightly("x{9}")])
def test_time_is_linear(piece: str) -> None:
    """Eight times as many copies of an awkward piece take nowhere near the 64 times of a quadratic
    reader.
    """

    def seconds(copies: int) -> float:
        start = time.process_time()
        try:
            regex = parse(piece * copies)
        except RegexSyntaxError as error:
            assert len(str(error)) < 500
        else:
            factors(regex.root)
            to_re2(regex)
        return time.process_time() - start

    small = min(seconds(1_000) for _ in range(3))
    # more than one attempt: other work on the machine only adds
    assert any(seconds(8_000) < 0.12 + 32 * small for _ in range(3))


def test_expansion_bound() -> None:
    """The bound on expanded repeats holds for those beyond RE2's limits only."""
    assert parse(f"x{{{MAX_EXPANDED_POSITIONS}}}").extended
    assert not parse("(?:a{1000}b{1000}){1}" * 40).extended
