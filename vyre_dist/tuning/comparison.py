"""Comparison: a challenger against the default, pair by pair, and what the pairs show so far.

A pair is one log-ratio, log(challenger's time / default's time), of two runs on the same bytes in
random order. Whatever disturbs one of the two runs is as likely to disturb the other, so the
log-ratios lie symmetrically around the true one, however heavy their tails are. That is all that is
assumed.

The test is a bet. Let y be how far a pair lies on the challenger's side of some ratio. If the true
ratio is that one or worse, the mean of tanh(y / scale) is 0 at most, and a stake of 1 that grows by
the factor 1 + share * tanh(y / scale) with each pair is on average never worth more than 1. Such a
stake ever reaches 1 / error with a probability of `error` at most (Ville), so one may look after
each pair, and stop whenever one likes. An outlier multiplies a stake by no more than 2. Several
shares and scales are bet on side by side, and their mean is such a stake as well.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Sequence

MARGIN = 0.02
"""A challenger that saves less of the default's time than this does not replace it."""

WORTH = 0.035
"""What is shown to save less than this is given up. Between the margin and this, either may be."""

DEFAULT_ERROR = 0.01
"""How often a race may take what saves no more than the margin."""

MOST_PAIRS = 600

_GIVEN_UP_WRONGLY = 0.01
_BETS = tuple((share, scale) for share in (0.3, 0.9) for scale in (0.03, 0.1))
_FARTHEST = math.log(20.0)


class Verdict(enum.StrEnum):
    """What pairs show: WON: the challenger is faster by more than the margin. LOST: it is not, or
    not by enough to go on. OPEN: they do not tell yet.
    """

    WON = "won"
    LOST = "lost"
    OPEN = "open"


class _Stake:
    """The logarithms of the stakes on "the true log-ratio lies beyond `border`"."""

    def __init__(self, border: float, side: int) -> None:
        """`side`: 1 for "below `border`", -1 for "above"."""
        self._border, self._side = border, side
        self._logs = [0.0] * len(_BETS)
        self.best = 0.0

    def add(self, log_ratio: float) -> None:
        y = self._side * (self._border - log_ratio)
        logs = self._logs
        for i, (share, scale) in enumerate(_BETS):
            logs[i] += math.log1p(share * math.tanh(y / scale))
        # what a stake was once is what counts: nobody has to stop at the right moment
        self.best = max(self.best, _log_mean(logs))


class Comparison:
    """One challenger's pairs. `error`: how often WON may be said wrongly, in however many looks.

    `most`: as many pairs without a verdict are one: LOST.
    """

    def __init__(self, error: float = DEFAULT_ERROR, most: int = MOST_PAIRS) -> None:
        self._won_at, self._lost_at = -math.log(error), -math.log(_GIVEN_UP_WRONGLY)
        self._most = most
        self._better = _Stake(math.log1p(-MARGIN), 1)
        self._worse = _Stake(math.log1p(-WORTH), -1)
        self._ratios: list[float] = []
        self.verdict = Verdict.OPEN

    def add(self, log_ratio: float) -> Verdict:
        """One more pair. A verdict that was given once stays.

        Raises ValueError for what is not finite.
        """
        if not math.isfinite(log_ratio):
            raise ValueError(f"a pair's log-ratio must be finite, found {log_ratio}")
        self._ratios.append(log_ratio)
        self._better.add(log_ratio)
        self._worse.add(log_ratio)
        if self.verdict is Verdict.OPEN:
            if self._better.best >= self._won_at:
                self.verdict = Verdict.WON
            elif self._worse.best >= self._lost_at or self.pairs >= self._most:
                self.verdict = Verdict.LOST
        return self.verdict

    @property
    def pairs(self) -> int:
        return len(self._ratios)

    @property
    def log_ratios(self) -> Sequence[float]:
        """All of them, in order."""
        return self._ratios

    @property
    def ratio(self) -> float:
        """The median of the challenger's times over the default's; 1.0 without a pair."""
        return math.exp(median(self._ratios)) if self._ratios else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """What the true ratio lies in with 95 %, whenever one has stopped; 1/20 to 20 at most."""
        return self.interval_at(0.05)

    def interval_at(self, error: float) -> tuple[float, float]:
        """What the true ratio lies in but for `error`, and the ratio that was seen besides."""
        low, high = interval_of(self._ratios, error)
        ratio = min(max(self.ratio, 1 / 20), 20.0)
        return min(math.exp(low), ratio), max(math.exp(high), ratio)


def median(values: Iterable[float]) -> float:
    """The median of one value or more."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def interval_of(log_ratios: Sequence[float], error: float = 0.05) -> tuple[float, float]:
    """The log-ratios that the pairs do not rule out: whose stakes, on either side, have not reached
    2 / `error`. They hold together for all numbers of pairs.
    """
    ruled_out = -math.log(error / 2)

    def holds(border: float, side: int) -> bool:
        """Whether "the true one is `border`" holds against "it is on `side` of that"."""
        total = [0.0] * len(_BETS)
        for x in log_ratios:
            y = side * (border - x)
            for i, (share, scale) in enumerate(_BETS):
                total[i] += math.log1p(share * math.tanh(y / scale))
        return _log_mean(total) < ruled_out

    return _edge(lambda border: holds(border, -1), -1), _edge(lambda border: holds(border, 1), 1)


def _edge(holds: Callable[[float], bool], side: int) -> float:
    """The farthest border on a side that holds; the stake on what is within grows with distance."""
    near, far = -side * _FARTHEST, side * _FARTHEST
    if holds(far):
        return far
    for _ in range(32):
        middle = (near + far) / 2
        near, far = (middle, far) if holds(middle) else (near, middle)
    return far


def _log_mean(logs: Sequence[float]) -> float:
    """The logarithm of the mean of what these are the logarithms of."""
    most = max(logs)
    return most + math.log(sum([math.exp(x - most) for x in logs]) / len(logs))
