"""Shannon's entropy of secrets, one by one or many at once: the same numbers to the last bit."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Iterable, Sequence

# so many sizes of secrets have their terms remembered
_TABLED_SIZES = 1024

LONG = 96
"""To count each byte of a secret that long takes a pass over it; NumPy takes one for all."""

# From so many long secrets in a batch on NumPy is faster; but to import it takes as long as so many
# take without it.
_MANY = 64
_WORTH_IMPORTING = 4096
_BLOCK = 1 << 18


def entropy(secret: bytes) -> float:
    """Shannon's entropy in bits per byte, 0 to 8; 0 for nothing."""
    return _of_counts(len(secret), map(secret.count, set(secret)))


class Entropies:
    """The entropies of one batch of secrets after the other."""

    def __init__(self) -> None:
        self._long = 0

    def of(self, secrets: Sequence[bytes]) -> list[float]:
        """The entropy of each of `secrets`."""
        many = sum([len(secret) >= LONG for secret in secrets])
        self._long += many
        if many < _MANY or (self._long < _WORTH_IMPORTING and "numpy" not in sys.modules):
            return list(map(entropy, secrets))
        return _in_blocks(secrets)


def _in_blocks(secrets: Sequence[bytes]) -> list[float]:
    found: list[float] = []
    some: list[bytes] = []
    held = 0
    for secret in secrets:
        some.append(secret)
        held += len(secret) + 256
        if held >= _BLOCK:
            found += _counted(some)
            some, held = [], 0
    return found + (_counted(some) if some else [])


def _counted(secrets: Sequence[bytes]) -> list[float]:
    import numpy as np

    sizes = list(map(len, secrets))
    of = np.repeat(np.arange(len(secrets)) << 8, sizes)
    keys = np.frombuffer(b"".join(secrets), np.uint8) + of
    counts = np.bincount(keys, minlength=len(secrets) << 8).reshape(-1, 256)
    there = counts > 0
    ends = np.cumsum(there.sum(axis=1)).tolist()
    listed = counts[there].tolist()
    begins = [0, *ends]
    return [
        _of_counts(size, listed[begin:end])
        for size, begin, end in zip(sizes, begins, ends, strict=False)
    ]


def _of_counts(size: int, counts: Iterable[int]) -> float:
    # a sum that is rounded once does not depend on the order
    return -math.fsum(map(_terms(size).__getitem__, counts)) + 0.0


class _Terms(dict[int, float]):
    """The terms of a secret's entropy by the count of a byte. `size`: the secret's."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def __missing__(self, count: int) -> float:
        # count/size is exact where it can be: eight different letters have 3.0 bits, not nearly so
        share = count / self._size
        term = self[count] = share * math.log2(share)
        return term


# thousands of secrets of a few lengths are asked for
_terms = functools.lru_cache(_TABLED_SIZES)(_Terms)
