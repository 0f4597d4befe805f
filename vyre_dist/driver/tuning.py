"""Tuning: fused against serial, as earlier runs measured it and as this run did.

No tunables are chosen: the keys leave them out, and a record's workgroup and unroll are all 1.

The store is asked when the first worker of a kind is ready, for 0.4 s at most, and told once after
all are done.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from vyre_dist.autotune.calibrate import threshold_to_store
from vyre_dist.autotune.publish import Contender, PublishedRace, race_and_store
from vyre_dist.autotune.record import Provenance
from vyre_dist.autotune.store import AutotuneStore
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord
from vyre_dist.dispatch.race import VariantTiming
from vyre_dist.dispatch.report import MergedReport
from vyre_dist.driver.roster import WorkerUse
from vyre_dist.driver.worker_facts import WorkerFacts
from vyre_dist.program.scan_program import ScanProgram

# Both paths are compared by their time for this much of the run's data.
_WORK_BYTES = 8 << 20
# Less than this of a path is no measurement. One worker tries each path in four dispatches of 2 MiB
# or a little less.
_ENOUGH_BYTES = 4 << 20
# A shared store that has not answered by then is done without; its answer is there for the next
# run.
_PATIENCE_SECONDS = 0.4
_ONE = (1, 1, 1)


class Tuning:
    """The two programs of one pack on one kind of worker, as the store knows them.

    The worker tells what it is: the machine that drives a scan may be another one.
    """

    def __init__(self, pack_key: str, facts: WorkerFacts) -> None:
        self._provenance = Provenance.here(facts.versions)
        engine = f"{facts.backend} {sorted(facts.versions.items())}"
        self.adapter_id = _adapter(facts)
        self._fused, self._serial = (
            ScanProgram(kind, pack_key, engine=engine).spec_key for kind in ("fused", "prefilter")
        )

    def threshold_pct(self, store: AutotuneStore) -> int | None:
        """The measured break-even commit rate, if the store has one; waits 0.4 s at most."""
        wanted = [
            (AutotuneKey.of(spec, self.adapter_id), spec) for spec in (self._fused, self._serial)
        ]
        found = store.get_many(wanted)
        if not any(found) and hasattr(store, "flush"):
            # a shared store's answer is on its way; not isinstance: its module imports redis, which
            # takes 0.1 s
            store.flush(_PATIENCE_SECONDS)
            found = store.get_many(wanted)
        known = [
            record.threshold_pct for record in found if record and record.threshold_pct is not None
        ]
        # a path is recorded for the data it was fastest on, and these say least of what the other
        # one costs elsewhere
        return max(known, default=None)

    def publish(self, store: AutotuneStore, uses: Sequence[WorkerUse]) -> PublishedRace | None:
        """Offer what the trials of workers of this kind showed; None when they were too few."""
        pairs = [pair for use in uses for pair in use.pairs if not pair.refused]
        size = sum(pair.bytes for pair in pairs)
        if size < _ENOUGH_BYTES:
            return None
        fused, serial = (
            VariantTiming(0, spent * _WORK_BYTES // size)
            for spent in (
                sum(pair.incumbent_ns for pair in pairs),
                sum(pair.challenger_ns for pair in pairs),
            )
        )
        report = MergedReport(
            sum(use.committed for use in uses),
            sum(use.rolled_back for use in uses),
            sum(use.fused for use in uses),
        )
        record = AutotuneRecord(_ONE, 1, recorded_at=self._provenance.date)
        return race_and_store(
            store,
            self.adapter_id,
            Contender(self._serial, record, serial),
            Contender(self._fused, record, fused),
            threshold_pct=threshold_to_store(report, fused.dispatch_ns, serial.dispatch_ns),
            provenance=self._provenance,
        )


def publish_all(pack_key: str, store: AutotuneStore, uses: Sequence[WorkerUse]) -> None:
    """What a run's workers learned, each kind's by itself."""
    kinds: dict[Hashable, list[WorkerUse]] = {}
    for use in uses:
        kinds.setdefault(use.facts.kind, []).append(use)
    for same in kinds.values():
        Tuning(pack_key, same[0].facts).publish(store, same)


def _adapter(facts: WorkerFacts) -> str:
    """What timings are filed under: backend, machine or driver, and product."""
    name = "cuda" if facts.backend == "cuda" else "cpu"
    text = " ".join(f"{name} {facts.system} {facts.device}".split())
    return "".join(c for c in text if c.isprintable())[:200]
