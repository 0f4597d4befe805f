"""Patterns of public packs, broken at random: refused when google-re2 refuses them, for its reason,
at its place.
"""

from __future__ import annotations

import collections
import random
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import re2
import yaml

from vyre_dist.regex import RegexSyntaxError, parse, to_re2
from vyre_dist.rules import RulePack

PIECES_TEXT = r"""
    ( ) [ ] { } * + ? | ^ $ . \ - , : < > ! = & (? (?: (?i) (?P< {2} {,3} {3,1} [^ [: :]
    \Q \E \p \x \8 \d-z a- ** +? (?= (?<! \1
"""
PIECES = PIECES_TEXT.split()

# google-re2's phrase -> the beginnings of ours
REASONS = {
    "invalid escape sequence": ("invalid escape", "back-references", r"escape \x{"),
    "unexpected )": ("unexpected )",),
    "missing )": ("missing ) of the group", "unknown flag or group"),
    "invalid perl operator": ("invalid or unsupported", "look-around", "(?#", "invalid group name"),
    "missing ]": ("missing ] of the class",),
    "no argument for repetition operator": ("nothing to repeat",),
    "invalid character class range": ("invalid range", "unknown", "missing }"),
    "bad repetition operator": ("bad repetition operator",),
    "invalid named capture group": ("invalid group name", "look-around"),
    "invalid repetition size": ("invalid repeat", "repeats expand to"),
    "trailing \\": ("trailing backslash",),
}


@pytest.fixture(scope="module")
def patterns(shared_data: Callable[[str], Path]) -> list[str]:
    """Every pattern of gitleaks, noseyparker (without its verbose layout) and the built-in pack."""
    rules = tomllib.loads(shared_data("gitleaks.toml").read_text())["rules"]
    found = [rule["regex"] for rule in rules if "regex" in rule]
    for file in sorted(shared_data("noseyparker").glob("*.yml")):
        for rule in yaml.safe_load(file.read_text())["rules"]:
            found.append(to_re2(parse(rule["pattern"])).decode("latin-1"))
    found += [rule.regex for rule in RulePack.builtin() if rule.regex is not None]
    assert len(found) > 600
    return found


def broken(rng: random.Random, pattern: str) -> str:
    """The pattern with a few characters dropped, put in, or copied from elsewhere in it."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(pattern) + 1)
        kind = rng.random()
        if kind < 0.4:
            pattern = pattern[:at] + pattern[at + rng.randrange(1, 4) :]
        elif kind < 0.8:
            pattern = pattern[:at] + rng.choice(PIECES) + pattern[at:]
        else:
            other = rng.randrange(len(pattern) + 1)
            pattern = pattern[:at] + pattern[other : other + rng.randrange(1, 12)] + pattern[at:]
    return pattern


def complaint(pattern: bytes) -> tuple[str, bytes] | None:
    """(google-re2's phrase, what it quotes), or None where it takes the pattern."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = 1 << 30
    try:
        re2._Regexp(pattern, options)
    except re2.error as error:
        phrase, _, quoted = error.args[0].partition(b": ")
        return phrase.decode(), quoted
    return None


def check(pattern: str) -> str:
    """Compare the verdicts on one pattern; google-re2's phrase, or why there is none."""
    raw = pattern.encode()
    theirs = complaint(raw)
    try:
        regex = parse(pattern)
    except RegexSyntaxError as error:
        assert theirs is not None, pattern
        phrase, quoted = theirs
        if phrase == "invalid repetition size" and not raw[error.position :].startswith(quoted):
            # more than 1000 copies, from which ours goes on to what is broken
            assert error.reason.startswith("missing )") or raw.find(quoted) < error.position, (
                pattern
            )
            return "extended"
        assert error.reason.startswith(REASONS[phrase]), (pattern, phrase, error.reason)
        rest = raw[error.position :]
        if phrase == "unexpected )":
            assert rest.startswith(b")"), pattern  # theirs quotes the whole pattern
        elif phrase == "missing )":
            assert rest.startswith((b"(", quoted)), pattern  # ours shows which one is open
        else:
            assert rest.startswith(quoted), (pattern, quoted, error)
        assert error.column == len(raw[: error.position].decode()) + 1
        return phrase
    if regex.extended:
        return "extended"
    assert theirs is None, (pattern, theirs)
    return "accepted"


def test_as_they_are(patterns: list[str]) -> None:
    """All public patterns are accepted, as google-re2 accepts them."""
    assert {check(pattern) for pattern in patterns} == {"accepted"}


def test_broken_patterns(patterns: list[str]) -> None:
    """Of thousands of broken patterns the same ones are refused, each for the same reason at the
    same place.
    """
    rng = random.Random(5)
    kinds = collections.Counter(
        check(broken(rng, pattern)) for _ in range(4) for pattern in patterns
    )
    assert kinds["accepted"] > 1000
    assert sum(kinds.values()) - kinds["accepted"] - kinds["extended"] > 800
    assert set(REASONS) <= set(kinds)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(8))
def test_many_broken_patterns(patterns: list[str], seed: int) -> None:
    """The same for over a hundred thousand broken patterns a run."""
    rng = random.Random(100 + seed)
    for _ in range(20):
        for pattern in patterns:
            check(broken(rng, pattern))
