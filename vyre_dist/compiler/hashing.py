"""The prefilter's bitmap: a Bloom filter of the 4-byte windows that are worth a second look.

A multiplicative hash of the folded window names a word of 32 bits and two bits of it. The window
passes if both are set. Both lie in one word, so that one look-up fetches them: the second bit costs
two instructions, and far fewer windows pass. The multiplier is chosen for the grams at hand: the
common windows of ordinary text should rarely fall on bits that are set for something else.

Source: F. Putze, P. Sanders, J. Singler, "Cache-, Hash- and Space-Efficient Bloom Filters" (2007),
with a block of one word.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.gram_model import GramModel, Grams

BITMAP_BITS = 20
"""2^20 bits are 128 KiB, which fit a multiprocessor's shared memory on A100, H100 and newer of
their line.
"""

_TRIED_MULTIPLIERS = 128

# with so few false hits per offset, beside those that come with any multiplier, no other one is
# tried: one in ten megabytes
_FALSE_HITS = 1e-7

BitmapWords = npt.NDArray[np.uint32]


def hash_grams(grams: Grams, multiplier: int, bits: int) -> BitmapWords:
    """The top `bits` bits of the 32-bit product."""
    return (grams * np.uint32(multiplier)) >> np.uint32(32 - bits)


def word_and_bits(grams: Grams, multiplier: int, bits: int) -> tuple[BitmapWords, BitmapWords]:
    """(word number, the one or two bits in it) of each folded gram, in a bitmap of 2^bits bits.

    The top bits of the 64-bit product's low half are the word. The lowest five bits of either half
    name a bit in it: all bytes of the gram influence the middle of the product, and a shift by a
    whole half costs no other instruction.
    """
    product = grams.astype(np.uint64) * np.uint64(multiplier)
    low, high = product.astype(np.uint32), (product >> np.uint64(32)).astype(np.uint32)
    one, last = np.uint32(1), np.uint32(31)
    return low >> np.uint32(37 - bits), one << (high & last) | one << (low & last)


def make_bitmap(grams: Grams, multiplier: int, bits: int = BITMAP_BITS) -> npt.NDArray[np.uint8]:
    """The bitmap with the grams' bits set: 2^bits bits as bytes, words little-endian."""
    words = np.zeros(1 << bits - 5, "<u4")
    at, mask = word_and_bits(grams, multiplier, bits)
    np.bitwise_or.at(words, at, mask)
    return words.view(np.uint8)


def passes(bitmap: npt.NDArray[np.uint8], grams: Grams, multiplier: int) -> npt.NDArray[np.bool_]:
    """Whether both bits of each gram are set."""
    words = np.ascontiguousarray(bitmap).view("<u4")
    at, mask = word_and_bits(grams, multiplier, words.size.bit_length() + 4)
    both: npt.NDArray[np.bool_] = (words[at] & mask) == mask
    return both


def choose_multiplier(grams: Grams, model: GramModel, bits: int = BITMAP_BITS) -> tuple[int, float]:
    """(multiplier, expected hits per offset, true ones included), the best of those tried.

    The first one with next to no false hits that another one might spare ends the search.
    """
    common, rates = model.common()
    candidates = (
        np.random.default_rng(bits).integers(1 << 31, 1 << 32, _TRIED_MULTIPLIERS, np.uint32) | 1
    )
    best, least = 0, np.inf
    true_hits = float(rates[np.isin(common, grams)].sum())
    unknown = max(1.0 - rates.sum(), 0.0)
    # of unknown windows, where each gram has two bits of a word of its own
    by_any = unknown * np.unique(grams).size * (2 / 32) ** 2 / (1 << bits - 5)
    for multiplier in candidates.tolist():
        bitmap = make_bitmap(grams, multiplier, bits)
        words = bitmap.view("<u4")
        filled = np.bitwise_count(words[words != 0]) / 32.0
        by_chance = float((filled * filled).sum()) / words.size
        # Most of a small pack's words are empty. The word's number needs a product of 32 bits only,
        # so the 64-bit one is left to grams whose word is not: a seventh of the time for small
        # packs.
        near = words[(common * np.uint32(multiplier)) >> np.uint32(37 - bits)] != 0
        hit = passes(bitmap, common[near], multiplier)
        hits = float(rates[near][hit].sum()) + unknown * by_chance
        if hits < least:
            best, least = multiplier, hits
        if least - true_hits - by_any <= _FALSE_HITS:
            break
    return best, float(least)
