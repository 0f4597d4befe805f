"""Variants: the choices that are worth a race on a device, likely winners first.

What a choice's names mean is checked by who runs it; what is left out here is what the device can't
launch anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields

from vyre_dist.autotune.choice import Choice
from vyre_dist.errors import UsageError
from vyre_dist.program.program_facts import ProgramFacts
from vyre_dist.program.tunables import Tunables

SERIAL = Choice.of(lane="serial")

# Each beside the default, not all with each other: what wins alone is what is worth its trials.
_DISPATCH_BYTES = (4 << 20, 1 << 20)
_THREADS = (512, 1024)
_UNROLL = (2, 1)
_TILES = (32 << 10, 128 << 10)
_BLOCKS = (2, 4)
_BITMAP_BITS = (19, 18)


def challengers(programs: ProgramFacts) -> tuple[Choice, ...]:
    """What the default of such a worker is raced against. None is the default itself."""
    if not programs.tunables:
        most = programs.limits.get("dispatch_bytes", 0)
        sizes = [size for size in _DISPATCH_BYTES if size <= most]
        return (SERIAL, *[Choice.of(dispatch_bytes=size) for size in sizes])
    default = Tunables.from_plain(programs.tunables)
    changed = [choice for choice in _changes() if _differs(choice, default)]
    return (SERIAL, *[each for each in changed if _fits(each, default, programs.limits)])


def _changes() -> Iterable[Choice]:
    for name, values in (
        ("threads", _THREADS),
        ("unroll", _UNROLL),
        ("tile_bytes", _TILES),
        ("bitmap_bits", _BITMAP_BITS),
    ):
        for value in values:
            yield Choice.of(**{name: value})
    for blocks in _BLOCKS:
        # more blocks share what one had
        yield Choice.of(blocks_per_sm=blocks, threads=1024 // blocks, bitmap_bits=19 - blocks // 4)


def _differs(choice: Choice, default: Tunables) -> bool:
    return any(getattr(default, name) != value for name, value in choice.pairs)


def _fits(choice: Choice, default: Tunables, limits: Mapping[str, int]) -> bool:
    """Whether the device has the threads and the shared memory; a limit that is not known has no
    say.
    """
    values = {each.name: getattr(default, each.name) for each in fields(Tunables)}
    try:
        tunables = Tunables(**{**values, **choice.plain()})
    except UsageError:
        return False
    blocks, bitmap = tunables.blocks_per_sm, 1 << tunables.bitmap_bits - 3
    needed = {
        "threads_per_sm": blocks * tunables.threads,
        "shared_bytes": bitmap,
        "shared_bytes_per_sm": blocks * bitmap,
    }
    return all(n <= limits.get(name, n) for name, n in needed.items())
