"""The store's interface, and the judgement that every implementation shares.

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
from types import TracebackType
from typing import NamedTuple, Protocol

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.codec import (
    InvalidRecordError,
    NewerSchemaError,
    OutOfRangeError,
    decode,
)
from vyre_dist.autotune.counters import Counters
from vyre_dist.autotune.counters import StoreStats as StoreStats
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

    def uses(self, places: Sequence[Place]) -> list[int]:
        """How often what is filed at each of `places` was found on this machine, but for the stores
        that are open; 0 where nobody counts.
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


class Offer(enum.Enum):
    """What became of an offered record."""

    STORED = "stored"
    KEPT = "kept"
    FENCED = "fenced"
    FAILED = "failed"


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

    def uses(self, places: Sequence[Place]) -> list[int]:
        """See AutotuneStore."""
        return [0] * len(places)

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
        return self._counters.told()

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
