"""Whether what a store has as the best still is: stored winners, measured again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.dispatch.keys import AutotuneKey
from vyre_dist.runs.ahead import AheadOfTime
from vyre_dist.tuning.comparison import WORTH, Comparison

PAIRS = 48


class Verified(NamedTuple):
    """A stored winner, measured again.

    `against`: the default; for a default that is stored as the best, what was the fastest beside it
    then. `ratio`, `low`, `high`: the winner's time over that one's, with its 95 % interval.
    `problem`: why nothing was measured.
    """

    record: StoredRecord
    against: Choice
    ratio: float = 1.0
    low: float = 1.0
    high: float = 1.0
    pairs: int = 0
    problem: str = ""

    @property
    def regret(self) -> float:
        """How much longer it takes than the better one, as a share of that one's time."""
        return max(0.0, self.ratio - 1.0)

    @property
    def holds(self) -> bool:
        """Whether it is not shown to be the slower one, and is what it was stored as: the intervals
        overlap. A default holds unless the other one is shown to be worth a change.
        """
        if self.problem or not self.pairs:
            return not self.problem
        if self.record.choice.is_default:
            return self.low * (1.0 - WORTH) <= 1.0
        gain = self.record.gain
        as_stored = gain is None or not (self.low > gain.high or self.high < gain.low)
        return as_stored and self.low <= 1.0


def verified(ahead: AheadOfTime, records: Iterable[StoredRecord]) -> Iterator[Verified]:
    """Those of `records` that a scan of `ahead`'s pack on this machine would use."""
    programs = ahead.programs
    key = AutotuneKey.of(programs.fused, programs.adapter)
    ours = [each for each in records if each.key == key and each.spec == programs.fused]
    for record in sorted(ours, key=lambda each: each.place):
        yield _verified(ahead, record)


def _verified(ahead: AheadOfTime, record: StoredRecord) -> Verified:
    against, tried = DEFAULT_CHOICE, record.choice
    if tried.is_default:
        others = [each for each in record.measured if not each.choice.is_default]
        if not others:
            return Verified(record, against)
        tried = min(others, key=lambda each: each.gain.ratio).choice
        against = tried
    tasks = ahead.class_of(record.workload)
    if tasks is None:
        there = ", ".join(each.workload for each in ahead.classes)
        return Verified(record, against, problem=f"the files given are {there} only")
    measured = ahead.compared(tasks, tried, PAIRS)
    if not isinstance(measured, Comparison):
        return Verified(record, against, problem=measured)
    low, high = measured.interval
    ratio = min(max(measured.ratio, low), high)
    if record.choice.is_default:  # the pairs are the other one's over the default's
        ratio, low, high = 1 / ratio, 1 / high, 1 / low
    return Verified(record, against, ratio, low, high, measured.pairs)
