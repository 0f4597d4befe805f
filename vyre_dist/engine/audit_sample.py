"""AuditSample: which documents of a scan are audited."""

from __future__ import annotations

import os

_WORD = (1 << 64) - 1


def new_seed() -> int:
    """Any seed: nobody can tell beforehand which documents are chosen."""
    return int.from_bytes(os.urandom(7), "little")


class AuditSample:
    """`rate` of all documents, by a hash of `seed` and a document's number: whoever asks, and
    however often, the same ones.
    """

    def __init__(self, rate: float, seed: int) -> None:
        self._below = round(rate * (1 << 64))
        self._seed = seed & _WORD

    def __bool__(self) -> bool:
        return self._below > 0

    def has(self, document: int) -> bool:
        """Whether document number `document` is one."""
        # splitmix64's step
        x = (self._seed + (document + 1) * 0x9E3779B97F4A7C15) & _WORD
        x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & _WORD
        x = ((x ^ x >> 27) * 0x94D049BB133111EB) & _WORD
        return x ^ x >> 31 < self._below
