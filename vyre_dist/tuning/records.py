"""What a store keeps of a race: the record of its winner, and those of challengers that failed."""

from __future__ import annotations

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.gain import LEAST_PAIRS
from vyre_dist.autotune.record import (
    FAILED_S,
    MAX_MEASURED,
    MAX_TEXT_CHARS,
    Measured,
    Provenance,
    StoredRecord,
)
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord
from vyre_dist.errors import UsageError
from vyre_dist.program.program_facts import ProgramFacts
from vyre_dist.program.tunables import Tunables
from vyre_dist.tuning.halving import Race, gain_of


def winner_record(
    race: Race,
    programs: ProgramFacts,
    workload: str,
    provenance: Provenance,
    fence: Fence | None = None,
) -> StoredRecord | None:
    """The record of a race's winner, be it the default; None where too little was measured."""
    gain = race.gain
    if gain is None:
        return None
    return StoredRecord(
        AutotuneKey.of(programs.fused, programs.adapter),
        launched(programs, race.winner, provenance.date),
        programs.fused,
        provenance=provenance,
        workload=workload,
        choice=race.winner,
        gain=gain,
        measured=measured_beside(race),
        fence=fence,
    )


def failed_records(
    race: Race, programs: ProgramFacts, workload: str, provenance: Provenance, now_s: float
) -> list[StoredRecord]:
    """Those of the challengers that can't be run, for a day from `now_s` on."""
    return [
        failed_record(choice, why, programs, workload, provenance, now_s)
        for choice, why in race.refused.items()
    ]


def failed_record(
    choice: Choice,
    why: str,
    programs: ProgramFacts,
    workload: str,
    provenance: Provenance,
    now_s: float,
) -> StoredRecord:
    """That a choice can't be run, for a day from `now_s` on: seconds since 1970."""
    return StoredRecord(
        AutotuneKey.of(programs.fused, programs.adapter),
        AutotuneRecord((1, 1, 1), 1, recorded_at=provenance.date),
        programs.fused,
        provenance=provenance,
        workload=workload,
        choice=choice,
        failed_until=int(now_s) + FAILED_S,
        reason="".join(c for c in why if c.isprintable())[:MAX_TEXT_CHARS],
    )


def measured_beside(race: Race) -> tuple[Measured, ...]:
    """What a race has measured of those that have not won."""
    measured = [
        Measured(choice, gain_of(each, len(race.compared)))
        for choice, each in race.compared.items()
        if each.pairs >= LEAST_PAIRS and choice not in (race.winner, *race.refused)
    ]
    return tuple(measured[:MAX_MEASURED])


def launched(programs: ProgramFacts, choice: Choice, date: str) -> AutotuneRecord:
    """What Vyre's file has of a choice. Raises UsageError for one that is no launch."""
    if not programs.tunables:
        return AutotuneRecord((1, 1, 1), 1, recorded_at=date)
    tunables = Tunables.from_plain(programs.tunables)
    threads = choice.get("threads") or tunables.threads
    unroll = choice.get("unroll") or tunables.unroll
    if not isinstance(threads, int) or not isinstance(unroll, int):
        raise UsageError(f"no launch: {choice}")
    return AutotuneRecord((threads, 1, 1), unroll, recorded_at=date)
