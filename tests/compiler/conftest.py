"""What the compiler's tests share: random patterns with something to anchor on, google-re2, a model that likes all."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import re2
import yaml

from vyre_dist.compiler import GramModel, PackTables, compile_tables, execute
from vyre_dist.compiler.gram_model import pack_grams
from vyre_dist.regex import (
    Alternate,
    Assertion,
    AssertionKind,
    CharClass,
    Concat,
    Node,
    RegexSyntaxError,
    Repeat,
    parse,
    to_re2,
)

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

WORDS_TEXT = "key tok_ sk- AKIA secret ab abc aa ba xyz -- == \\.com \\n"
WORDS = WORDS_TEXT.split()
CLASSES_TEXT = r"a b . \w \d \s [ab] [a-f0-9] [^a] [^\n] \W [A-Z] [\w.-] = : -"
CLASSES = CLASSES_TEXT.split()
ASSERTIONS_TEXT = r"\b \B ^ $ \A \z (?m:^) (?m:$)"
ASSERTIONS = ASSERTIONS_TEXT.split()
OPERATORS_TEXT = "* + ? *? +? ?? {2} {0,2} {1,3} {2,} {3,7} {0,9} {12} {4,}"
OPERATORS = OPERATORS_TEXT.split()
WORD_BYTES = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")

HAYSTACK = [w.replace("\\n", "\n").replace("\\", "").encode() for w in WORDS] + [
    *(bytes([b]) for b in b"abAB01zK=:- \n._\xe9"),
    b"aaaa",
    b"deadbeef0123",
    b"a1b2c3",
]


def random_pattern(rng: random.Random, depth: int = 2) -> str:
    """A pattern of words, classes, assertions and repeats: dense enough to match, with literals to find."""

    def sequence(level: int) -> str:
        return "".join(piece(level) for _ in range(rng.choice((1, 2, 2, 3, 3, 4))))

    def piece(level: int) -> str:
        kind = rng.random()
        if kind < 0.12:
            return rng.choice(ASSERTIONS)
        if kind < 0.42:
            text = rng.choice(WORDS)
            return f"(?:{text}){rng.choice(OPERATORS)}" if rng.random() < 0.15 else text
        if kind < 0.62 and level:
            head = rng.choice(("(?:", "(", "(?i:", "(?s:", "(?m:"))
            text = head + "|".join(sequence(level - 1) for _ in range(rng.choice((1, 2, 2, 3)))) + ")"
        else:
            text = rng.choice(CLASSES)
        return text + (rng.choice(OPERATORS) if rng.random() < 0.4 else "")

    return "|".join(sequence(depth) for _ in range(rng.choice((1, 1, 1, 2))))


def random_haystack(rng: random.Random, length: int = 14) -> bytes:
    """Pieces that the patterns care about."""
    return b"".join(rng.choice(HAYSTACK) for _ in range(rng.randrange(length)))


def parse_or_none(pattern: str) -> Any:
    """The parsed pattern, or None where RE2 refuses it (or its repeats)."""
    try:
        regex = parse(pattern)
    except RegexSyntaxError:
        return None
    return None if regex.extended else regex


def re2_of(regex: Any) -> Any:
    """google-re2's object for a parsed regex, Latin-1."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = 1 << 28
    return re2._Regexp(to_re2(regex), options)


def rules_found(tables: PackTables, text: bytes) -> tuple[set[int], set[int]]:
    """(rules that match for certain, rules that the host has to look at)."""
    verdicts = execute(tables, text)
    return verdicts.rules, {rule for rule, _ in verdicts.for_host}


def match_ends(node: Node, text: bytes, starts: set[int]) -> set[int]:
    """All ends of all matches that begin at one of `starts`, straight from the tree, with no engine."""
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
    before, after = i > 0, i < len(text)
    boundary = (before and text[i - 1] in WORD_BYTES) != (after and text[i] in WORD_BYTES)
    return {
        AssertionKind.BEGIN_TEXT: not before,
        AssertionKind.END_TEXT: not after,
        AssertionKind.BEGIN_LINE: not before or text[i - 1] == 10,
        AssertionKind.END_LINE: not after or text[i] == 10,
        AssertionKind.WORD_BOUNDARY: boundary,
        AssertionKind.NOT_WORD_BOUNDARY: not boundary,
    }[kind]


def mutated(rng: random.Random, text: bytes) -> bytes:
    """The text with a few bytes changed, dropped or put in."""
    out = bytearray(text)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(out) + 1)
        out[at : at + rng.randrange(2)] = bytes(rng.choices(b'aZ0 \n"=_-.', k=rng.randrange(2)))
    return bytes(out)


@pytest.fixture(scope="session")
def lab() -> SimpleNamespace:
    """The helpers of this file, for tests in files that cannot import it."""
    return SimpleNamespace(
        random_pattern=random_pattern,
        random_haystack=random_haystack,
        parse_or_none=parse_or_none,
        re2_of=re2_of,
        rules_found=rules_found,
        mutated=mutated,
        match_ends=match_ends,
    )


@pytest.fixture(scope="session")
def flat_model() -> GramModel:
    """A model in which nothing is frequent, so that every narrow window is worth having."""
    return GramModel.from_bytes(pack_grams(np.array([1], np.uint32), np.array([1e-9]), np.full(256, 1 / 256)))


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Finds third-party test data by name; skips the test where it is absent."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"third-party test data is absent: {name}")
        return path

    return find


@pytest.fixture(scope="session")
def gitleaks(shared_data: Callable[[str], Path]) -> SimpleNamespace:
    """gitleaks' pack: `ids`, `regexes`, and what they compile to."""
    rules = tomllib.loads(shared_data("gitleaks.toml").read_text())["rules"]
    return _pack([(rule["id"], rule["regex"]) for rule in rules if "regex" in rule])


@pytest.fixture(scope="session")
def noseyparker(shared_data: Callable[[str], Path]) -> SimpleNamespace:
    """noseyparker's pack, the same."""
    return _pack([(rule["id"], rule["pattern"]) for rule in _noseyparker_rules(shared_data)])


@pytest.fixture(scope="session")
def example_texts(shared_data: Callable[[str], Path]) -> list[bytes]:
    """noseyparker's examples, good and bad."""
    return [
        example.encode()
        for rule in _noseyparker_rules(shared_data)
        for key in ("examples", "negative_examples")
        for example in rule.get(key) or ()
    ]


def _noseyparker_rules(shared_data: Callable[[str], Path]) -> list[dict[str, Any]]:
    files = sorted(shared_data("noseyparker").glob("*.yml"))
    return [rule for file in files for rule in yaml.safe_load(file.read_text())["rules"]]


def _pack(rules: list[tuple[str, str]]) -> SimpleNamespace:
    regexes = [parse(pattern) for _, pattern in rules]
    return SimpleNamespace(
        ids=[name for name, _ in rules],
        regexes=regexes,
        compiled=compile_tables([regex.root for regex in regexes]),
    )
