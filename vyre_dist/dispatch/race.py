"""The variant race: a conservative against a speculative variant, by compile plus dispatch time.

Storing the winner lives in vyre_dist.autotune.publish; measuring belongs to the backends.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from vyre_dist.dispatch.keys import U64_MAX
from vyre_dist.dispatch.report import check_counts


class Variant(enum.Enum):
    """The two sides of a race."""

    CONSERVATIVE = "conservative"
    SPECULATIVE = "speculative"


@dataclass(frozen=True, slots=True)
class VariantTiming:
    """What one variant cost: nanoseconds to compile and to dispatch, each a u64."""

    compile_ns: int
    dispatch_ns: int

    def __post_init__(self) -> None:
        check_counts(self, U64_MAX, "compile_ns", "dispatch_ns")

    @property
    def total_ns(self) -> int:
        """Both together, saturating at u64."""
        return min(self.compile_ns + self.dispatch_ns, U64_MAX)


@dataclass(frozen=True, slots=True)
class RaceOutcome:
    """Who won, and by how many nanoseconds (0 for a tie)."""

    winner: Variant
    saved_ns: int
    conservative: VariantTiming
    speculative: VariantTiming


def race(conservative: VariantTiming, speculative: VariantTiming) -> RaceOutcome:
    """The speculative variant wins if it is strictly faster; a tie keeps the conservative one."""
    gain = conservative.total_ns - speculative.total_ns
    winner = Variant.SPECULATIVE if gain > 0 else Variant.CONSERVATIVE
    return RaceOutcome(winner, abs(gain), conservative, speculative)
