"""SecretScreen: which of many secrets of one length are dropped by their own filters, in NumPy.

It drops only what CompiledFilters.judge would drop: it saves work, and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vyre_dist.regex.context import context_of_byte
from vyre_dist.rules.byte_filters import NO_BYTE_FILTER, ByteFilter

if TYPE_CHECKING:
    from vyre_dist.rules.content_filters import Search

# secrets are looked at so many bytes at a time; for a few it is not worth it
_BLOCK = 1 << 20
_FEW_SECRETS = 32
# of so many secrets of a block an allowlist is asked, each for all that share what it finds
_MOST_ASKED = 8

_CONTEXTS = np.array([context_of_byte(byte) for byte in range(256)])


@dataclass(frozen=True, slots=True)
class SecretScreen:
    """`byte_filter`: of the rule. `allowed`: finds something in secrets that are on an allowlist of
    the rule, wherever the match is; None: nothing is known of these.
    """

    byte_filter: ByteFilter = NO_BYTE_FILTER
    allowed: Search | None = None

    def kept_of(
        self, data: bytes | memoryview, starts: list[int], low: int, size: int
    ) -> list[int]:
        """Those of the matches that begin at `starts`, with a secret of `size` bytes `low` bytes
        further on, which may not be dropped.
        """
        at = np.array(starts)
        kept: list[int] = at[self.kept(data, at + low, size)].tolist()
        return kept

    def kept(
        self, data: bytes | memoryview, at: npt.NDArray[np.int64], size: int
    ) -> npt.NDArray[np.bool_]:
        """Which of the secrets of `size` bytes that begin at `at` may not be dropped."""
        drops = self.byte_filter
        if size <= drops.too_few:
            return np.zeros(len(at), bool)
        kept = np.ones(len(at), bool)
        nothing = drops == NO_BYTE_FILTER and self.allowed is None
        if size <= 0 or nothing or len(at) < _FEW_SECRETS:
            return kept  # whoever is given them judges them
        bytes_at = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), size)
        dull = np.array([drops.dull >> byte & 1 for byte in range(256)], bool)
        step = max(1, _BLOCK // size)
        for start in range(0, len(at), step):
            secrets = bytes_at[at[start : start + step]]
            own = kept[start : start + step]
            own &= ~self._allows(secrets)
            if drops.dull:
                own &= ~dull[secrets].all(axis=1)
            if drops.too_few > 0 and own.any():
                left = np.flatnonzero(own)
                some = np.sort(secrets[left], axis=1)
                different = np.count_nonzero(some[:, 1:] != some[:, :-1], axis=1) + 1
                own[left[different <= drops.too_few]] = False
        return kept

    def _allows(self, secrets: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Which of `secrets`, one a row, are known to be on an allowlist.

        Whether a pattern matches at a place depends on the bytes there, and on whether those at
        either side are letters or newlines. So what is found in one secret is found in all of its
        length that share these.
        """
        known = np.zeros(len(secrets), bool)
        if self.allowed is None:
            return known
        left, size = np.arange(len(secrets)), secrets.shape[1]
        for _ in range(_MOST_ASKED):
            if not len(left):
                break
            text = secrets[left[0]].tobytes()
            found = self.allowed.finder.search(text, 0, size)
            if found is None:
                left = left[1 + len(left) // 4 :]  # others may be
                continue
            low, high = found[0]
            alike = (secrets[left, low:high] == secrets[left[0], low:high]).all(axis=1)
            for beside in (low - 1, high):
                if 0 <= beside < size:
                    around = _CONTEXTS[secrets[left, beside]]
                    alike &= around == around[0]
            known[left[alike]] = True
            left = left[~alike]
        return known
