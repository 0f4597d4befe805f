"""What a Choice means to those who run it: the names, the values, and whether it can be run now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

from vyre_dist.autotune.choice import Choice
from vyre_dist.errors import UsageError
from vyre_dist.program.tunables import TUNABLE_NAMES

READY = ""
COMPILING = "compiling"
"""Its programs are compiled beside the running ones."""
ELSEWHERE = "elsewhere"
"""It is for a backend that does not have the next dispatch."""

FUSED, SERIAL = "fused", "serial"
SETTING_NAMES = frozenset({"lane", "dispatch_bytes", "threshold_pct"})
"""What every backend's dispatches consume; a GPU's programs consume TUNABLE_NAMES, too."""

LEAST_DISPATCH_BYTES = 64 << 10
_MOST_PCT = 1000


class Setting(NamedTuple):
    """What a choice says of dispatches. None: as it is by default."""

    lane: str | None = None
    dispatch_bytes: int | None = None
    threshold_pct: int | None = None


def setting_of(choice: Choice, most_bytes: int) -> Setting:
    """What `choice` says of dispatches of `most_bytes` at most.

    Raises UsageError for a name that nobody consumes and for a value that can't be.
    """
    plain = choice.plain()
    if unknown := sorted(plain.keys() - SETTING_NAMES - TUNABLE_NAMES):
        allowed = ", ".join(sorted(SETTING_NAMES | TUNABLE_NAMES))
        raise UsageError(f"a choice of {', '.join(unknown)}: this version takes {allowed}")
    lane = plain.get("lane")
    if lane not in (None, FUSED, SERIAL):
        raise UsageError(f"a lane {lane!r:.40}: use {FUSED} or {SERIAL}")
    return Setting(
        None if lane is None else str(lane),
        _int(choice, "dispatch_bytes", LEAST_DISPATCH_BYTES, most_bytes),
        _int(choice, "threshold_pct", 0, _MOST_PCT),
    )


def _int(choice: Choice, name: str, low: int, high: int) -> int | None:
    value = choice.get(name)
    if value is None or (isinstance(value, int) and low <= value <= high):
        return value
    raise UsageError(f"{name} of a choice must be {low} to {high} here, found {value!r:.40}")


class WithoutTunables:
    """Of a backend that has no programs to choose from: what it does about choices."""

    most_bytes: int

    def prepare(self, choice: Choice) -> str:
        """See ScanBackend."""
        setting_of(choice, self.most_bytes)
        return ELSEWHERE if choice.plain().keys() & TUNABLE_NAMES else READY

    def choose(self, choice: Choice) -> None:
        """See ScanBackend."""

    @contextmanager
    def alone(self) -> Iterator[Self]:
        """See ScanBackend."""
        yield self
