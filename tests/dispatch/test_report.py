"""SpeculationReport, MergedReport and the counter tail: the contract's examples, and a second
model.
"""

from __future__ import annotations

import ctypes
import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.dispatch.report import (
    MergedReport,
    SpeculationReport,
    encode_counter_tail,
    merge,
    parse_counter_tail,
)
from vyre_dist.errors import UsageError

MAX = 2**32 - 1
u32 = st.integers(0, MAX) | st.sampled_from([0, 1, 2, MAX - 1, MAX])
reports = st.builds(SpeculationReport.from_counts, u32, u32)
merged = st.builds(
    MergedReport, st.integers(0, 2**70), st.integers(0, 2**70), st.integers(0, 2**40)
)


@pytest.mark.parametrize(
    ("committed", "rolled_back", "attempted", "ppm", "pct", "reached", "missed"),
    [
        (0, 0, 0, 0, 0, [0], [1]),
        (1, 3, 4, 250_000, 25, [25], [26]),
        (20, 80, 100, 200_000, 20, [20], [25]),
        (0, 1024, 1024, 0, 0, [0], [1]),
        (1024, 0, 1024, 1_000_000, 100, [99, 100], [101, MAX]),
        (1, 2, 3, 333_333, 33, [33], [34]),
        (MAX, MAX, MAX, 1_000_000, 100, [100], [101]),
        (1, MAX, MAX, 0, 0, [0], [1]),
        (MAX, 0, MAX, 1_000_000, 100, [100], [429_497, MAX]),
    ],
)
def test_report_numbers(
    committed: int,
    rolled_back: int,
    attempted: int,
    ppm: int,
    pct: int,
    reached: list[int],
    missed: list[int],
) -> None:
    """A report's derived numbers are the contract's, at its examples and at u32's edges."""
    report = SpeculationReport.from_counts(committed, rolled_back)
    assert (report.attempted_tiles, report.commit_rate_ppm, report.commit_rate_pct) == (
        attempted,
        ppm,
        pct,
    )
    assert [report.worthwhile(t) for t in reached] == [True] * len(reached)
    assert [report.worthwhile(t) for t in missed] == [False] * len(missed)


def test_empty_is_the_report_of_zeros() -> None:
    """empty() equals from_counts(0, 0) and is not worthwhile at 1 %."""
    assert SpeculationReport.empty() == SpeculationReport.from_counts(0, 0)
    assert not SpeculationReport.empty().worthwhile(1)


@given(u32, u32, st.integers(0, MAX))
def test_arithmetic_agrees_with_fixed_width_integers(
    committed: int, rolled_back: int, threshold: int
) -> None:
    """ppm, percent and worthwhile equal a model that computes in ctypes' u32 and u64."""
    wrapped = ctypes.c_uint32(committed + rolled_back).value
    attempted = MAX if wrapped < committed else wrapped
    product = ctypes.c_uint64(committed * 1_000_000).value
    ppm = ctypes.c_uint32(divmod(product, attempted)[0]).value if attempted else 0
    threshold_ppm = MAX if threshold > MAX // 10_000 else threshold * 10_000
    report = SpeculationReport(committed, rolled_back)
    assert report.attempted_tiles == attempted
    assert report.commit_rate_ppm == ppm
    assert report.commit_rate_pct == divmod(ppm, 10_000)[0]
    assert report.worthwhile(threshold) is (ppm >= threshold_ppm)


@given(merged)
def test_merged_rate_is_the_exact_fraction_rounded_down(report: MergedReport) -> None:
    """A merged report never saturates: its rate is the floor of the exact ratio, at any size."""
    total = report.committed_tiles + report.rolled_back_tiles
    assert report.attempted_tiles == total
    exact = Fraction(report.committed_tiles, total) * 1_000_000 if total else Fraction(0)
    assert report.commit_rate_ppm == math.floor(exact)
    assert report.commit_rate_pct == math.floor(exact / 10_000)
    assert report.worthwhile(37) is (math.floor(exact) >= 370_000)


@given(merged, merged, merged)
def test_merging_is_associative_and_commutative(
    a: MergedReport, b: MergedReport, c: MergedReport
) -> None:
    """The order and the grouping of merges do not matter, and the empty report is neutral."""
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + MergedReport() == a


@given(st.lists(reports, max_size=20), st.integers(0, 20))
def test_merge_counts_every_shard_once(parts: list[SpeculationReport], cut: int) -> None:
    """Merging in two steps equals merging at once, and shards are the number of reports."""
    whole = merge(parts)
    assert whole == merge([merge(parts[:cut]), *parts[cut:]])
    assert whole.shards == len(parts)
    assert whole.committed_tiles == sum(p.committed_tiles for p in parts)
    assert whole.rolled_back_tiles == sum(p.rolled_back_tiles for p in parts)


def test_merged_sum_passes_u32() -> None:
    """Two full u32 reports add up to more than u32, where a single report would saturate."""
    total = merge([SpeculationReport(MAX, 0), SpeculationReport(0, MAX)])
    assert total.attempted_tiles == 2 * MAX
    assert total.commit_rate_ppm == 500_000
    assert SpeculationReport(MAX, MAX).attempted_tiles == MAX


def test_reports_are_frozen() -> None:
    """A report cannot be changed once it was counted."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        SpeculationReport(1, 2).committed_tiles = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "counts",
    [(-1, 0), (0, -1), (MAX + 1, 0), (0, MAX + 1), (True, 0), (1.0, 0), ("1", 0), (None, 0)],
)
def test_counts_outside_u32_are_refused(counts: tuple[object, object]) -> None:
    """What is not a u32 is a UsageError that names the field."""
    with pytest.raises(UsageError, match="_tiles must be"):
        SpeculationReport(*counts)  # type: ignore[arg-type]


def test_counts_may_be_numpy_integers() -> None:
    """Counts read from a device buffer become plain ints."""
    report = SpeculationReport.from_counts(np.uint32(MAX), np.uint32(1))
    assert type(report.committed_tiles) is int
    assert report.attempted_tiles == MAX


@pytest.mark.parametrize("threshold", [-1, MAX + 1, 1.5])
def test_thresholds_outside_u32_are_refused(threshold: int) -> None:
    """A threshold that is not a u32 is a UsageError, for single and merged reports."""
    for report in (SpeculationReport(1, 1), MergedReport(1, 1, 1)):
        with pytest.raises(UsageError, match="threshold_pct"):
            report.worthwhile(threshold)


@given(st.binary(max_size=64).map(lambda b: b[: len(b) // 4 * 4]), reports)
def test_tail_round_trip(prefix: bytes, report: SpeculationReport) -> None:
    """parse(x + encode(r)) == r for every kind of buffer, and encode gives two little-endian
    u32.
    """
    tail = encode_counter_tail(report)
    assert tail == report.committed_tiles.to_bytes(4, "little") + report.rolled_back_tiles.to_bytes(
        4, "little"
    )
    buf = prefix + tail
    array = np.frombuffer(buf, dtype=np.uint8)
    for given_as in (
        buf,
        bytearray(buf),
        memoryview(buf),
        array,
        array.view("<u4"),
        array.reshape(-1, 4),
    ):
        assert parse_counter_tail(given_as) == report


@pytest.mark.parametrize("length", [0, 1, 4, 7, 9, 10, 11, 13, 4097])
def test_no_report_in_short_or_misaligned_buffers(length: int) -> None:
    """Below 8 bytes, or off a multiple of 4, there is no report; it is not an error."""
    assert parse_counter_tail(bytes(length)) is None
    assert parse_counter_tail(np.zeros(length, dtype=np.uint8)) is None


def test_strided_buffers_are_refused() -> None:
    """A buffer with gaps has no last 8 bytes: TypeError."""
    with pytest.raises(TypeError, match="contiguous"):
        parse_counter_tail(np.zeros(32, dtype=np.uint8)[::2])
