"""TunedClass: what one kind of worker runs on one class of workload, and how that was decided.

Part of the driver's tuning: no I/O, no clock.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.driver.tuning_link import Target
from vyre_dist.tuning.comparison import interval_of
from vyre_dist.tuning.halving import Race

_MOST_PROBES = 64
_DRIFT_ERROR = 0.01


class Stage(enum.Enum):
    """UNKNOWN: the store has not answered. FREE: nobody is known to have tuned it. ASKED: the right
    to tune it has been asked for. RACING: this driver tunes it. WAITING: another one does. DECIDED:
    it is known what is best.
    """

    UNKNOWN = "unknown"
    FREE = "free"
    ASKED = "asked"
    RACING = "racing"
    WAITING = "waiting"
    DECIDED = "decided"


class Source(enum.StrEnum):
    """Where a decision is from: a record that was there at the start, this run's own race, or a
    record that another run has published meanwhile.
    """

    STORED = "stored"
    MEASURED = "measured"
    PUBLISHED = "published"


@dataclass(slots=True, eq=False)
class TunedClass:
    """`choice`: what tasks are to run with. `gain`: of that, where it was measured. `at`: when it
    was decided, in seconds. `tuner`: the worker that runs the race's challengers. `out`: whether
    one of them is at a worker. `refused`: why choices are not to be run, by choice. `outdated`: a
    gain that is not true any more.

    `taken`: by worker, after how many seconds it began to run what was decided in this run; None
    for one that has not yet.
    """

    target: Target
    stage: Stage = Stage.UNKNOWN
    choice: Choice = DEFAULT_CHOICE
    gain: Gain | None = None
    source: Source | None = None
    at: float = 0.0
    race: Race | None = None
    tuner: int | None = None
    out: bool = False
    fence: Fence | None = None
    again_at: float = math.inf
    used: bool = False
    given: int = 0
    outdated: Gain | None = None
    refused: dict[Choice, str] = field(default_factory=dict)
    taken: dict[int, float | None] = field(default_factory=dict)
    _probes: list[float] = field(default_factory=list)

    @property
    def is_decided(self) -> bool:
        return self.stage is Stage.DECIDED

    def decide(
        self, choice: Choice, gain: Gain | None, source: Source, now: float, workers: Sequence[int]
    ) -> None:
        """What it is to run with from now on. `workers`: those that run something else so far."""
        changed = choice != self.choice
        self.stage, self.choice, self.gain, self.source = Stage.DECIDED, choice, gain, source
        self.at, self.race, self.tuner, self.out = now, None, None, False
        self.taken = dict.fromkeys(workers) if changed else {}
        self._probes.clear()

    def fits(self, record: StoredRecord | None) -> bool:
        """Whether a stored record says what to run: one that was measured, and is not refused."""
        return (
            record is not None
            and record.gain is not None
            and not record.failed_until
            and record.gain != self.outdated
            and record.choice not in self.refused
        )

    def forget(self) -> None:
        """Run the default until it is tuned anew: what was known can't be run, or is not true."""
        self.stage, self.choice, self.gain = Stage.FREE, DEFAULT_CHOICE, None
        self.race, self.tuner, self.out = None, None, False
        self._probes.clear()

    def probed(self, log_ratio: float) -> bool:
        """Another measurement of the choice against the default; whether they have drifted away
        from what was decided: their interval and that of the gain have nothing in common.
        """
        if self.gain is None:
            return False
        self._probes.append(log_ratio)
        del self._probes[:-_MOST_PROBES]
        low, high = interval_of(self._probes, _DRIFT_ERROR)
        return math.exp(low) > self.gain.high or math.exp(high) < self.gain.low
