"""What a store keeps for one key: the tuner's record, its measurement, its origin; and which one
wins.

Bytes on the wire are codec.py's business, places to keep them the stores'.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from dataclasses import dataclass

from vyre_dist.dispatch.keys import U64_MAX, AutotuneKey, AutotuneRecord, SpecCacheKey, check_date
from vyre_dist.dispatch.race import VariantTiming
from vyre_dist.dispatch.report import check_counts
from vyre_dist.errors import UsageError

MAX_LOSERS = 64
MAX_VERSIONS = 32
MAX_TEXT_CHARS = 128


def check_text(name: str, value: object, *, allow_empty: bool = False) -> str:
    """`value` if it is a short printable str; a UsageError otherwise."""
    if (
        not isinstance(value, str)
        or len(value) > MAX_TEXT_CHARS
        or not value.isprintable()
        or not (value or allow_empty)
    ):
        least = 0 if allow_empty else 1
        raise UsageError(
            f"{name} must be {least} to {MAX_TEXT_CHARS} printable characters, found {value!r:.200}"
        )
    return value


@dataclass(frozen=True, slots=True)
class LoserTiming:
    """A variant that was raced and lost, by name."""

    name: str
    timing: VariantTiming

    def __post_init__(self) -> None:
        check_text("loser's name", self.name)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a measurement comes from.

    `versions`: (name, version) of what took part, sorted by name. `date`: YYYY-MM-DD, or empty.
    """

    versions: tuple[tuple[str, str], ...] = ()
    host: str = ""
    date: str = ""

    def __post_init__(self) -> None:
        names = [name for name, _ in self.versions]
        if len(names) > MAX_VERSIONS or names != sorted(set(names)):
            raise UsageError(
                f"versions must be at most {MAX_VERSIONS}, unique and sorted by name, found {names}"
            )
        for name, version in self.versions:
            check_text("version's name", name)
            check_text(f"version of {name}", version, allow_empty=True)
        check_text("host", self.host, allow_empty=True)
        check_date("date", self.date)

    @classmethod
    def here(cls, versions: Mapping[str, str]) -> Provenance:
        """This host, today (UTC), with these versions."""
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        return cls(tuple(sorted(versions.items())), platform.node()[:MAX_TEXT_CHARS], today)


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One entry of a store.

    `spec` is the whole key that `key` folds; None for records imported from Vyre's file, which does
    not carry it. `timing` is what the winner cost (None: never measured here). `threshold_pct` is
    the measured break-even commit rate, 0 to 100, where there is one.
    """

    key: AutotuneKey
    record: AutotuneRecord
    spec: SpecCacheKey | None = None
    timing: VariantTiming | None = None
    losers: tuple[LoserTiming, ...] = ()
    threshold_pct: int | None = None
    provenance: Provenance = Provenance()

    def __post_init__(self) -> None:
        if self.spec is not None and AutotuneKey.of(self.spec, self.key.adapter_id) != self.key:
            folded = AutotuneKey.of(self.spec, self.key.adapter_id).key_hex
            raise UsageError(
                f"spec folds to {folded}, but the record is filed under {self.key.key_hex}; "
                "build the key with AutotuneKey.of(spec, adapter_id)"
            )
        if len(self.losers) > MAX_LOSERS:
            raise UsageError(f"losers must be at most {MAX_LOSERS}, found {len(self.losers)}")
        if self.threshold_pct is not None:
            check_counts(self, 100, "threshold_pct")

    @property
    def cost_ns(self) -> int:
        """Compile plus dispatch, saturating at u64; what was never measured costs the most."""
        return U64_MAX if self.timing is None else self.timing.total_ns


def beats(challenger: StoredRecord, incumbent: StoredRecord | None) -> bool:
    """Whether `challenger` replaces `incumbent` under the same key. Every store decides by this
    rule.

    Strictly cheaper wins and a tie keeps the incumbent, as in the race. An incumbent of another
    spec (a collision of the fold) could never be a hit for the challenger's, so it gives way. A
    record without its spec cannot be checked and replaces nothing.
    """
    if incumbent is None:
        return True
    if challenger.spec is None:
        return False
    return incumbent.spec != challenger.spec or challenger.cost_ns < incumbent.cost_ns


@dataclass(frozen=True, slots=True)
class LaunchLimits:
    """What the device can launch; a record that asks for more is a miss."""

    max_threads: int = 1024
    max_workgroup: tuple[int, int, int] = (1024, 1024, 64)

    def allow(self, record: AutotuneRecord) -> bool:
        """Whether `record`'s workgroup is one that the device can run."""
        x, y, z = record.workgroup_size
        within = all(
            1 <= n <= most
            for n, most in zip(record.workgroup_size, self.max_workgroup, strict=True)
        )
        return within and x * y * z <= self.max_threads
