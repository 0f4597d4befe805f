"""Keys, their fold, and the variant race."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey
from vyre_dist.dispatch.race import Variant, VariantTiming, race
from vyre_dist.errors import UsageError

U32, U64 = 2**32 - 1, 2**64 - 1
u32 = st.integers(0, U32) | st.sampled_from([0, 1, 64, U32])
u64 = st.integers(0, U64) | st.sampled_from([0, 1, U64 - 1, U64])


@pytest.mark.parametrize(
    ("conservative", "speculative", "winner", "saved"),
    [
        ((0, 1000), (100, 200), Variant.SPECULATIVE, 700),
        ((100, 500), (500, 100), Variant.CONSERVATIVE, 0),
        ((0, 0), (0, 0), Variant.CONSERVATIVE, 0),
        ((0, 300), (1, 300), Variant.CONSERVATIVE, 1),
        ((0, 301), (1, 299), Variant.SPECULATIVE, 1),
        ((U64, U64), (1, 1), Variant.SPECULATIVE, U64 - 2),
        ((U64, U64), (U64, 0), Variant.CONSERVATIVE, 0),
    ],
)
def test_race(
    conservative: tuple[int, int], speculative: tuple[int, int], winner: Variant, saved: int
) -> None:
    """The strictly faster speculative variant wins, a tie keeps the other one, sums saturate at
    u64.
    """
    outcome = race(VariantTiming(*conservative), VariantTiming(*speculative))
    assert (outcome.winner, outcome.saved_ns) == (winner, saved)


@given(u64, u64, u64, u64)
def test_race_properties(a: int, b: int, c: int, d: int) -> None:
    """The winner is never slower than the loser, and the saving is their difference."""
    outcome = race(VariantTiming(a, b), VariantTiming(c, d))
    totals = {
        Variant.CONSERVATIVE: outcome.conservative.total_ns,
        Variant.SPECULATIVE: outcome.speculative.total_ns,
    }
    won = totals.pop(outcome.winner)
    (lost,) = totals.values()
    assert won <= lost
    assert outcome.saved_ns == lost - won
    assert (outcome.winner is Variant.SPECULATIVE) == (min(c + d, U64) < min(a + b, U64))


def test_fold_example() -> None:
    """A key folded by hand: LE(spec ^ workgroup), then LE(shader ^ binding)."""
    spec = SpecCacheKey(0xFEED, 0xBEEF, (64, 2, 3), 0x01)
    # workgroup: 64 | 2 << 16 | 3 << 32
    assert AutotuneKey.of(spec, "native-sm90").key_hex == "4100020003000000" + "0240000000000000"


@given(u64, u64, st.tuples(u32, u32, u32), u64)
def test_fold_equals_folding_byte_by_byte(
    shader: int, binding: int, wg: tuple[int, int, int], spec: int
) -> None:
    """The fold equals one that xors single bytes of eight-byte words, as the other side does."""
    word = [0] * 8
    for axis, size in enumerate(wg):
        for i, byte in enumerate(struct.pack("<I", size)):
            if axis * 2 + i < 8:
                word[axis * 2 + i] ^= byte
    low = bytes(a ^ b for a, b in zip(struct.pack("<Q", spec), word, strict=True))
    high = bytes(
        a ^ b for a, b in zip(struct.pack("<Q", shader), struct.pack("<Q", binding), strict=True)
    )
    assert (
        AutotuneKey.of(SpecCacheKey(shader, binding, wg, spec), "a").key_hex == (low + high).hex()
    )


def test_fold_collides() -> None:
    """Two different specs can have one key, which is why records carry the whole spec."""
    first, second = SpecCacheKey(1, 2, (64, 1, 1), 5), SpecCacheKey(2, 1, (64, 1, 1), 5)
    assert first != second
    assert AutotuneKey.of(first, "a") == AutotuneKey.of(second, "a")
    assert AutotuneKey.of(first, "a") != AutotuneKey.of(first, "b")


@pytest.mark.parametrize(
    "make",
    [
        lambda: SpecCacheKey(-1, 0, (1, 1, 1), 0),
        lambda: SpecCacheKey(0, U64 + 1, (1, 1, 1), 0),
        lambda: SpecCacheKey(0, 0, (1, 1), 0),  # type: ignore[arg-type]
        lambda: SpecCacheKey(0, 0, [1, 1, 1], 0),  # type: ignore[arg-type]
        lambda: SpecCacheKey(0, 0, (1, 1, U32 + 1), 0),
        lambda: SpecCacheKey(0, 0, (1, 1, 1), True),
        lambda: AutotuneRecord((1, 1, 1), -1),
        lambda: AutotuneRecord((1, 1, 1), 1, (0, 0, 1.0)),  # type: ignore[arg-type]
        lambda: AutotuneRecord((1, 1, 1), 1, recorded_at="2026-13-01"),
        lambda: AutotuneRecord((1, 1, 1), 1, recorded_at="2026-2-1"),
        lambda: AutotuneRecord((1, 1, 1), 1, recorded_at="20260201"),
        lambda: AutotuneRecord((1, 1, 1), 1, recorded_at=None),  # type: ignore[arg-type]
        lambda: AutotuneKey("0" * 31, "a"),
        lambda: AutotuneKey("A" * 32, "a"),
        lambda: AutotuneKey("0" * 32 + "\n", "a"),
        lambda: AutotuneKey("0" * 32, ""),
        lambda: AutotuneKey("0" * 32, "a\nb"),
        lambda: AutotuneKey("0" * 32, "a" * 257),
        lambda: VariantTiming(-1, 0),
        lambda: VariantTiming(0, U64 + 1),
    ],
)
def test_values_out_of_range_are_refused(make: object) -> None:
    """Keys, records and timings check their types and ranges when they are made."""
    with pytest.raises(UsageError, match="must be"):
        make()  # type: ignore[operator]


def test_records_may_leave_out_tile_and_date() -> None:
    """A program without tiles has tile (0, 0, 0), and the date may be empty."""
    record = AutotuneRecord((64, 1, 1), 4)
    assert (record.tile, record.recorded_at) == ((0, 0, 0), "")
    assert AutotuneRecord((64, 1, 1), 4, (16, 16, 1), "2024-02-29").recorded_at == "2024-02-29"
