"""Intervals for medians, without an assumption about how what was measured is spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """(the median, and what the true one lies between with 95 % at least).

    By order statistics: each value is as likely above the true median as below. With fewer than six
    values it is all of them.
    """
    ordered, n = sorted(values), len(values)
    rank, tail = 0, 0.5**n
    while tail + math.comb(n, rank + 1) * 0.5**n <= 0.025:
        rank += 1
        tail += math.comb(n, rank) * 0.5**n
    return statistics.median(ordered), ordered[rank], ordered[n - 1 - rank]
