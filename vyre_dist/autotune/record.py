"""What a store keeps for one key: the tuner's record, its measurement, its origin; and which one
wins.

Bytes on the wire are codec.py's business, places to keep them the stores'.
"""

from __future__ import annotations

import datetime
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.gain import Gain
from vyre_dist.dispatch.keys import U64_MAX, AutotuneKey, AutotuneRecord, SpecCacheKey, check_date
from vyre_dist.dispatch.race import VariantTiming
from vyre_dist.dispatch.report import check_counts
from vyre_dist.errors import UsageError

MAX_LOSERS = 64
MAX_VERSIONS = 32
MAX_TEXT_CHARS = 128
MAX_MEASURED = 64
# With a margin of a quarter, a speculator of this threshold is off even where every tile commits.
MOST_THRESHOLD_PCT = 134
# A variant that failed, or was refused, is not tried again for as long.
FAILED_S = 24 * 3600
# Unused for as long, a record goes; that it is used is written once in so many days.
EXPIRY_DAYS = 90
REWRITE_DAYS = 7
_MAX_TIME_S = 2**40
_WORKLOAD = re.compile(r"([a-z0-9][a-z0-9._+-]{0,63})?\Z")


def check_text(
    name: str, value: object, *, allow_empty: bool = False, most: int = MAX_TEXT_CHARS
) -> str:
    """`value` if it is a short printable str; a UsageError otherwise."""
    if (
        not isinstance(value, str)
        or len(value) > most
        or not value.isprintable()
        or not (value or allow_empty)
    ):
        least = 0 if allow_empty else 1
        raise UsageError(
            f"{name} must be {least} to {most} printable characters, found {value!r:.200}"
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
    `pack`: the rules as they were named, or empty.
    """

    versions: tuple[tuple[str, str], ...] = ()
    host: str = ""
    date: str = ""
    pack: str = ""

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
        check_text("pack", self.pack, allow_empty=True)
        check_date("date", self.date)

    @classmethod
    def here(cls, versions: Mapping[str, str], pack: str = "") -> Provenance:
        """This host, today (UTC), with these versions. `pack`: what can't be kept of it is left
        out.
        """
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        name = "".join(c for c in pack if c.isprintable())[:MAX_TEXT_CHARS]
        return cls(tuple(sorted(versions.items())), platform.node()[:MAX_TEXT_CHARS], today, name)


@dataclass(frozen=True, slots=True)
class Measured:
    """A choice that took part in a race, and its gain over the same default."""

    choice: Choice
    gain: Gain


def check_workload(value: object) -> str:
    """`value` if it can be the name of a workload class, or is empty; a UsageError otherwise."""
    if not isinstance(value, str) or not _WORKLOAD.match(value):
        raise UsageError(
            f"a workload is empty, or 1 to 64 of a-z, 0-9 and . _ + -, found {value!r:.100}"
        )
    return value


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a store files a record. `failed`: the digest of a failed choice, "" for a winner."""

    key: AutotuneKey
    workload: str = ""
    failed: str = ""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One entry of a store.

    `spec` is the whole key that `key` folds; None for records imported from Vyre's file, which does
    not carry it. `timing` is what the winner cost (None: never measured here). `threshold_pct` is
    the measured break-even commit rate, where there is one: above 100, speculation never pays.

    `workload` names the class of data that was measured. `choice` is what won there, and `gain`
    its time over the default's; None: not measured against it, which no scan uses. `measured` has
    the other choices of that race. `fence` is that of the lease under which it was measured.

    `failed_until`, in seconds since 1970 (UTC), makes it the record of a choice that failed or was
    refused, for `reason`; 0: it did not. `extra`: the fields that a later version of this schema
    wrote, with their values in msgpack.
    """

    key: AutotuneKey
    record: AutotuneRecord
    spec: SpecCacheKey | None = None
    timing: VariantTiming | None = None
    losers: tuple[LoserTiming, ...] = ()
    threshold_pct: int | None = None
    provenance: Provenance = Provenance()
    workload: str = ""
    choice: Choice = DEFAULT_CHOICE
    gain: Gain | None = None
    measured: tuple[Measured, ...] = ()
    fence: Fence | None = None
    failed_until: int = 0
    reason: str = ""
    extra: tuple[tuple[str, bytes], ...] = ()

    def __post_init__(self) -> None:
        if self.spec is not None and AutotuneKey.of(self.spec, self.key.adapter_id) != self.key:
            folded = AutotuneKey.of(self.spec, self.key.adapter_id).key_hex
            raise UsageError(
                f"spec folds to {folded}, but the record is filed under {self.key.key_hex}; "
                "build the key with AutotuneKey.of(spec, adapter_id)"
            )
        for name, most in (("losers", MAX_LOSERS), ("measured", MAX_MEASURED)):
            if len(getattr(self, name)) > most:
                raise UsageError(f"{name} must be at most {most}, found {len(getattr(self, name))}")
        if self.threshold_pct is not None:
            check_counts(self, MOST_THRESHOLD_PCT, "threshold_pct")
        check_workload(self.workload)
        check_counts(self, _MAX_TIME_S, "failed_until")
        check_text("reason", self.reason, allow_empty=True)

    @property
    def cost_ns(self) -> int:
        """Compile plus dispatch, saturating at u64; what was never measured costs the most."""
        return U64_MAX if self.timing is None else self.timing.total_ns

    @property
    def place(self) -> Place:
        """Where a store files it."""
        return Place(self.key, self.workload, self.choice.digest if self.failed_until else "")

    def failed_at(self, now_s: float) -> bool:
        """Whether the choice is not to be tried now. No failure counts for longer than a day, as
        the writer's clock may be wrong.
        """
        return now_s < self.failed_until <= now_s + FAILED_S

    def gain_of(self, choice: Choice) -> Gain | None:
        """What the race of this record measured for `choice`; None: it did not take part."""
        if choice == self.choice:
            return self.gain
        return next((other.gain for other in self.measured if other.choice == choice), None)

    def keeping(self, incumbent: StoredRecord | None) -> StoredRecord:
        """This record with the fields of `incumbent`, whose place it takes, that nobody here knows.

        A version that knows them would have to measure them anew.
        """
        if incumbent is None or not incumbent.extra or incumbent.spec != self.spec:
            return self
        extra = tuple(sorted((dict(incumbent.extra) | dict(self.extra)).items()))
        return replace(self, extra=extra)


def beats(challenger: StoredRecord, incumbent: StoredRecord | None) -> bool:
    """Whether `challenger` replaces `incumbent` at the same place. Every store decides by this
    rule.

    Gains: it does where its whole interval lies below the incumbent's, which noise does in
    one of hundreds of measurements. So a stale fence never replaces, nor another measurement of the
    same choice; but the holder of a newer fence who measured the incumbent's choice again does,
    and its word is the last, be it better or worse. A record without gain never replaces one with.

    Without gains the strictly cheaper wins, and a tie keeps the incumbent, as in the race. Of two
    failures the later one stays.

    An incumbent of another spec (a collision of the fold) could never be a hit for the
    challenger's, so it gives way. A record without its spec can't be checked and replaces nothing.
    """
    if incumbent is None:
        return True
    if challenger.spec is None:
        return False
    if incumbent.spec != challenger.spec:
        return True
    if challenger.failed_until or incumbent.failed_until:
        return challenger.failed_until > incumbent.failed_until
    if challenger.gain is None or incumbent.gain is None:
        if challenger.gain is None and incumbent.gain is None:
            return challenger.cost_ns < incumbent.cost_ns
        return challenger.gain is not None
    return _gains_more(challenger, challenger.gain, incumbent, incumbent.gain)


def _gains_more(challenger: StoredRecord, mine: Gain, incumbent: StoredRecord, held: Gain) -> bool:
    fence = challenger.fence
    if fence is not None:
        if incumbent.fence is not None and incumbent.fence.newer_than(fence):
            return False
        # every race measures the default, as gains are over it
        again = incumbent.choice.is_default or challenger.gain_of(incumbent.choice) is not None
        if again and fence.newer_than(incumbent.fence):
            return True
    return challenger.choice != incumbent.choice and mine.clearly_below(held)


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
