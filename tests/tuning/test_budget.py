"""What challengers cost is 1 % of a scan's time at most, and nothing where it can't pay; shown on
simulated scans.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.tuning.budget import CAUTION, HOPE, SHARE, Budget

RUN = st.floats(1e-4, 0.5)
RATIO = st.floats(0.1, CAUTION)


def simulated(task: float, run: float, ratio: float, tasks: int, concurrency: int = 1) -> Budget:
    """A scan of so many tasks of so many seconds, `concurrency` of them at the same time; each has
    a trial whenever the budget grants one, for as many runs as it grants.
    """
    budget, seen = Budget(), None
    at_work: list[tuple[float, float]] = []
    for number in range(tasks):
        cost = run * (CAUTION if seen is None else seen)
        granted = budget.grant(cost, HOPE, (tasks - number) * task, 1)
        runs = int(granted / cost)
        at_work.append((granted, runs * run * ratio))
        if runs:
            seen = ratio
        if len(at_work) == concurrency:
            granted, spent = at_work.pop(0)
            budget.returned(granted, spent, task + spent)
            assert budget.spent <= SHARE * budget.worked
    return budget


@given(st.floats(0.1, 2), RUN, RATIO, st.integers(1, 300), st.integers(1, 8))
def test_no_more_than_a_hundredth(
    task: float, run: float, ratio: float, tasks: int, concurrency: int
) -> None:
    """At any moment of a scan, also of challengers as slow as one had to expect."""
    simulated(task, run, ratio, tasks, concurrency)


def test_nothing_is_spent_below_a_size() -> None:
    """Half a second of work on two runs of 10 ms could win nothing back."""
    assert simulated(0.1, 0.01, 1.0, tasks=5).spent == 0


def test_something_is_spent_on_a_long_scan() -> None:
    """And nearly all that may be."""
    budget = simulated(1.0, 0.01, 1.0, tasks=1000)
    assert 0.9 * SHARE * budget.worked < budget.spent <= SHARE * budget.worked


def test_nothing_is_begun_at_the_end_of_a_scan() -> None:
    budget = Budget(worked=1000.0)
    least = 8 * 0.04 / HOPE
    assert budget.grant(0.04, HOPE, 0.99 * least, 8) == 0
    assert budget.granted == 0
    assert budget.grant(0.04, HOPE, 1.01 * least, 8) > 0


def test_nothing_is_begun_that_can_save_nothing() -> None:
    assert Budget(worked=1000.0).grant(0.01, 0.0, 1e6, 1) == 0


def test_nothing_is_begun_that_can_not_be_decided() -> None:
    """A hundredth of what is left is not enough for the runs that it takes."""
    budget = Budget(worked=101.0, spent=0.9)
    assert budget.grant(0.1, HOPE, left=85.0, runs=10) == 0
    assert budget.grant(0.1, HOPE, left=95.0, runs=10) > 0


def test_what_is_granted_to_one_is_not_granted_to_another() -> None:
    budget = Budget(worked=1000.0)
    first = budget.grant(0.01, HOPE, 1e6, 1)
    assert first == SHARE * 1000
    assert budget.grant(0.01, HOPE, 1e6, 1) == 0
    budget.returned(first, 0.0, 1.0)
    assert budget.grant(0.01, HOPE, 1e6, 1) > first
