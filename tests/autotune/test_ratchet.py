"""What a thousand noisy races leave in a store is the truth, not the luckiest of them."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable

import pytest

from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.memory import MemoryStore
from vyre_dist.autotune.record import Measured, StoredRecord

Make = Callable[..., StoredRecord]

SERIAL, WIDE = Choice.of(lane="serial"), Choice.of(threads=512)
RUN = "a" * 40
_PAIRS = 15
# One pair's noise: a tenth, as other programs of a busy machine make it.
_NOISE = 0.1
_MARGIN = 0.98


def measured(draw: random.Random, truth: float, noise: float = _NOISE) -> Gain:
    """What `_PAIRS` pairs show of a choice whose ratio is `truth`: mean log and 95 % interval."""
    logs = [math.log(truth) + draw.gauss(0, noise) for _ in range(_PAIRS)]
    middle = statistics.fmean(logs)
    half = 2.145 * statistics.stdev(logs) / math.sqrt(_PAIRS)  # Student's, of 14 degrees
    return Gain(*(math.exp(middle + step) for step in (0, -half, half)), pairs=_PAIRS)


def raced(
    make_record: Make, gains: dict[Choice, Gain], fence: Fence | None, incumbent: Choice
) -> StoredRecord:
    """The record of a race: the lowest whose whole interval lies below the margin, else the
    default.
    """
    won = min(
        (choice for choice, gain in gains.items() if gain.high < _MARGIN),
        key=lambda choice: gains[choice].ratio,
        default=DEFAULT_CHOICE,
    )
    others = [Measured(choice, gain) for choice, gain in gains.items() if choice != won]
    assert incumbent.is_default or incumbent == won or incumbent in [o.choice for o in others]
    mine = gains.get(won, Gain(1, 1, 1, _PAIRS))
    return make_record(choice=won, gain=mine, measured=tuple(others), fence=fence)


def held(store: MemoryStore, record: StoredRecord) -> StoredRecord:
    assert record.spec is not None
    found = store.get(record.key, record.spec)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("truths", "best", "fenced"),
    [
        ({SERIAL: 0.85, WIDE: 1.05}, SERIAL, True),
        ({SERIAL: 0.85, WIDE: 1.05}, SERIAL, False),
        ({SERIAL: 0.90, WIDE: 0.75}, WIDE, True),
        ({SERIAL: 0.90, WIDE: 0.75}, WIDE, False),
        # without a lease one false alarm in a thousand would stay
        ({SERIAL: 1.00, WIDE: 1.00}, DEFAULT_CHOICE, True),
    ],
)
def test_a_thousand_noisy_runs_end_at_the_truth(
    make_record: Make, truths: dict[Choice, float], best: Choice, fenced: bool
) -> None:
    """The best choice, with a ratio that is not better than it is: over many stores, what stays is
    as often too low as one measurement is. Under leases, and where nobody has one.
    """
    draw = random.Random(17)
    stores = 20
    right, lows, offs = 0, 0, []
    for _ in range(stores):
        with MemoryStore() as store:
            latest = DEFAULT_CHOICE
            for number in range(1000 // stores):
                gains = {choice: measured(draw, truth) for choice, truth in truths.items()}
                fence = Fence(RUN, number) if fenced else None
                record = raced(make_record, gains, fence, latest)
                store.put(record)
                latest = held(store, record).choice
            stays = held(store, make_record())
        right += stays.choice == best
        if stays.choice == best and not best.is_default:
            assert stays.gain is not None
            lows += stays.gain.high < truths[best]
            offs.append(math.log(stays.gain.ratio / truths[best]))
    assert right >= stores - 1
    # an interval of 95 % lies below the truth in one of forty
    assert lows <= 2
    # the mean of what stays: a ratchet's goes down by several standard errors with each race
    if offs:
        error = _NOISE / math.sqrt(_PAIRS * len(offs))
        assert abs(statistics.fmean(offs)) < 4 * error


def test_the_luckiest_measurement_does_not_stay(make_record: Make) -> None:
    """It was filed as half of the time; the next holder of a lease measures both again."""
    draw = random.Random(3)
    with MemoryStore() as store:
        lucky = make_record(choice=SERIAL, gain=Gain(0.5, 0.49, 0.51, 9), fence=Fence(RUN, 1))
        assert store.put(lucky)
        truth = {SERIAL: measured(draw, 0.95), WIDE: measured(draw, 0.8)}
        without = raced(make_record, truth, None, SERIAL)
        assert not store.put(without)
        assert not store.put(raced(make_record, truth, Fence(RUN, 1), SERIAL))
        assert store.put(raced(make_record, truth, Fence(RUN, 2), SERIAL))
        assert held(store, lucky).choice == WIDE
