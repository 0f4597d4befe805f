"""Which of two records stays: by intervals, by fences, and never by luck."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.record import Measured, StoredRecord, beats

Make = Callable[..., StoredRecord]

SERIAL, WIDE = Choice.of(lane="serial"), Choice.of(threads=512)
RUN, OTHER_RUN = "a" * 40, "b" * 40


def gain(ratio: float, half: float = 0.02) -> Gain:
    return Gain(ratio, ratio - half, ratio + half, 9)


@pytest.mark.parametrize(
    ("challenger", "incumbent", "wins"),
    [
        (0.80, 0.90, True),
        (0.90, 0.80, False),
        (0.87, 0.90, False),
        (0.859, 0.90, True),
    ],
)
def test_only_intervals_that_do_not_overlap_replace(
    make_record: Make, challenger: float, incumbent: float, wins: bool
) -> None:
    """The lower ratio alone is not enough."""
    mine = make_record(choice=SERIAL, gain=gain(challenger))
    held = make_record(choice=WIDE, gain=gain(incumbent))
    assert beats(mine, held) is wins


def test_another_measurement_of_the_same_choice_replaces_nothing(make_record: Make) -> None:
    """Else the luckiest of many would stay."""
    held = make_record(choice=SERIAL, gain=gain(0.9))
    assert not beats(make_record(choice=SERIAL, gain=gain(0.5)), held)


def test_no_gain_never_replaces_one(make_record: Make) -> None:
    """Whatever it cost; and any gain replaces what was not measured against the default."""
    measured = make_record(choice=SERIAL, gain=gain(1.5), cost=10**9)
    assert not beats(make_record(cost=0), measured)
    assert beats(measured, make_record(cost=0))


def test_the_holder_of_a_newer_fence_who_measured_both_has_the_last_word(
    make_record: Make,
) -> None:
    """For better or worse: so a lucky outlier goes. Not who measured only the own choice."""
    lucky = make_record(choice=SERIAL, gain=gain(0.5), fence=Fence(RUN, 7))
    both = {"measured": (Measured(SERIAL, gain(0.97)),), "gain": gain(0.92), "choice": WIDE}
    assert beats(make_record(**both, fence=Fence(RUN, 8)), lucky)
    assert beats(make_record(choice=SERIAL, gain=gain(0.97), fence=Fence(RUN, 8)), lucky)
    assert not beats(make_record(**both | {"measured": ()}, fence=Fence(RUN, 8)), lucky)
    assert not beats(make_record(**both), lucky)
    assert not beats(make_record(**both, fence=Fence(RUN, 7)), lucky)


def test_every_race_measures_the_default(make_record: Make) -> None:
    """A record that says that the default is best is replaced by whoever holds a newer fence."""
    default = make_record(gain=Gain(1, 1, 1, 9), fence=Fence(RUN, 7))
    assert beats(make_record(choice=WIDE, gain=gain(0.99), fence=Fence(RUN, 8)), default)
    assert not beats(make_record(choice=WIDE, gain=gain(0.99), fence=Fence(RUN, 6)), default)


def test_a_stale_fence_never_replaces(make_record: Make) -> None:
    """Not with the better interval either."""
    held = make_record(choice=SERIAL, gain=gain(0.9), fence=Fence(RUN, 7))
    mine = make_record(choice=WIDE, gain=gain(0.5), fence=Fence(RUN, 6))
    assert not beats(mine, held)
    assert beats(make_record(choice=WIDE, gain=gain(0.5)), held)


def test_fences_of_two_servers_are_told_apart(make_record: Make) -> None:
    """By their counters, which follow the servers' clocks; equal ones by the run's id."""
    assert Fence(OTHER_RUN, 8).newer_than(Fence(RUN, 7))
    assert not Fence(OTHER_RUN, 7).newer_than(Fence(RUN, 8))
    assert Fence(OTHER_RUN, 7).newer_than(Fence(RUN, 7))
    assert not Fence(RUN, 7).newer_than(Fence(RUN, 7))


def test_the_later_failure_stays(make_record: Make) -> None:
    """And is filed beside the winner, not in its place."""
    first = make_record(choice=WIDE, failed_until=100)
    assert first.place != make_record(choice=WIDE, gain=gain(0.9)).place
    assert beats(make_record(choice=WIDE, failed_until=101), first)
    assert not beats(make_record(choice=WIDE, failed_until=100), first)


@pytest.mark.parametrize(("now", "counts"), [(999, True), (1000, False), (-90_000, False)])
def test_a_failure_counts_for_a_day_at_most(make_record: Make, now: int, counts: bool) -> None:
    """As the clock of who wrote it may be wrong."""
    assert make_record(choice=WIDE, failed_until=1000).failed_at(now) is counts
