"""Scans with a run directory, in this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from local_pools import PACK

from vyre_dist.driver.in_process_pool import InProcessPool
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.no_pool import NoPool
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.recorded_plan import RecordedPlan
from vyre_dist.driver.run import Callbacks, ScanOutcome, run_scan
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.finding import Finding
from vyre_dist.ledger.history import History
from vyre_dist.ledger.run_directory import RunDirectory
from vyre_dist.sources import walk, walk_folders
from vyre_dist.storage import LocalStorage

SHARD_BYTES = 2048


@dataclass
class Scans:
    """Scans of `root`; `listed`: how the walk gives its files."""

    engine: ScanEngine
    root: Path
    folders: bool = True

    def plan(self, run: RunDirectory | None) -> Plan:
        items = (walk_folders if self.folders else walk)([str(self.root)])
        if run is None:
            return Plan(items, SHARD_BYTES, 8)
        return RecordedPlan(run.history, run.void, items, SHARD_BYTES, 8)

    def scan(self, run: RunDirectory | None) -> tuple[list[Finding], ScanOutcome]:
        found: list[Finding] = []
        told = Callbacks(found.extend, lambda _: None, lambda _: None, lambda _t, _p: None)
        pool = InProcessPool(self.engine)
        outcome = run_scan(self.plan(run), pool, PACK.rules, told, recording=run)
        return found, outcome

    def merge(self, place: Path) -> tuple[list[Finding], ScanOutcome]:
        found: list[Finding] = []
        told = Callbacks(found.extend, lambda _: None, lambda _: None, lambda _t, _p: None)
        plan = RecordedPlan(History(LocalStorage(str(place))), None, (), SHARD_BYTES)
        config = MachineConfig(only_entries=True)
        return found, run_scan(plan, NoPool(), PACK.rules, told, config)


def opened(place: Path, resume: bool) -> RunDirectory:
    return RunDirectory(str(place), {"a": 1}, b"", resume=resume)


def counts(outcome: ScanOutcome) -> tuple[int, ...]:
    totals = outcome.totals
    return totals.documents, totals.bytes, totals.findings, totals.skipped
