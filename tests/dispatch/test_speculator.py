"""AdaptiveSpeculator against the contract and a second model; probing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.dispatch.report import MergedReport, SpeculationReport
from vyre_dist.dispatch.speculator import AdaptiveSpeculator, ProbingSpeculator
from vyre_dist.errors import UsageError

MAX = 2**32 - 1
LOW = SpeculationReport.from_counts(1, 99)
EVEN = SpeculationReport.from_counts(20, 80)
HIGH = SpeculationReport.from_counts(80, 20)


def feed(
    speculator: AdaptiveSpeculator, report: SpeculationReport, times: int
) -> AdaptiveSpeculator:
    for _ in range(times):
        speculator.record(report)
    return speculator


def test_starts_enabled_at_the_default_threshold() -> None:
    """A new speculator speculates, its average at 15 %, without samples."""
    speculator = AdaptiveSpeculator()
    assert (speculator.threshold_ppm, speculator.ema_ppm, speculator.samples) == (
        150_000,
        150_000,
        0,
    )
    assert speculator.enabled
    assert speculator.should_speculate


def test_low_rates_disable_and_high_rates_enable_again() -> None:
    """Threshold 20: twenty reports of 1 % disable it below 150 000 ppm, twenty of 80 % enable it
    again.
    """
    speculator = feed(AdaptiveSpeculator(20), LOW, 20)
    assert not speculator.should_speculate
    assert speculator.ema_ppm < 150_000
    assert feed(speculator, HIGH, 20).should_speculate
    assert speculator.samples == 40


def test_a_rate_at_the_threshold_changes_nothing() -> None:
    """Threshold 20: fifty reports of exactly 20 % leave it enabled."""
    assert feed(AdaptiveSpeculator(20), EVEN, 50).should_speculate


def test_empty_reports_are_no_samples() -> None:
    """A report that attempted nothing changes neither the average nor the number of samples."""
    speculator = feed(AdaptiveSpeculator(20), LOW, 3)
    before = speculator.state()
    speculator.record(SpeculationReport.empty())
    assert speculator.state() == before


def test_average_rounds_toward_minus_infinity() -> None:
    """(1 − 4) >> 2 is −1, where division toward zero would give 0."""
    speculator = AdaptiveSpeculator(0)
    feed(speculator, SpeculationReport(1, 62_499), 1)  # 16 ppm: 0 + (16 >> 2)
    assert speculator.ema_ppm == 4
    feed(speculator, SpeculationReport(1, 999_999), 1)  # 1 ppm
    assert speculator.ema_ppm == 3
    assert speculator.enabled  # nothing is below a threshold of 0


@pytest.mark.parametrize(
    ("committed", "enabled"),
    [(7_499, False), (7_500, True)],
)
def test_deadband_edges(committed: int, enabled: bool) -> None:
    """Disabling needs an average strictly below threshold − threshold/4."""
    speculator = AdaptiveSpeculator(1)  # 10 000 ppm, margin 2 500
    report = SpeculationReport(committed, 1_000_000 - committed)
    feed(speculator, report, 100)
    assert speculator.ema_ppm == committed
    assert speculator.enabled is enabled


@pytest.mark.parametrize(("committed", "enabled"), [(12_503, True), (12_499, False)])
def test_enabling_edge(committed: int, enabled: bool) -> None:
    """Enabling again needs an average of at least threshold + threshold/4."""
    speculator = feed(AdaptiveSpeculator(1), SpeculationReport(0, 1), 30)
    assert not speculator.enabled
    feed(speculator, SpeculationReport(committed, 1_000_000 - committed), 200)
    assert speculator.ema_ppm == committed - 3  # a shift cannot climb the last 3 ppm
    assert speculator.enabled is enabled


def test_threshold_saturates() -> None:
    """A threshold beyond u32 ppm is clamped, and so is the point that would enable again."""
    speculator = AdaptiveSpeculator(MAX)
    assert speculator.threshold_ppm == speculator.ema_ppm == MAX
    feed(speculator, SpeculationReport(1, 0), 100)
    assert not speculator.enabled


class Model:
    """The same speculator, written a second time: floor division instead of shifts, states as a
    table.
    """

    def __init__(self, pct: int) -> None:
        self.threshold = min(pct * 10_000, MAX)
        self.ema = self.threshold
        self.on = True
        self.samples = 0

    def record(self, committed: int, rolled_back: int) -> None:
        attempted = sorted([committed + rolled_back, MAX])[0]
        if not attempted:
            return
        rate = divmod(committed * 10**6, attempted)[0]
        step, remainder = divmod(rate - self.ema, 4)
        assert 0 <= remainder < 4
        self.ema = sorted([0, self.ema + step, MAX])[1]
        self.samples += 1
        quarter = divmod(self.threshold, 4)[0]
        switch = {
            False: self.ema >= sorted([self.threshold + quarter, MAX])[0],
            True: not self.ema < self.threshold - quarter,
        }
        self.on = switch[self.on]


counts = st.integers(0, 200) | st.integers(0, MAX)


@given(
    st.integers(0, 120) | st.sampled_from([429_496, 429_497, MAX]),
    st.lists(st.tuples(counts, counts)),
)
def test_trajectory_equals_the_model(pct: int, observed: list[tuple[int, int]]) -> None:
    """After every report the average, the switch and the number of samples equal the model's."""
    speculator, model = AdaptiveSpeculator(pct), Model(pct)
    for committed, rolled_back in observed:
        speculator.record(SpeculationReport(committed, rolled_back))
        model.record(committed, rolled_back)
        state = speculator.state()
        assert (state.ema_ppm, state.enabled, state.samples) == (model.ema, model.on, model.samples)


def test_merged_reports_are_samples_too() -> None:
    """A merged report is one sample at its exact rate."""
    speculator = AdaptiveSpeculator(20)
    speculator.record(MergedReport(2**40, 0, 8))
    assert (speculator.ema_ppm, speculator.samples) == (400_000, 1)


def test_threads_lose_no_sample() -> None:
    """Eight threads recording at once count every report, and the average stays within what they
    saw.
    """
    speculator = AdaptiveSpeculator(20)
    start = threading.Barrier(8)

    def work(report: SpeculationReport) -> None:
        start.wait()
        feed(speculator, report, 2_000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [LOW, HIGH] * 4))
    assert speculator.samples == 16_000
    assert 10_000 <= speculator.ema_ppm <= 800_000


@pytest.mark.parametrize(("stored", "ppm"), [(None, 150_000), (0, 0), (40, 400_000)])
def test_calibrated_start(stored: int | None, ppm: int) -> None:
    """A stored threshold is where it starts; without one it starts at the default."""
    assert AdaptiveSpeculator.calibrated(stored).threshold_ppm == ppm


@pytest.mark.parametrize("pct", [-1, MAX + 1, 15.0, True])
def test_bad_thresholds_are_refused(pct: int) -> None:
    """A threshold that is not a u32 is a UsageError."""
    with pytest.raises(UsageError, match="threshold_pct"):
        AdaptiveSpeculator(pct)


def test_probing_runs_one_in_every_n() -> None:
    """While disabled, exactly every fourth decision is fused; while enabled, all are."""
    inner = feed(AdaptiveSpeculator(20), LOW, 20)
    probing = ProbingSpeculator(inner, every=4)
    assert [probing.choose() for _ in range(12)] == [False, False, False, True] * 3
    assert probing.probes == 3
    feed(inner, HIGH, 20)
    assert [probing.choose() for _ in range(5)] == [True] * 5
    assert probing.probes == 3


def test_probes_bring_a_disabled_speculator_back() -> None:
    """Fed only through its probes, a disabled speculator is enabled again when the data turns
    good.
    """
    inner = feed(AdaptiveSpeculator(20), LOW, 20)
    probing = ProbingSpeculator(inner, every=8)
    fused = 0
    for _ in range(100):
        if probing.choose():
            fused += 1
            probing.record(HIGH)
    assert inner.enabled
    assert probing.probes == 2  # 10 % → 27 % → 40 %: the second probe passes 25 %
    assert fused == 100 - 2 * 7


def test_looking_is_not_deciding() -> None:
    """Reading should_speculate any number of times does not bring the next probe nearer."""
    probing = ProbingSpeculator(feed(AdaptiveSpeculator(20), LOW, 20), every=2)
    assert [probing.should_speculate for _ in range(5)] == [False] * 5
    assert not probing.choose()
    assert [probing.should_speculate for _ in range(5)] == [True] * 5
    assert probing.choose()
    assert not probing.should_speculate


def test_concurrent_decisions_probe_exactly_once_in_n() -> None:
    """Eight threads deciding 800 times together make 100 probes at 1 in 8."""
    probing = ProbingSpeculator(feed(AdaptiveSpeculator(20), LOW, 20), every=8)
    with ThreadPoolExecutor(8) as pool:
        chosen = list(pool.map(lambda _: probing.choose(), range(800)))
    assert sum(chosen) == probing.probes == 100


@pytest.mark.parametrize("every", [0, -1, 1.5, True, None])
def test_bad_probe_rates_are_refused(every: int) -> None:
    """`every` must be an int of 1 or more."""
    with pytest.raises(UsageError, match="every"):
        ProbingSpeculator(AdaptiveSpeculator(), every=every)
