"""What a speculative dispatch counted: the report, its 8-byte wire form, and exact sums.

Deciding from these numbers whether to speculate lives in speculator.py; cutting a tail off an
output in prefilter_confirm.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias, cast

from vyre_dist.errors import UsageError, as_int

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    ByteBuffer: TypeAlias = bytes | bytearray | memoryview | NDArray[np.uint8]
else:
    ByteBuffer: TypeAlias = Any

U32_MAX = 0xFFFF_FFFF
PPM_PER_PCT = 10_000
PPM = 1_000_000
COUNTER_TAIL_BYTES = 8

_TAIL = struct.Struct("<II")


def saturating_u32(value: int) -> int:
    """`value` clamped to 0 … 2^32−1."""
    return max(0, min(value, U32_MAX))


def threshold_ppm(threshold_pct: SupportsIndex) -> int:
    """A threshold in whole percent as parts per million, saturating at u32."""
    return saturating_u32(check_count("threshold_pct", threshold_pct, U32_MAX) * PPM_PER_PCT)


def check_count(name: str, value: object, limit: int | None) -> int:
    """`value` as a plain int in 0 … `limit` (None: no upper limit). NumPy's integers are taken.

    Raises UsageError for anything else.
    """
    count = as_int(name, value)
    if count < 0 or (limit is not None and count > limit):
        allowed = "0 or more" if limit is None else f"0 to {limit}"
        raise UsageError(f"{name} must be {allowed}, found {count}")
    return count


def check_counts(instance: object, limit: int | None, *names: str) -> None:
    """`check_count` for fields of a frozen dataclass; they are plain ints afterwards."""
    for name in names:
        object.__setattr__(instance, name, check_count(name, getattr(instance, name), limit))


def _rate_ppm(committed: int, attempted: int) -> int:
    return committed * PPM // attempted if attempted else 0


@dataclass(frozen=True, slots=True)
class SpeculationReport:
    """Counts of one fused dispatch, each a u32 as the device writes it.

    A tile counts once: as committed when the confirmer kept output there, as rolled back when it
    kept none. Counts outside u32 are a UsageError; sums of many reports belong in a MergedReport.
    """

    committed_tiles: int = 0
    rolled_back_tiles: int = 0

    def __post_init__(self) -> None:
        check_counts(self, U32_MAX, "committed_tiles", "rolled_back_tiles")

    @classmethod
    def empty(cls) -> SpeculationReport:
        """The report of a dispatch that attempted nothing."""
        return cls(0, 0)

    @classmethod
    def from_counts(cls, committed: SupportsIndex, rolled_back: SupportsIndex) -> SpeculationReport:
        """A report of these two u32 counts. NumPy's integers are taken, as read from a device."""
        return cls(
            check_count("committed", committed, U32_MAX),
            check_count("rolled_back", rolled_back, U32_MAX),
        )

    @property
    def attempted_tiles(self) -> int:
        """Tiles the confirmer ran on: the sum of the two counts, saturating at u32."""
        return saturating_u32(self.committed_tiles + self.rolled_back_tiles)

    @property
    def commit_rate_ppm(self) -> int:
        """Committed tiles per million attempted, rounded down; 0 when nothing was attempted.

        It divides by the saturated `attempted_tiles`, as the device side does.
        """
        return _rate_ppm(self.committed_tiles, self.attempted_tiles)

    @property
    def commit_rate_pct(self) -> int:
        """`commit_rate_ppm` in whole percent, rounded down."""
        return self.commit_rate_ppm // PPM_PER_PCT

    def worthwhile(self, threshold_pct: SupportsIndex) -> bool:
        """Whether the commit rate reaches `threshold_pct` (whole percent, u32)."""
        return self.commit_rate_ppm >= threshold_ppm(threshold_pct)


@dataclass(frozen=True, slots=True)
class MergedReport:
    """The exact sum of `shards` reports; nothing saturates: a cluster's sum passes u32.

    Merging is associative and commutative, with `MergedReport()` as its neutral element. A merged
    report has no wire form; that each shard counts once, however often it was retried, is for the
    caller to see to.
    """

    committed_tiles: int = 0
    rolled_back_tiles: int = 0
    shards: int = 0

    def __post_init__(self) -> None:
        check_counts(self, None, "committed_tiles", "rolled_back_tiles", "shards")

    @classmethod
    def of(cls, report: SpeculationReport) -> MergedReport:
        """One shard's report as a sum of one."""
        return cls(report.committed_tiles, report.rolled_back_tiles, 1)

    @property
    def attempted_tiles(self) -> int:
        """Tiles the confirmer ran on, in all shards."""
        return self.committed_tiles + self.rolled_back_tiles

    @property
    def commit_rate_ppm(self) -> int:
        """Committed tiles per million attempted, rounded down; 0 when nothing was attempted."""
        return _rate_ppm(self.committed_tiles, self.attempted_tiles)

    @property
    def commit_rate_pct(self) -> int:
        """`commit_rate_ppm` in whole percent, rounded down."""
        return self.commit_rate_ppm // PPM_PER_PCT

    def worthwhile(self, threshold_pct: SupportsIndex) -> bool:
        """Whether the commit rate reaches `threshold_pct` (whole percent, u32)."""
        return self.commit_rate_ppm >= threshold_ppm(threshold_pct)

    def __add__(self, other: MergedReport) -> MergedReport:
        if not isinstance(other, MergedReport):
            return NotImplemented
        return MergedReport(
            self.committed_tiles + other.committed_tiles,
            self.rolled_back_tiles + other.rolled_back_tiles,
            self.shards + other.shards,
        )


def merge(reports: Iterable[SpeculationReport | MergedReport]) -> MergedReport:
    """The sum of `reports`; a SpeculationReport is one shard, a MergedReport its `shards`."""
    total = MergedReport()
    for report in reports:
        total += report if isinstance(report, MergedReport) else MergedReport.of(report)
    return total


def as_bytes_view(buf: ByteBuffer) -> memoryview:
    """`buf` as a flat view of its bytes, without a copy.

    Raises TypeError for what is not bytes-like or not C-contiguous.
    """
    # numpy's stubs declare the buffer protocol from Python 3.12 on only.
    view = memoryview(cast(Any, buf))
    if not view.c_contiguous:
        raise TypeError(
            "an output buffer must be C-contiguous; copy it with numpy.ascontiguousarray first"
        )
    # memoryview.cast refuses shapes with a zero in them.
    return view.cast("B") if view.nbytes else memoryview(b"")


def parse_counter_tail(buf: ByteBuffer) -> SpeculationReport | None:
    """The report in the last 8 bytes of `buf`: two little-endian u32, committed then rolled back.

    None when `buf` is shorter than 8 bytes or its length in bytes is not a multiple of 4.
    """
    view = as_bytes_view(buf)
    if view.nbytes < COUNTER_TAIL_BYTES or view.nbytes % 4:
        return None
    return SpeculationReport(*_TAIL.unpack_from(view, view.nbytes - COUNTER_TAIL_BYTES))


def encode_counter_tail(report: SpeculationReport) -> bytes:
    """The 8 bytes that `parse_counter_tail` reads back as `report`."""
    return _TAIL.pack(report.committed_tiles, report.rolled_back_tiles)
