"""What happens in a store, counted, and what there is to tell of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What happened in a store so far. Every lookup is one hit or one miss; the rest says why."""

    hits: int = 0
    misses: int = 0
    unverified: int = 0  # hits whose record carries no spec to check (imported from Vyre's file)
    invalid: int = 0  # entries whose bytes are not a record
    newer: int = 0  # entries that a later version wrote; they are left alone
    out_of_range: int = 0  # entries with a value that no record can have
    unsigned: int = 0  # entries of a shared store without the signature that there has to be
    forged: int = 0  # entries whose signature is not that of our key
    expired: int = 0  # entries that nobody used for 90 days
    mismatched: int = (
        0  # valid records of another key: a collision of the fold, or a misfiled entry
    )
    unfit: int = 0  # records asking for a launch that the device cannot do
    stored: int = 0  # puts after which the store holds that very record
    kept: int = 0  # puts refused because the incumbent is as good or better
    fenced: int = 0  # puts refused because the writer's lease has passed to another
    errors: int = 0  # operations that the medium failed
    skipped: int = 0  # operations not tried because the breaker was open
    dropped: int = 0  # background jobs dropped because the queue was full
    recovered: int = 0  # corrupted files moved aside
    redirected: int = 0  # operations that a cluster sent to another of its nodes


# What is told of odd ones, of one and of several.
_ODD = {
    "invalid": ("entry is no record", "entries are no records", " that this version can read"),
    "newer": ("entry is", "entries are", " of a later version, and left alone"),
    "out_of_range": ("entry has", "entries have", " values that no record can have"),
    "unsigned": ("entry is not signed", "entries are not signed", ""),
    "forged": ("entry is", "entries are", " signed with another key than ours"),
    "unfit": ("record asks", "records ask", " for what this device can't do"),
    "fenced": ("put was", "puts were", " refused, as the tuning lease had passed to another"),
    "dropped": ("change was", "changes were", " not sent to the server in time"),
}


class Counters:
    """Thread-safe counts by StoreStats' field names, and why the first of the errors happened."""

    def __init__(self) -> None:
        self.reason = ""
        self._counts = {field.name: 0 for field in fields(StoreStats)}
        self._lock = threading.Lock()

    def add(self, name: str, count: int = 1) -> None:
        """Count `count` more of `name`, a field of StoreStats (KeyError otherwise)."""
        with self._lock:
            self._counts[name] += count

    def failed(self, reason: str, name: str = "errors") -> None:
        """Count one more error, or `name`. The first `reason` is kept; it holds no secrets."""
        with self._lock:
            self._counts[name] += 1
            self.reason = self.reason or reason

    def snapshot(self) -> StoreStats:
        with self._lock:
            return StoreStats(**self._counts)

    def told(self) -> list[str]:
        """What there is to tell: why something failed, and what was odd, by count."""
        with self._lock:
            told = [self.reason] if self.reason else []
            return told + [
                f"{count} {one if count == 1 else many}{rest}"
                for name, (one, many, rest) in _ODD.items()
                if (count := self._counts[name])
            ]
