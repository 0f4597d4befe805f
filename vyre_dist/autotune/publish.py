"""From a variant race to the store: decide, and file the winner's record."""

from __future__ import annotations

from dataclasses import dataclass

from vyre_dist.autotune.record import LoserTiming, Provenance, StoredRecord
from vyre_dist.autotune.store import AutotuneStore
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey
from vyre_dist.dispatch.race import RaceOutcome, Variant, VariantTiming, race


@dataclass(frozen=True, slots=True)
class Contender:
    """One side of a race: what it is, what it launches, what it cost."""

    spec: SpecCacheKey
    record: AutotuneRecord
    timing: VariantTiming


@dataclass(frozen=True, slots=True)
class PublishedRace:
    """A race's outcome, the winner's record, and whether the store took it (AutotuneStore.put)."""

    outcome: RaceOutcome
    winner: StoredRecord
    stored: bool


def race_and_store(
    store: AutotuneStore,
    adapter_id: str,
    conservative: Contender,
    speculative: Contender,
    *,
    threshold_pct: int | None = None,
    provenance: Provenance | None = None,
) -> PublishedRace:
    """Race the two by their timings and offer the winner's record under the winner's own
    AutotuneKey.

    Raises what `store.put` raises.
    """
    outcome = race(conservative.timing, speculative.timing)
    sides = {Variant.CONSERVATIVE: conservative, Variant.SPECULATIVE: speculative}
    winner = sides.pop(outcome.winner)
    stored = StoredRecord(
        key=AutotuneKey.of(winner.spec, adapter_id),
        record=winner.record,
        spec=winner.spec,
        timing=winner.timing,
        losers=tuple(LoserTiming(variant.value, side.timing) for variant, side in sides.items()),
        threshold_pct=threshold_pct,
        provenance=provenance or Provenance(),
    )
    return PublishedRace(outcome, stored, store.put(stored))
