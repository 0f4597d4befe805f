"""What a run learns of fused against serial is what the next one starts from, on workers of the
same kind.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.memory import MemoryStore
from vyre_dist.driver.roster import WorkerUse
from vyre_dist.driver.tuning import Tuning, publish_all
from vyre_dist.driver.worker_facts import WorkerFacts, facts_of
from vyre_dist.engine.tasks import TrialPair

CPU = facts_of("cpu")
H200 = facts_of("cuda", "NVIDIA H200")


def pair(fused_ns: int, serial_ns: int, size: int) -> TrialPair:
    """One trial of so many bytes."""
    serial, ratio = Choice.of(lane="serial"), math.log(serial_ns / fused_ns)
    return TrialPair(serial, "", ratio, fused_ns, serial_ns, True, bytes=size)


def use(
    facts: WorkerFacts = CPU,
    fused_ns: int = 700_000,
    serial_ns: int = 1_000_000,
    committed: int = 3,
) -> WorkerUse:
    """A worker's trials, at `committed` of a thousand tiles."""
    return WorkerUse(
        0,
        facts,
        committed=committed,
        rolled_back=1000 - committed,
        fused=10,
        pairs=[pair(fused_ns, serial_ns, 64 << 20)],
    )


def run(store: MemoryStore, fused_ns: int, serial_ns: int, committed: int) -> int | None:
    """The threshold that the run after such a one starts with."""
    publish_all("pack", store, [use(CPU, fused_ns, serial_ns, committed)])
    return Tuning("pack", CPU).threshold_pct(store)


def test_a_rate_below_one_percent() -> None:
    """Fused was faster, and stays on."""
    assert run(MemoryStore(), 700_000, 1_000_000, 3) == 0


def test_text_without_a_match_does_not_decide_for_all() -> None:
    """That fused costs nothing where there is nothing to commit is no reason to keep it where it
    costs twice as much.
    """
    store = MemoryStore()
    assert run(store, 990_000, 1_000_000, 0) == 0
    assert run(store, 4_500_000, 2_000_000, 50) == 12
    assert run(store, 990_000, 1_000_000, 0) == 12


def test_what_gpus_took_is_filed_under_the_gpu() -> None:
    """Workers with a GPU and workers without one learn of their own kind, whatever the driver's
    machine has.
    """
    store = MemoryStore()
    publish_all("pack", store, [use(H200), use(CPU, 4_500_000, 2_000_000, 50)])
    assert {record.key.adapter_id.split()[0] for record in store.items()} == {"cuda", "cpu"}
    assert "NVIDIA H200" in Tuning("pack", H200).adapter_id
    assert Tuning("pack", H200).threshold_pct(store) == 0
    assert Tuning("pack", CPU).threshold_pct(store) == 12


@pytest.mark.parametrize(
    "change", [{"device": "another"}, {"system": "another"}, {"versions": {"hyperscan": "0"}}]
)
def test_another_kind_starts_anew(change: dict[str, Any]) -> None:
    """Times of one device, driver or version say nothing of another's."""
    store = MemoryStore()
    publish_all("pack", store, [use(H200)])
    assert Tuning("pack", replace(H200, **change)).threshold_pct(store) is None


def test_workers_of_a_kind_are_put_together() -> None:
    """One alone has tried too little to tell, and two have tried enough."""
    part = replace(use(), pairs=[pair(100_000, 200_000, 3 << 20)])
    for together in (1, 2):
        store = MemoryStore()
        publish_all("pack", store, [part] * together)
        assert len(list(store.items())) == together - 1
