"""Random patterns with something to anchor on, text that they match, and a model that likes all
windows.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from vyre_dist.compiler import GramModel
from vyre_dist.compiler.gram_model import encode_grams
from vyre_dist.regex import RegexSyntaxError, parse

WORDS_TEXT = "key tok_ sk- AKIA secret ab abc aa ba xyz -- == \\.com \\n"
WORDS = WORDS_TEXT.split()
CLASSES_TEXT = r"a b . \w \d \s [ab] [a-f0-9] [^a] [^\n] \W [A-Z] [\w.-] = : -"
CLASSES = CLASSES_TEXT.split()
ASSERTIONS_TEXT = r"\b \B ^ $ \A \z (?m:^) (?m:$)"
ASSERTIONS = ASSERTIONS_TEXT.split()
OPERATORS_TEXT = "* + ? *? +? ?? {2} {0,2} {1,3} {2,} {3,7} {0,9} {12} {4,}"
OPERATORS = OPERATORS_TEXT.split()

HAYSTACK = [w.replace("\\n", "\n").replace("\\", "").encode() for w in WORDS] + [
    *(bytes([b]) for b in b"abAB01zK=:- \n._\xe9"),
    b"aaaa",
    b"deadbeef0123",
    b"a1b2c3",
]


def random_pattern(rng: random.Random, depth: int = 2) -> str:
    """A pattern of words, classes, assertions and repeats: dense enough to match, with literals to
    find.
    """

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
            text = (
                head + "|".join(sequence(level - 1) for _ in range(rng.choice((1, 2, 2, 3)))) + ")"
            )
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


def flat_model() -> GramModel:
    """A model in which nothing is frequent, so that every narrow window is worth having."""
    return GramModel.from_bytes(
        encode_grams(np.array([1], np.uint32), np.array([1e-9]), np.full(256, 1 / 256))
    )
