"""TuningReport: what a scan's tuning came to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vyre_dist.autotune.choice import Choice
    from vyre_dist.autotune.gain import Gain
    from vyre_dist.driver.tuned_class import TunedClass


@dataclass(frozen=True, slots=True)
class TunedReport:
    """What a kind of worker ran on a class of workload, and since when.

    `stage`, `source`: see TunedClass. `decided_at`: seconds since 1970, 0.0 for not at all.
    `workers`: how many were at work on something else when it was decided, and have run it since;
    `taken_seconds`: how long after that the last of them began to.
    """

    adapter: str
    program: str
    workload: str
    stage: str
    choice: Choice
    gain: Gain | None
    source: str
    decided_at: float
    workers: int
    taken_seconds: float

    @classmethod
    def of(
        cls, tuned: TunedClass, clock: Callable[[], float], wall_s: Callable[[], float]
    ) -> TunedReport:
        """Of one of the driver's."""
        taken = [seconds for seconds in tuned.taken.values() if seconds is not None]
        at = wall_s() - (clock() - tuned.at) if tuned.is_decided else 0.0
        return cls(
            tuned.target.key.adapter_id,
            tuned.target.key.key_hex,
            tuned.target.workload,
            tuned.stage.value,
            tuned.choice,
            tuned.gain,
            tuned.source or "",
            at,
            len(taken),
            max(taken, default=0.0),
        )


@dataclass(slots=True)
class TuningReport:
    """`trials`: pairs of runs in races, `seconds`: what challengers took of the workers' time.
    `probes`: pairs that measured again what had been decided, `drifted`: how often that was not
    true any more. `hits`, `misses`: classes that were met, by whether the store knew them.
    `taken`: records that others published meanwhile; `published`: own ones that the store took,
    `kept`: that it did not take. `refused`: choices that could not be run, or found something else.
    """

    trials: int = 0
    seconds: float = 0.0
    probes: int = 0
    drifted: int = 0
    hits: int = 0
    misses: int = 0
    taken: int = 0
    published: int = 0
    kept: int = 0
    refused: int = 0
    tuned: list[TunedReport] = field(default_factory=list)
