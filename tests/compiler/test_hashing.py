"""The bitmap's multiplier: the fewest expected hits of those that are tried, by the definition."""

from __future__ import annotations

import random

import numpy as np
import pytest

from vyre_dist.compiler import hashing
from vyre_dist.compiler.gram_model import Grams, default_model
from vyre_dist.compiler.hashing import BitmapWords, choose_multiplier, make_bitmap, passes


@pytest.mark.parametrize("count", [0, 1, 40, 3000])
def test_expected_hits_are_as_defined(count: int) -> None:
    """Hits are the rates of the common grams that pass, and chance's share of all others."""
    model = default_model()
    common, rates = model.common()
    rng = np.random.default_rng(random.Random(count).getrandbits(32))
    grams = np.union1d(
        rng.choice(common, count // 2), rng.integers(0, 1 << 32, count, np.uint32) | 0x20202020
    )
    grams = grams.astype(np.uint32)
    multiplier, hits = choose_multiplier(grams, model)
    bitmap = make_bitmap(grams, multiplier)
    filled = np.unpackbits(bitmap).reshape(-1, 32).mean(axis=1)
    passed = rates[passes(bitmap, common, multiplier)].sum()
    assert hits == pytest.approx(
        passed + (1 - rates.sum()) * np.square(filled).mean(), rel=1e-9, abs=1e-15
    )
    assert passes(bitmap, grams, multiplier).all()


def test_no_more_are_tried_than_may_spare_a_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first multiplier without false hits on common grams will do: chance's share of the others
    comes with any.
    """
    model = default_model()
    rng = np.random.default_rng(5)
    grams = np.unique(rng.integers(0, 1 << 32, 40, np.uint32) | np.uint32(0x20202020))
    tried: list[int] = []

    def counted(grams: Grams, multiplier: int, bits: int) -> BitmapWords:
        tried.append(multiplier)
        return make_bitmap(grams, multiplier, bits)

    monkeypatch.setattr(hashing, "make_bitmap", counted)
    _, hits = choose_multiplier(grams, model)
    assert len(tried) < 20
    monkeypatch.setattr(hashing, "_FALSE_HITS", -1.0)
    tried.clear()
    _, least = choose_multiplier(grams, model)
    assert len(tried) == 128
    assert least <= hits <= least + 2e-7
