"""A comparison says so when a challenger is faster, and seldom when it is not, however often one
looks.
"""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noisy_pairs import log_ratio

from vyre_dist.tuning.comparison import Comparison, Verdict, interval_of

RATIOS = st.lists(st.floats(-3, 3), min_size=1, max_size=40)


def compared(rng: random.Random, ratio: float, noise: float = 0.05) -> Comparison:
    """To its end."""
    comparison = Comparison()
    while comparison.verdict is Verdict.OPEN:
        comparison.add(log_ratio(rng, ratio, noise))
    return comparison


@pytest.mark.parametrize("gain", [0.0, 0.01, 0.02])
def test_the_default_stays_where_nothing_is_to_be_gained(gain: float) -> None:
    """A look after each pair; on the margin itself, too."""
    rng = random.Random(1)
    races = 300
    won = sum(compared(rng, 1 - gain).verdict is Verdict.WON for _ in range(races))
    assert won <= 0.01 * races


@pytest.mark.nightly
@pytest.mark.parametrize("noise", [0.005, 0.05, 0.3])
@pytest.mark.parametrize("gain", [0.0, 0.01, 0.02])
def test_the_default_stays_in_a_thousand_races(gain: float, noise: float) -> None:
    rng = random.Random(2)
    won = sum(compared(rng, 1 - gain, noise).verdict is Verdict.WON for _ in range(1000))
    assert won <= 10


@pytest.mark.parametrize(("gain", "pairs"), [(0.05, 600), (0.2, 60), (0.5, 20)])
def test_a_gain_is_found(gain: float, pairs: int) -> None:
    """The larger it is, the sooner."""
    rng = random.Random(3)
    for _ in range(50):
        comparison = compared(rng, 1 - gain)
        assert comparison.verdict is Verdict.WON
        assert comparison.pairs <= pairs


def test_what_is_slower_is_given_up_soon() -> None:
    rng = random.Random(4)
    for _ in range(50):
        comparison = compared(rng, 2.0)
        assert comparison.verdict is Verdict.LOST
        assert comparison.pairs <= 20


def test_the_interval_holds_the_truth() -> None:
    """Where a comparison has stopped, which is where the pairs lie worst."""
    rng = random.Random(5)
    within = 0
    for _ in range(100):
        low, high = compared(rng, 0.9).interval
        within += low <= 0.9 <= high
    assert within >= 95


@given(RATIOS)
def test_an_interval_is_one_and_holds_the_median(ratios: list[float]) -> None:
    comparison = Comparison()
    for each in ratios:
        comparison.add(each)
    low, high = comparison.interval
    assert 1 / 20 <= low <= high <= 20
    assert low <= min(max(comparison.ratio, 1 / 20), 20) <= high


@given(RATIOS, st.floats(-1, 1))
def test_an_interval_moves_with_its_pairs(ratios: list[float], by: float) -> None:
    """Twice the time on one side is twice the ratio, at both ends."""
    low, high = interval_of(ratios)
    for end, moved in zip((low, high), interval_of([x + by for x in ratios]), strict=True):
        if abs(end) < 1.9 and abs(moved) < 1.9:
            assert math.isclose(end + by, moved, abs_tol=1e-5)


@given(RATIOS)
def test_exchanged_sides_give_the_mirrored_interval(ratios: list[float]) -> None:
    low, high = interval_of(ratios)
    turned = interval_of([-x for x in ratios])
    assert turned == pytest.approx((-high, -low), abs=1e-6)


@given(st.lists(st.floats(-0.01, 0.01), max_size=12), st.sampled_from([50.0, -50.0]))
def test_one_outlier_decides_nothing(ratios: list[float], outlier: float) -> None:
    comparison = Comparison()
    for each in [*ratios, outlier]:
        assert comparison.add(each) is not Verdict.WON


@given(RATIOS)
def test_a_verdict_stays(ratios: list[float]) -> None:
    comparison, said = Comparison(), Verdict.OPEN
    for each in ratios:
        verdict = comparison.add(each)
        assert said in (Verdict.OPEN, verdict)
        said = verdict


def test_too_many_pairs_without_a_verdict_leave_the_default() -> None:
    comparison = Comparison(most=10)
    for _ in range(10):
        assert comparison.verdict is Verdict.OPEN
        comparison.add(math.log(0.97))
    assert comparison.verdict is Verdict.LOST


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_ratio_is_refused(value: float) -> None:
    comparison = Comparison()
    with pytest.raises(ValueError, match="finite"):
        comparison.add(value)
    assert comparison.pairs == 0
