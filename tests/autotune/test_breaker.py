"""The circuit breaker, on a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vyre_dist.autotune.breaker import CircuitBreaker


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


@pytest.fixture
def breaker(clock: list[float]) -> CircuitBreaker:
    return CircuitBreaker(first_pause_s=5, longest_pause_s=15, clock=lambda: clock[0])


def test_a_failure_opens_it_for_the_pause(breaker: CircuitBreaker, clock: list[float]) -> None:
    """After a failure nobody may go until the pause is over; then exactly one."""
    assert breaker.allow()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.allow()
    clock[0] += 4.99
    assert not breaker.allow()
    clock[0] += 0.02
    assert [breaker.allow() for _ in range(3)] == [True, False, False]


def test_a_good_trial_closes_it(breaker: CircuitBreaker, clock: list[float]) -> None:
    """When the one trial succeeds all may go, and the next failure pauses for the first time's
    length.
    """
    for _ in range(2):
        breaker.failed()
        clock[0] += 5
        assert breaker.allow()
        breaker.succeeded()
        assert not breaker.is_open
        assert all(breaker.allow() for _ in range(3))


def test_failed_trials_double_the_pause_up_to_a_limit(
    breaker: CircuitBreaker, clock: list[float]
) -> None:
    """Pauses grow 5, 10, 15, 15."""
    breaker.failed()
    for pause in (5, 10, 15, 15):
        clock[0] += pause - 0.01
        assert not breaker.allow()
        clock[0] += 0.02
        assert breaker.allow()
        breaker.failed()


def test_calls_under_way_do_not_lengthen_the_pause(
    breaker: CircuitBreaker, clock: list[float]
) -> None:
    """Ten calls that were let through together and all fail open it once."""
    assert all(breaker.allow() for _ in range(10))
    for _ in range(10):
        breaker.failed()
        clock[0] += 0.1
    clock[0] += 4.01
    assert breaker.allow()


def test_the_real_clock_is_the_default() -> None:
    """Without a clock it runs on the monotonic one: a pause of zero is over at once."""
    make: Callable[[], CircuitBreaker] = lambda: CircuitBreaker(first_pause_s=0)  # noqa: E731
    breaker = make()
    breaker.failed()
    assert breaker.allow()
