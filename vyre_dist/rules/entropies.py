"""Shannon's entropy of secrets, one by one or many at once: the same numbers to the last bit."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# so many sizes of secrets have their terms remembered
_TABLED_SIZES = 1024

LONG = 96
"""To count each byte of a secret that long takes a pass over it; NumPy takes one for all."""

# From so many secrets in a batch on NumPy is faster; but to import it takes as long as so many long
# ones take without it, or so many times as many short ones.
_MANY = 64
_WORTH_IMPORTING = 4096
_SHORT_ONES = 8
# secrets of so many bytes are counted at once, each of which takes as much as _EACH more
_BLOCK = 1 << 18
_EACH = 1 << 10

_SUMMED = 256
_SCALE = 60
"""All terms of a secret of at most _SUMMED bytes are multiples of 2 ** -_SCALE, and that many times
as large their sum fits 64 bits: it is exact.
"""


def entropy(secret: bytes) -> float:
    """Shannon's entropy in bits per byte, 0 to 8; 0 for nothing."""
    return _of_counts(len(secret), map(secret.count, set(secret)))


class Entropies:
    """The entropies of one batch of secrets after the other."""

    def __init__(self) -> None:
        self._seen = 0
        self._table: npt.NDArray[np.uint64] | None = None
        self._tabled: set[int] = set()

    def of(self, secrets: Sequence[bytes]) -> list[float]:
        """The entropy of each of `secrets`."""
        if len(secrets) < _MANY:
            return list(map(entropy, secrets))
        if "numpy" not in sys.modules:
            long = sum([len(secret) >= LONG for secret in secrets])
            self._seen += _SHORT_ONES * long + len(secrets) - long
            if self._seen < _SHORT_ONES * _WORTH_IMPORTING:
                return list(map(entropy, secrets))
        found: list[float] = []
        some: list[bytes] = []
        held = 0
        for secret in secrets:
            some.append(secret)
            held += len(secret) + _EACH
            if held >= _BLOCK:
                found += self._counted(some)
                some, held = [], 0
        return found + (self._counted(some) if some else [])

    def _counted(self, secrets: Sequence[bytes]) -> list[float]:
        import numpy as np

        listed = list(map(len, secrets))
        sizes = np.array(listed)
        keys = np.frombuffer(b"".join(secrets), np.uint8) + np.repeat(
            np.arange(len(secrets)) << 8, sizes
        )
        counts = np.bincount(keys, minlength=len(secrets) << 8)
        there = np.flatnonzero(counts)
        counts, owners = counts[there], there >> 8
        ends = np.searchsorted(owners, np.arange(len(secrets)), "right")
        table = self._terms_of({size for size in listed if 0 < size <= _SUMMED})
        short = np.minimum(sizes, _SUMMED)[owners]
        terms = table[short, np.minimum(counts, _SUMMED)]
        # what overflows, overflows back
        sums = np.append(np.uint64(0), np.cumsum(terms))[np.append(0, ends)]
        # a sum that is rounded once, as the sums of integers are here, is that of _of_counts
        found: list[float] = np.ldexp(np.diff(sums).astype(np.float64), -_SCALE).tolist()
        for number, size in enumerate(listed):
            if size > _SUMMED:
                own = counts[ends[number - 1] if number else 0 : ends[number]]
                found[number] = _of_counts(size, own.tolist())
        return found

    def _terms_of(self, sizes: set[int]) -> npt.NDArray[np.uint64]:
        """The terms of entropies as integers, by a secret's size and the count of a byte."""
        import numpy as np

        if self._table is None:
            self._table = np.zeros((_SUMMED + 1, _SUMMED + 1), np.uint64)
        for size in sizes - self._tabled:
            terms = _terms(size)
            scaled = [int(-terms[count] * 2.0**_SCALE) for count in range(1, size + 1)]
            self._table[size, 1 : size + 1] = scaled
            self._tabled.add(size)
        return self._table


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
