"""The prefilter's bitmap: which 4-byte windows are worth a second look, one bit per hash value.

A multiplicative hash of the folded window; the multiplier is chosen for the grams at hand, so that what
ordinary text is full of rarely falls on a bit that is set for something else.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.gram_model import GramModel, Grams

BITMAP_BITS = 20
"""2^20 bits are 128 KiB, which fit a multiprocessor's shared memory from sm_80 on."""
FOLD_WORD = 0x20202020

_TRIED_MULTIPLIERS = 32


def hash_grams(grams: Grams, multiplier: int, bits: int = BITMAP_BITS) -> npt.NDArray[np.uint32]:
    """The bit number of each folded gram: the top bits of a 32-bit product."""
    return (grams * np.uint32(multiplier)) >> np.uint32(32 - bits)


def make_bitmap(grams: Grams, multiplier: int, bits: int = BITMAP_BITS) -> npt.NDArray[np.uint8]:
    """The bitmap with the grams' bits set; bit b is bit b % 8 of byte b // 8."""
    flags = np.zeros(1 << bits, np.uint8)
    flags[hash_grams(grams, multiplier, bits)] = 1
    return np.packbits(flags, bitorder="little")


def choose_multiplier(grams: Grams, model: GramModel, bits: int = BITMAP_BITS) -> tuple[int, float]:
    """(the multiplier with the fewest expected hits, those hits per byte of text, true ones included)."""
    common, rates = model.common()
    candidates = np.random.default_rng(bits).integers(1 << 31, 1 << 32, _TRIED_MULTIPLIERS, np.uint32) | 1
    best, least = 0, np.inf
    unknown = max(1.0 - rates.sum(), 0.0)
    for multiplier in candidates.tolist():
        flags = np.zeros(1 << bits, bool)
        flags[hash_grams(grams, multiplier, bits)] = True
        hits = float(rates[flags[hash_grams(common, multiplier, bits)]].sum()) + unknown * float(flags.mean())
        if hits < least:
            best, least = multiplier, hits
    return best, float(least)
