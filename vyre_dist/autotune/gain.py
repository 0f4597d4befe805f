"""Gain: a challenger's time over the default's on the same bytes, with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vyre_dist.dispatch.report import U32_MAX, check_counts
from vyre_dist.errors import UsageError

# A ratio beyond these is no measurement: nothing that a tuner may choose is worth that much.
LEAST_RATIO = 1 / 20
MOST_RATIO = 20.0
LEAST_PAIRS = 5


@dataclass(frozen=True, slots=True)
class Gain:
    """Geometric median of challenger / default over `pairs` pairs, and its 95 % interval.

    Below 1 the challenger is the faster one. Raises UsageError unless all are finite numbers with
    1/20 <= low <= ratio <= high <= 20, and `pairs` is at least 5.
    """

    ratio: float
    low: float
    high: float
    pairs: int

    def __post_init__(self) -> None:
        for name in ("ratio", "low", "high"):
            value = getattr(self, name)
            if type(value) not in (float, int) or not math.isfinite(value):
                raise UsageError(f"gain's {name} must be a finite number, found {value!r:.40}")
            object.__setattr__(self, name, float(value))
        if not LEAST_RATIO <= self.low <= self.ratio <= self.high <= MOST_RATIO:
            raise UsageError(
                f"a gain must have {LEAST_RATIO} <= low <= ratio <= high <= {MOST_RATIO:g}, found "
                f"low {self.low!r}, ratio {self.ratio!r}, high {self.high!r}"
            )
        check_counts(self, U32_MAX, "pairs")
        if self.pairs < LEAST_PAIRS:
            raise UsageError(
                f"a gain must be of {LEAST_PAIRS} pairs at least, found {self.pairs}; measure more"
            )

    def __str__(self) -> str:
        return f"{self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}] of {self.pairs} pairs"

    def clearly_below(self, other: Gain) -> bool:
        """Whether this whole interval lies below the other's."""
        return self.high < other.low

    def overlaps(self, other: Gain) -> bool:
        return not (self.clearly_below(other) or other.clearly_below(self))
