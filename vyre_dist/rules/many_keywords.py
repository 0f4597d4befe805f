"""ManyKeywords: whether any of many words is in a text, without a look at the text for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vyre_dist.rules.keyword_table import LEAST_BYTES

_STEP = 1 << 18
"""Places that are looked at together: their hashes take four times as many bytes."""
_BITS = 16
_MULTIPLIER = np.uint32(0x9E3779B1)


class ManyKeywords:
    """`words`: as the texts have them, in lower case."""

    def __init__(self, words: Sequence[bytes]) -> None:
        self._short = [word for word in words if len(word) < LEAST_BYTES]
        self._by_start: dict[bytes, list[bytes]] = {}
        for word in words:
            if len(word) >= LEAST_BYTES:
                self._by_start.setdefault(word[:LEAST_BYTES], []).append(word)
        self._known = np.zeros(1 << _BITS, np.bool_)
        for start in self._by_start:
            self._known[_hashes(start)] = True

    def any_in(self, text: bytes) -> bool:
        """Whether one of the words is in `text`."""
        if any(word in text for word in self._short):
            return True
        for base in range(0, len(text) - LEAST_BYTES + 1, _STEP):
            starts = self._known[_hashes(text[base : base + _STEP + LEAST_BYTES - 1])]
            for at in (np.flatnonzero(starts) + base).tolist():
                words = self._by_start.get(text[at : at + LEAST_BYTES], ())
                if any(text.startswith(word, at) for word in words):
                    return True
        return False


def _hashes(text: bytes) -> npt.NDArray[np.uint32]:
    """uint32 [places]: of the LEAST_BYTES bytes at each place of `text` where there are so many."""
    data = np.frombuffer(text, np.uint8).astype(np.uint32)
    hashes: npt.NDArray[np.uint32] = (
        data[:-2] | data[1:-1] << np.uint32(8) | data[2:] << np.uint32(16)
    )
    hashes *= _MULTIPLIER
    hashes >>= np.uint32(32 - _BITS)
    return hashes
