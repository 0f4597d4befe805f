"""Pairs as machines give them: 5 % of noise in each time, and one time in ten far too long."""

from __future__ import annotations

import math
import random

from vyre_dist.autotune.choice import Choice
from vyre_dist.tuning.halving import FIRST_PAIRS, Race


def log_time(rng: random.Random, noise: float = 0.05) -> float:
    """The logarithm of how much longer than it should a run has taken."""
    return rng.gauss(0, noise) + (rng.uniform(0.2, 1.1) if rng.random() < 0.1 else 0.0)


def log_ratio(rng: random.Random, ratio: float, noise: float = 0.05) -> float:
    """A pair of runs, of which one takes `ratio` of the other's time in truth."""
    return math.log(ratio) + log_time(rng, noise) - log_time(rng, noise)


def raced(
    rng: random.Random, ratios: dict[Choice, float], noise: float = 0.05, first: int = FIRST_PAIRS
) -> Race:
    """A race to its end, of challengers with these true ratios."""
    race = Race(tuple(ratios), first=first)
    while (wanted := race.next()) is not None:
        choice, pairs = wanted
        for _ in range(pairs):
            race.add(choice, log_ratio(rng, ratios[choice], noise))
    return race
