"""What the compiler's tests share: random patterns with something to anchor on, google-re2, a model
that likes all.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import re2
import yaml
from random_patterns import flat_model, parse_or_none, random_haystack, random_pattern
from text_execution import execute

from vyre_dist.compiler import GramModel, PackTables, compile_tables
from vyre_dist.regex import (
    Alternate,
    Assertion,
    AssertionKind,
    CharClass,
    Concat,
    Node,
    Repeat,
    parse,
    to_re2,
)

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

WORD_BYTES = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")


def re2_of(regex: Any) -> Any:
    """google-re2's object for a parsed regex, Latin-1."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = 1 << 28
    return re2._Regexp(to_re2(regex), options)


def rules_found(tables: PackTables, text: bytes) -> tuple[set[int], set[int]]:
    """(rules that match for certain, rules that the host has to look at)."""
    result = execute(tables, text)
    return result.rules, {rule for rule, _ in result.for_host}


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


@pytest.fixture(scope="session", name="flat_model")
def _flat_model() -> GramModel:
    return flat_model()


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
