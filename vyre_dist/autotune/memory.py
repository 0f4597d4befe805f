"""The store in this process's memory: the first tier, and all there is for `memory:`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from vyre_dist.autotune.codec import encode
from vyre_dist.autotune.record import Place, StoredRecord, beats
from vyre_dist.autotune.store import Offer, RecordStore


class MemoryStore(RecordStore):
    """Records in a dict; gone with the process."""

    def __init__(self) -> None:
        super().__init__()
        self._records: dict[Place, StoredRecord] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "MemoryStore()"

    def fetch(self, places: Sequence[Place]) -> list[StoredRecord | None]:
        with self._lock:
            return [self._records.get(place) for place in places]

    def offer(self, record: StoredRecord) -> Offer:
        encode(record)  # what the other stores refuse as too large is refused here too
        with self._lock:
            incumbent = self._records.get(record.place)
            record = record.keeping(incumbent)
            if record != incumbent and not beats(record, incumbent):
                return Offer.KEPT
            self._records[record.place] = record
            return Offer.STORED

    def items(self) -> Iterator[StoredRecord]:
        self.check_open()
        with self._lock:
            return iter(list(self._records.values()))

    def remove(self, places: Sequence[Place]) -> int:
        self.check_open()
        with self._lock:
            return sum([self._records.pop(place, None) is not None for place in places])

    def _release(self) -> None:
        with self._lock:
            self._records.clear()
