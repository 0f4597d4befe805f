"""When a scan that began on the processors has a GPU's process started."""

from __future__ import annotations

import pytest

from vyre_dist.driver.gpu_payoff import START_SECONDS, GpuPayoff


def first_time(payoff: GpuPayoff) -> float:
    """The first of these moments at which it pays."""
    return next(n / 100 for n in range(10_000) if payoff.pays(n / 100))


@pytest.mark.parametrize(("processors", "after"), [(64, 0.1), (40, 0.1), (8, 0.5), (2, 2.0)])
def test_a_scan_that_goes_on(processors: int, after: float) -> None:
    """The more processors there are, the less one that starts a GPU's process is missed."""
    payoff = GpuPayoff(processors)
    assert not payoff.pays(100.0)  # nothing was begun
    payoff.began(0.0)
    payoff.began(5.0)  # of many tasks the first one counts
    assert first_time(payoff) == pytest.approx(after)
    assert payoff.due(0.04) == pytest.approx(after - 0.04)
    assert payoff.due(100.0) == 0.0


def test_a_large_document_that_turns_up() -> None:
    """What is known to be long need not be waited for, at what processors do at least."""
    payoff = GpuPayoff(2)
    payoff.began(0.0)
    payoff.did(0, round(2 * 100e6 * 2 * START_SECONDS) - 1)
    assert not payoff.pays(0.01)
    payoff.did(0, 1)
    assert payoff.pays(0.01)


def test_a_large_document_at_the_rate_seen() -> None:
    """Processors that are faster are given longer documents."""
    payoff = GpuPayoff(2)
    payoff.began(0.0)
    payoff.did(500_000_000, 1_500_000_000)  # a second and more is left at a gigabyte a second
    assert not payoff.pays(0.5)
    payoff.did(0, 2_000_000_000)
    assert payoff.pays(0.5)


def test_a_large_document_that_is_nearly_done() -> None:
    """The rest of the scan is known to be short: only if it goes on all the same, it pays."""
    payoff = GpuPayoff(10)
    payoff.began(0.0)
    payoff.did(0, 1_000_000_000)
    payoff.did(999_000_000, 0)
    assert not payoff.pays(5.9)
    assert payoff.due(5.9) == pytest.approx(0.1)
    assert payoff.pays(6.0)
    payoff.did(1_100_000_000, 0)  # of small files, and nobody knows how many
    assert payoff.pays(0.5)
