"""Races of many challengers: the default stays where it should, and the best is found."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noisy_pairs import raced

from vyre_dist.autotune.choice import Choice
from vyre_dist.tuning.halving import FIRST_PAIRS, Race

MANY = [Choice.of(threads=32 * n) for n in range(1, 9)]
SERIAL = Choice.of(lane="serial")


def null_race(rng: random.Random, gain: float) -> Race:
    """Eight challengers, each as good as the margin lets it be, or worse."""
    return raced(rng, {choice: 1 - gain * rng.random() for choice in MANY})


def test_eight_challengers_win_no_more_often_than_one() -> None:
    rng = random.Random(1)
    races = 60
    assert sum(not null_race(rng, 0.02).winner.is_default for _ in range(races)) <= 1


@pytest.mark.nightly
@pytest.mark.parametrize("gain", [0.0, 0.02])
def test_the_default_stays_in_a_thousand_races(gain: float) -> None:
    rng = random.Random(2)
    assert sum(not null_race(rng, gain).winner.is_default for _ in range(1000)) <= 10


@pytest.mark.parametrize(
    "ratios",
    [(0.70, 0.72, 0.9, 1, 1, 1.1, 1.4, 2.0), (0.7, 0.8, 0.9, 1, 1, 1, 1, 1), (0.95, *[1] * 7)],
)
def test_twenty_cold_races_agree(ratios: tuple[float, ...]) -> None:
    """Where they do not have the same winner, their intervals tell none from the other."""
    rng = random.Random(3)
    races = [raced(rng, dict(zip(MANY, ratios, strict=True)), first=12) for _ in range(20)]
    found = [(race.winner, gain) for race in races if (gain := race.gain) is not None]
    assert len(found) == 20
    for winner, gain in found:
        assert all(winner == other or gain.overlaps(others) for other, others in found)


def test_a_gain_of_five_percent_is_found() -> None:
    rng = random.Random(4)
    for _ in range(20):
        race = raced(rng, {SERIAL: 0.95})
        assert race.winner == SERIAL  # of 1000 races, all but a handful
        assert race.gain is not None
        assert race.gain.low <= 0.95 <= race.gain.high


def test_who_is_slow_runs_least() -> None:
    """What is twice as slow leaves with the first pairs, and costs no more than these."""
    ratios = dict(zip(MANY, (0.8, 2, 2, 2, 2, 2, 2, 2), strict=True))
    race = raced(random.Random(5), ratios)
    assert race.winner == MANY[0]
    assert sum(race.compared[slow].pairs for slow in MANY[1:]) <= 8 * 2 * FIRST_PAIRS


def test_one_that_is_refused_neither_runs_nor_wins() -> None:
    race = Race([SERIAL, MANY[0]])
    for _ in range(30):
        race.add(SERIAL, -1.0)
    assert race.winner == SERIAL
    race.refuse(SERIAL, "it found something else")
    assert race.winner.is_default
    wanted = race.next()
    assert wanted is not None
    assert wanted[0] == MANY[0]
    race.refuse(MANY[0], "it can't be launched")
    assert race.decided
    assert race.next() is None
    assert list(race.refused) == [SERIAL, MANY[0]]


def test_without_challengers_the_default_stays() -> None:
    race = Race([])
    assert race.decided
    assert race.winner.is_default
    assert race.gain is None


def test_that_the_default_is_best_is_a_measurement_too() -> None:
    race = raced(random.Random(6), {SERIAL: 1.5})
    assert race.winner.is_default
    gain = race.gain
    assert gain is not None
    assert (gain.ratio, gain.low, gain.high, gain.pairs) == (1.0, 1.0, 1.0, race.pairs)
    close = raced(random.Random(6), {SERIAL: 0.99}).gain
    assert close is not None
    assert close.low <= 0.99
    assert close.high == 1.0


@given(st.data())
def test_every_race_ends(data: st.DataObject) -> None:
    """Whatever its pairs are, and in whatever portions they come."""
    race = Race(MANY[: data.draw(st.integers(1, 8))], most=40)
    steps = 0
    while (wanted := race.next()) is not None:
        choice, pairs = wanted
        assert choice in race.left
        assert pairs >= 1
        for _ in range(data.draw(st.integers(1, pairs))):
            race.add(choice, data.draw(st.floats(-0.5, 0.5)))
        steps += 1
        assert steps <= 8 * 40
    assert race.decided
