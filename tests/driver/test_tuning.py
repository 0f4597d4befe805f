"""What a run learns of fused against serial is what the next one starts from."""

from __future__ import annotations

from vyre_dist.autotune.memory import MemoryStore
from vyre_dist.driver.totals import Totals
from vyre_dist.driver.tuning import Tuning


def run(store: MemoryStore, fused_ns: int, serial_ns: int, committed: int) -> int | None:
    """A run's race, at `committed` of a thousand tiles; the threshold that the next run starts with."""
    totals = Totals()
    totals.raced = [fused_ns, 64 << 20, serial_ns, 64 << 20]
    totals.committed, totals.rolled_back, totals.fused = committed, 1000 - committed, 10
    Tuning("pack", "reference").publish(store, totals)
    return Tuning("pack", "reference").threshold_pct(store)


def test_a_rate_below_one_percent() -> None:
    """Fused was faster, and stays on."""
    assert run(MemoryStore(), 700_000, 1_000_000, 3) == 0


def test_text_without_a_match_does_not_decide_for_all() -> None:
    """That fused costs nothing where there is nothing to commit is no reason to keep it where it costs twice as much."""
    store = MemoryStore()
    assert run(store, 990_000, 1_000_000, 0) == 0
    assert run(store, 4_500_000, 2_000_000, 50) == 12
    assert run(store, 990_000, 1_000_000, 0) == 12
