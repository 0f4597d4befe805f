"""From a race to the store, and from costs to a threshold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.autotune.calibrate import break_even_pct, threshold_to_store
from vyre_dist.autotune.memory import MemoryStore
from vyre_dist.autotune.publish import Contender, race_and_store
from vyre_dist.autotune.record import LoserTiming, Provenance, StoredRecord
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey
from vyre_dist.dispatch.race import Variant, VariantTiming
from vyre_dist.dispatch.report import MergedReport, SpeculationReport
from vyre_dist.dispatch.speculator import AdaptiveSpeculator
from vyre_dist.errors import UsageError


def contender(spec_hash: int, unroll: int, compile_ns: int, dispatch_ns: int) -> Contender:
    spec = SpecCacheKey(0xFEED, 0xBEEF, (64, 1, 1), spec_hash)
    return Contender(
        spec, AutotuneRecord((64, 1, 1), unroll), VariantTiming(compile_ns, dispatch_ns)
    )


@pytest.mark.parametrize(
    ("conservative", "speculative", "winner", "saved"),
    [
        (contender(1, 1, 0, 1000), contender(2, 4, 100, 200), Variant.SPECULATIVE, 700),
        (contender(3, 2, 100, 500), contender(4, 8, 500, 100), Variant.CONSERVATIVE, 0),
    ],
)
def test_the_winners_record_is_stored_under_the_winners_key(
    conservative: Contender, speculative: Contender, winner: Variant, saved: int
) -> None:
    """Only the winner's key has a record: the winner's, with its times, the loser's, and its
    origin.
    """
    provenance = Provenance((("driver", "550"),), "host", "2026-05-02")
    won, lost = (
        (conservative, speculative)
        if winner is Variant.CONSERVATIVE
        else (speculative, conservative)
    )
    loser = "speculative" if winner is Variant.CONSERVATIVE else "conservative"
    with MemoryStore() as store:
        result = race_and_store(
            store,
            "native-sm120",
            conservative,
            speculative,
            threshold_pct=31,
            provenance=provenance,
        )
        assert (result.outcome.winner, result.outcome.saved_ns, result.stored) == (
            winner,
            saved,
            True,
        )
        key = AutotuneKey.of(won.spec, "native-sm120")
        expected = StoredRecord(
            key,
            won.record,
            won.spec,
            won.timing,
            (LoserTiming(loser, lost.timing),),
            31,
            provenance,
        )
        assert result.winner == expected
        assert list(store.items()) == [expected]
        assert store.get(AutotuneKey.of(lost.spec, "native-sm120"), lost.spec) is None


def test_a_slower_repetition_does_not_replace_the_record() -> None:
    """A second race whose winner is slower than the stored one leaves it there, and says so."""
    with MemoryStore() as store:
        race_and_store(store, "a", contender(1, 1, 0, 100), contender(2, 4, 0, 200))
        again = race_and_store(store, "a", contender(1, 7, 0, 150), contender(2, 4, 0, 200))
        assert not again.stored
        assert [stored.record.unroll for stored in store.items()] == [1]


@pytest.mark.parametrize(
    ("report", "fused_ns", "serial_ns", "pct"),
    [
        (SpeculationReport(50, 50), 100, 100, 50),
        (SpeculationReport(50, 50), 50, 100, 25),
        (SpeculationReport(50, 50), 51, 100, 26),
        (SpeculationReport(50, 50), 500, 100, 100),
        (SpeculationReport(1, 10**6), 1, 10**9, 0),
        (SpeculationReport(1, 99), 1, 10**9, 1),
        (SpeculationReport(0, 100), 100, 100, None),
        (SpeculationReport(0, 0), 100, 100, None),
        (SpeculationReport(50, 50), 0, 100, None),
        (SpeculationReport(50, 50), 100, 0, None),
        (MergedReport(2**40, 2**40, 8), 100, 200, 25),
    ],
)
def test_break_even(
    report: SpeculationReport, fused_ns: int, serial_ns: int, pct: int | None
) -> None:
    """Equal costs break even at the observed rate, half the cost at half of it; no measurement
    gives None.
    """
    assert break_even_pct(report, fused_ns, serial_ns) == pct


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 10**12), st.integers(1, 10**12))
def test_break_even_judges_its_own_measurement(
    committed: int, rolled_back: int, fused_ns: int, serial_ns: int
) -> None:
    """A path measured to be the slower one is not worthwhile at its own rate, by its own
    break-even.
    """
    report = SpeculationReport(committed, rolled_back)
    pct = break_even_pct(report, fused_ns, serial_ns)
    assert pct is not None
    assert 0 <= pct <= 100
    if fused_ns > serial_ns and pct < 100 and report.commit_rate_ppm:
        assert report.commit_rate_ppm <= pct * 10_000


def test_negative_times_are_refused() -> None:
    """Times are counts."""
    with pytest.raises(UsageError, match="fused_ns"):
        break_even_pct(SpeculationReport(1, 1), -1, 1)


@pytest.mark.parametrize(
    ("committed", "fused_ns", "pct"),
    [
        (3, 70, 0),  # 0.21 %: rounded up it would turn off what is faster
        (0, 70, 0),
        (0, 100, 0),
        (40, 70, 2),
        (500, 50, 25),
        (1000, 100, 100),
        (0, 130, None),
        (40, 125, 6),  # 5 % is within the margin of 4 %
        (40, 1000, 40),
        (750, 200, 134),  # break-even is at 150 %
        (900, 130, 134),
        (900, 105, 121),
        (1000, 101, 134),
    ],
)
def test_threshold_to_store(committed: int, fused_ns: int, pct: int | None) -> None:
    """What a speculator starts from does, at the rate that was seen, what was measured as
    cheaper.
    """
    report = SpeculationReport(committed, 1000 - committed)
    assert threshold_to_store(report, fused_ns, 100) == pct


@given(st.integers(0, 1000), st.integers(1, 300))
def test_a_stored_threshold_keeps_the_cheaper_path(committed: int, fused_ns: int) -> None:
    """Fused stays on where it was not the slower one; else it goes off, at whatever rate."""
    report = SpeculationReport(committed, 1000 - committed)
    pct = threshold_to_store(report, fused_ns, 100)
    speculator = AdaptiveSpeculator.calibrated(pct)
    for _ in range(40):
        speculator.record(report)
    if fused_ns <= 100:
        assert speculator.enabled
    elif committed:
        assert not speculator.enabled
