"""Random changes to bytes: what a fuzz target gets to read. No target's business is in here."""

from __future__ import annotations

import random
from collections.abc import Sequence

_INTERESTING = (0, 1, 0x7F, 0x80, 0xC0, 0xC4, 0xD9, 0xDF, 0xFF)
_MOST_CHANGES = 6
MOST_BYTES = 4096
"""Longer inputs are cut: what breaks a reader is hardly longer, and short ones are read quickly."""


def mutated(rng: random.Random, data: bytes, words: Sequence[bytes], other: bytes) -> bytes:
    """`data` with a few random changes. `words` are what the target's language is made of; `other`
    is another input, to splice with.
    """
    text = bytearray(data)
    for _ in range(rng.randint(1, _MOST_CHANGES)):
        _change(rng, text, words, other)
    return bytes(text[:MOST_BYTES])


def _change(rng: random.Random, text: bytearray, words: Sequence[bytes], other: bytes) -> None:
    at = rng.randint(0, len(text))
    length = rng.choice((1, 1, 2, 4, rng.randint(0, 32)))
    match rng.randrange(8):
        case 0 if text:
            text[at % len(text)] ^= 1 << rng.randrange(8)
        case 1 if text:
            text[at % len(text)] = rng.choice(_INTERESTING)
        case 2:
            del text[at : at + length]
        case 3:
            text[at:at] = text[at : at + length]  # twice
        case 4:
            text[at:at] = rng.choice(words)
        case 5:
            text[at : at + length] = rng.choice(words)
        case 6:
            begin = rng.randint(0, len(other))
            text[at:at] = other[begin : begin + length]
        case _:
            text[at:at] = rng.randbytes(length)
