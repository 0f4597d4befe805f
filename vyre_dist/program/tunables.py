"""Tunables: what may vary about a program without changing what it puts out.

Limits are those of any device; whether one particular device can launch them is for its backend to
say.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields, replace
from typing import Any

from vyre_dist.autotune.choice import Choice
from vyre_dist.errors import UsageError

VECTOR_BYTES = 16
"""What one thread loads at once."""

# the compiler's BITMAP_BITS, not imported: a scan on processors starts without the compiler (50 ms)
MAX_BITMAP_BITS = 20


@dataclass(frozen=True, slots=True)
class Tunables:
    """One instance of the programs. Of these values only `tile_bytes` shows, in the counter tail.

    `threads`: per block. `unroll`: vectors of 16 bytes that a thread looks at in one step.
    `tile_bytes`: what is attempted, committed or rolled back together; a power of two.
    `bitmap_bits`: log2 of the prefilter bitmap's size. `blocks_per_sm`: how many blocks share a
    multiprocessor.

    Raises:
        UsageError: a value is out of its range.
    """

    threads: int = 256
    unroll: int = 1
    tile_bytes: int = 16 << 10
    bitmap_bits: int = MAX_BITMAP_BITS
    blocks_per_sm: int = 2

    def __post_init__(self) -> None:
        _check("threads", self.threads, 32, 1024)
        _check("unroll", self.unroll, 1, 4)
        _check("tile_bytes", self.tile_bytes, 512, 1 << 24)
        _check("bitmap_bits", self.bitmap_bits, 10, MAX_BITMAP_BITS)
        _check("blocks_per_sm", self.blocks_per_sm, 1, 32)
        if self.threads % 32:
            raise UsageError(
                f"threads must be a multiple of 32 (whole warps), found {self.threads}"
            )
        if self.tile_bytes & (self.tile_bytes - 1):
            raise UsageError(f"tile_bytes must be a power of two, found {self.tile_bytes}")

    @property
    def step_bytes(self) -> int:
        """The bytes that a block looks at in one step."""
        return self.threads * self.unroll * VECTOR_BYTES

    def plain(self) -> tuple[int, ...]:
        """The values in field order, for keys and files."""
        return astuple(self)

    @classmethod
    def from_plain(cls, values: Any) -> Tunables:
        """The Tunables that `plain` made these of. Raises UsageError for anything else."""
        try:
            threads, unroll, tile_bytes, bitmap_bits, blocks_per_sm = values
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"no tunables: found {values!r}, expected what Tunables.plain() gives"
            ) from error
        return cls(threads, unroll, tile_bytes, bitmap_bits, blocks_per_sm)

    def with_choice(self, choice: Choice) -> Tunables:
        """These with the values that a choice has for some of them. Raises UsageError."""
        chosen = {name: value for name, value in choice.pairs if name in TUNABLE_NAMES}
        for name, value in chosen.items():
            if not isinstance(value, int):
                raise UsageError(f"{name} of a choice must be an int, found {value!r}")
        return replace(self, **chosen)  # type: ignore[arg-type]  # all of them are ints


TUNABLE_NAMES = frozenset(each.name for each in fields(Tunables))
"""What a choice may name of them."""


def _check(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"{name} must be an int from {low} to {high}, found {value!r}")
