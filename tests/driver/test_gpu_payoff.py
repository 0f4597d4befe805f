"""When a scan that began on the processors has a GPU's process started."""

from __future__ import annotations

import pytest

from vyre_dist.driver.gpu_payoff import START_SECONDS, GpuPayoff


def first_time(payoff: GpuPayoff) -> float:
    """The first of these moments at which it pays."""
    return next(n / 100 for n in range(10_000) if payoff.pays(n / 100))


@pytest.mark.parametrize(("processors", "after"), [(64, 0.1), (32, 0.1), (8, 0.25), (2, 1.0)])
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
    """What is known to be long, at the rate seen so far, need not be waited for."""
    payoff = GpuPayoff(2)
    payoff.began(0.0)
    payoff.did(1_000_000, 0)
    assert not payoff.pays(0.01)
    payoff.did(0, round(100_000_000 * 2 * START_SECONDS))  # as long as the GPU takes to start
    assert not payoff.pays(0.01)
    payoff.did(0, 10_000_000)
    assert payoff.pays(0.01)


def test_a_large_document_that_is_nearly_done() -> None:
    """What was scanned of it is not before the scan any more."""
    payoff = GpuPayoff(2)
    payoff.began(0.0)
    payoff.did(0, 1_000_000_000)
    payoff.did(999_000_000, 0)
    assert not payoff.pays(0.9)
