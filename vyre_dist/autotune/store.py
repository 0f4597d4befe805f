"""The store's interface, its counters, and the judgement that every implementation shares.

Where records are kept is each implementation's own: memory.py, sqlite_store.py, redis_store.py,
tiered.py.
"""

from __future__ import annotations

import abc
import contextlib
import enum
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from types import TracebackType
from typing import NamedTuple, Protocol

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.codec import (
    InvalidRecordError,
    NewerSchemaError,
    OutOfRangeError,
    decode,
)
from vyre_dist.autotune.record import LaunchLimits, Place, StoredRecord, beats, check_workload
from vyre_dist.autotune.signing import ForgedError, UnsignedError
from vyre_dist.dispatch.keys import AutotuneKey, SpecCacheKey
from vyre_dist.errors import VyreError


class Wanted(NamedTuple):
    """What is looked up; a plain tuple of the first two, or of all, is taken as well."""

    key: AutotuneKey
    spec: SpecCacheKey
    workload: str = ""


AnyWanted = tuple[AutotuneKey, SpecCacheKey] | tuple[AutotuneKey, SpecCacheKey, str] | Wanted


class StoreClosedError(VyreError):
    """The store was used after close()."""


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


class AutotuneStore(Protocol):
    """Keeps the best record per key.

    What may be raised, by any method: StoreClosedError after close(); UsageError from put() for a
    record too large to store. A dead, slow or lying medium raises nothing: lookups miss, puts
    return False, and `stats` counts it. There is no `contains`: the answer would be stale when
    used. All methods are safe to call from several threads.
    """

    @property
    def stats(self) -> StoreStats:
        """The counters so far."""

    @property
    def trouble(self) -> str:
        """What kept the store from being of use, in one line without secrets; "" for nothing.

        It names the store and, where there is one, the server's or the file system's own reason:
        the first.
        """

    def get(
        self,
        key: AutotuneKey,
        spec: SpecCacheKey,
        *,
        workload: str = "",
        limits: LaunchLimits | None = None,
    ) -> StoredRecord | None:
        """The record of exactly this key, spec and workload class, fit for `limits` where given.

        None otherwise.
        """

    def get_many(
        self, wanted: Sequence[AnyWanted], *, limits: LaunchLimits | None = None
    ) -> list[StoredRecord | None]:
        """`get` for each of `wanted`, in order, in one round trip where the medium has those."""

    def failed(
        self,
        key: AutotuneKey,
        spec: SpecCacheKey,
        choices: Sequence[Choice],
        *,
        workload: str = "",
        now_s: float | None = None,
    ) -> list[StoredRecord]:
        """The records of those of `choices` that failed, and are not to be tried yet.

        `now_s`: seconds since 1970, the clock's by default.
        """

    def put(self, record: StoredRecord) -> bool:
        """Offer a record: it replaces an incumbent that it beats (`record.beats`).

        True: the store now holds this very record, or did already. False: the incumbent stays, or
        the medium failed; `stats` tells which.
        """

    def put_many(self, records: Sequence[StoredRecord]) -> int:
        """`put` for each of `records`, in order; how many the store holds now.

        It is one transaction where the medium has those.
        """

    def items(self) -> Iterator[StoredRecord]:
        """Every valid record, in no particular order; invalid ones are counted and left out."""

    def remove(self, places: Sequence[Place]) -> int:
        """Forget what is filed at `places`; how many of them had something.

        Waits for the medium, as its answer is what is wanted. Others who have a copy keep it.
        """

    def close(self) -> None:
        """Release what is held. Calling it again does nothing."""

    def __enter__(self) -> AutotuneStore: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


# what becomes of the count of entries that can't be read
_COUNTED_AS = {
    NewerSchemaError: "newer",
    OutOfRangeError: "out_of_range",
    UnsignedError: "unsigned",
    ForgedError: "forged",
}
# what is told of them, of one and of several
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


class Offer(enum.Enum):
    """What became of an offered record."""

    STORED = "stored"
    KEPT = "kept"
    FENCED = "fenced"
    FAILED = "failed"


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


class RecordStore(abc.ABC):
    """What all stores share: judging and counting. Hooks count their own faults and raise none."""

    def __init__(self) -> None:
        self._counters = Counters()
        self._closed = False
        self._close_lock = threading.Lock()

    @abc.abstractmethod
    def fetch(self, places: Sequence[Place]) -> list[StoredRecord | None]:
        """What is filed at each of `places`, not judged yet.

        None where there is nothing, where the bytes are invalid, and after a fault.
        """

    @abc.abstractmethod
    def offer(self, record: StoredRecord) -> Offer:
        """Replace the incumbent if `record` beats it, atomically with regard to other writers."""

    def offer_many(self, records: Sequence[StoredRecord]) -> list[Offer]:
        """`offer` for each of `records`, in order."""
        return [self.offer(record) for record in records]

    @abc.abstractmethod
    def items(self) -> Iterator[StoredRecord]:
        """Every valid record."""

    @abc.abstractmethod
    def remove(self, places: Sequence[Place]) -> int:
        """Forget what is filed at `places`; how many had something. A fault is counted."""

    @abc.abstractmethod
    def _release(self) -> None:
        """Let go of files, connections and threads; called once."""

    @property
    def address(self) -> str:
        """What the store is called in messages: no login."""
        return "memory:"

    @property
    def stats(self) -> StoreStats:
        return self._counters.snapshot()

    @property
    def trouble(self) -> str:
        told = self.told()
        return f"the autotune store {self.address}: {'; '.join(told)}" if told else ""

    def told(self) -> list[str]:
        """What there is to tell of it: why something failed, and what was odd, by count."""
        stats = asdict(self.stats)
        told = [self._counters.reason] if self._counters.reason else []
        return told + [
            f"{stats[name]} {one if stats[name] == 1 else many}{rest}"
            for name, (one, many, rest) in _ODD.items()
            if stats[name]
        ]

    def get(
        self,
        key: AutotuneKey,
        spec: SpecCacheKey,
        *,
        workload: str = "",
        limits: LaunchLimits | None = None,
    ) -> StoredRecord | None:
        return self.get_many([Wanted(key, spec, workload)], limits=limits)[0]

    def get_many(
        self, wanted: Sequence[AnyWanted], *, limits: LaunchLimits | None = None
    ) -> list[StoredRecord | None]:
        self.check_open()
        questions = [Wanted(*item) for item in wanted]
        found = self.fetch(
            [Place(asked.key, check_workload(asked.workload)) for asked in questions]
        )
        return [
            self._judge(stored, asked.spec, limits)
            for stored, asked in zip(found, questions, strict=True)
        ]

    def failed(
        self,
        key: AutotuneKey,
        spec: SpecCacheKey,
        choices: Sequence[Choice],
        *,
        workload: str = "",
        now_s: float | None = None,
    ) -> list[StoredRecord]:
        self.check_open()
        now = time.time() if now_s is None else now_s
        places = [Place(key, check_workload(workload), choice.digest) for choice in choices]
        return [
            stored
            for stored, choice in zip(self.fetch(places), choices, strict=True)
            if stored is not None
            and stored.spec == spec
            and stored.choice == choice
            and stored.failed_at(now)
        ]

    def put(self, record: StoredRecord) -> bool:
        self.check_open()
        return self.count_offer(self.offer(record))

    def put_many(self, records: Sequence[StoredRecord]) -> int:
        self.check_open()
        return sum(self.count_offer(outcome) for outcome in self.offer_many(records))

    def count_offer(self, outcome: Offer) -> bool:
        """Count what became of an offer; whether it was stored."""
        # A failed offer is already among the errors, as one of them where it was one of many.
        if outcome is not Offer.FAILED:
            self._counters.add(outcome.value)
        return outcome is Offer.STORED

    def close(self) -> None:
        with self._close_lock:
            if self._closed:
                return
            self._closed = True
        self._release()

    def __enter__(self) -> RecordStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def check_open(self) -> None:
        """Raise StoreClosedError after close()."""
        if self._closed:
            raise StoreClosedError(f"{self!r} is closed; open another one with open_store(url)")

    def decoded(self, payload: bytes, place: Place | None) -> StoredRecord | None:
        """The record in `payload`, if it is valid and filed at `place` (None: anywhere).

        None otherwise, counted.
        """
        with contextlib.suppress(InvalidRecordError):
            return self._read(payload, place)
        return None

    def successor(self, record: StoredRecord, held: bytes) -> StoredRecord | None:
        """What to write over the bytes that are held at the place of `record`; None: they stay."""
        try:
            incumbent = self._read(held, record.place)
        except NewerSchemaError:
            return None
        except InvalidRecordError:
            return record
        record = record.keeping(incumbent)
        return record if record == incumbent or beats(record, incumbent) else None

    def opened(self, payload: bytes) -> bytes:
        """The record's own bytes in what the medium has. Raises InvalidRecordError."""
        return payload

    def checked(self, stored: StoredRecord) -> StoredRecord:
        """`stored`, if the medium may hold it. Raises InvalidRecordError."""
        return stored

    def _read(self, payload: bytes, place: Place | None) -> StoredRecord | None:
        """Raises InvalidRecordError, counted. None: filed at another place, counted."""
        try:
            stored = self.checked(decode(self.opened(payload)))
        except InvalidRecordError as error:
            self._counters.add(_COUNTED_AS.get(type(error), "invalid"))
            raise
        if place is not None and stored.place != place:
            self._counters.add("mismatched")
            return None
        return stored

    def _judge(
        self, stored: StoredRecord | None, spec: SpecCacheKey, limits: LaunchLimits | None
    ) -> StoredRecord | None:
        if stored is not None and stored.spec is not None and stored.spec != spec:
            self._counters.add("mismatched")
            stored = None
        if stored is not None and limits is not None and not limits.allow(stored.record):
            self._counters.add("unfit")
            stored = None
        if stored is None:
            self._counters.add("misses")
            return None
        if stored.spec is None:
            self._counters.add("unverified")
        self._counters.add("hits")
        return stored
