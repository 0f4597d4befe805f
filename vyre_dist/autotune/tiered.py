"""TieredStore: memory, then a local store, then Redis on background threads.

Look-ups and puts never wait for a server.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vyre_dist.autotune.lease import Lease
from vyre_dist.autotune.memory import MemoryStore
from vyre_dist.autotune.record import Place, StoredRecord, beats
from vyre_dist.autotune.redis_follow import CHECK_S, follow
from vyre_dist.autotune.redis_link import ServerUnavailableError
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.store import Offer, RecordStore, StoreClosedError, StoreStats
from vyre_dist.dispatch.keys import AutotuneKey

logger = logging.getLogger(__name__)

MAX_JOBS = 1024
# Longer than the slowest operation on a server, with its second try.
CLOSE_TIMEOUT_S = 3.0
# For as many records as are published at a time (vyre_toml.py), each a question to a slow server.
PUBLISH_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class TierStats:
    """The counters of the tiers below memory."""

    local: StoreStats
    remote: StoreStats


class TieredStore(RecordStore):
    """`local` and `remote` now belong to this store and are closed with it.

    A lookup reads memory, then the local store; what both lack is asked of the server in the
    background and found by a later lookup. A put is in memory at once, and on disk and on the
    server soon after (`flush` waits). Changes that others publish come in by themselves, for the
    keys that were ever asked for here.
    """

    def __init__(
        self,
        local: RecordStore,
        remote: RedisStore,
        *,
        max_jobs: int = MAX_JOBS,
        check_s: float = CHECK_S,
    ) -> None:
        super().__init__()
        self._memory = MemoryStore()
        self._local = local
        self._remote = remote
        self._known: set[Place] = set()
        # What memory has taken and the local store has not seen yet.
        self._unwritten: set[StoredRecord] = set()
        self._known_lock = threading.Lock()
        self._jobs: queue.Queue[Callable[[], object] | None] = queue.Queue(max_jobs)
        self._stop = threading.Event()
        self._worker = threading.Thread(target=self._work, name="vyre-autotune-writer", daemon=True)
        self._follower = threading.Thread(
            target=follow,
            args=(remote, self._stop, self._changed),
            kwargs={"check_s": check_s},
            name="vyre-autotune-follower",
            daemon=True,
        )
        self._worker.start()
        self._follower.start()

    def __repr__(self) -> str:
        return f"TieredStore({self._local!r}, {self._remote!r})"

    @property
    def trouble(self) -> str:
        return "; ".join(tier.trouble for tier in (self._remote, self._local) if tier.trouble)

    @property
    def tiers(self) -> TierStats:
        """What happened in each tier below memory."""
        return TierStats(self._local.stats, self._remote.stats)

    def warm(self, places: Sequence[AutotuneKey | Place]) -> None:
        """Ask the server for all of `places` at once, in the background. `flush` waits for it.

        A key stands for its place without a workload class.
        """
        self.check_open()
        self._ask_server(_places(places))

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was asked for is done or failed; False after `timeout_s`."""
        self.check_open()
        deadline = time.monotonic() + timeout_s
        done = threading.Event()
        try:
            self._jobs.put(done.set, timeout=timeout_s)
        except queue.Full:
            return False
        return done.wait(max(0.0, deadline - time.monotonic()))

    def publish(self, places: Sequence[AutotuneKey | Place]) -> int:
        """Bring the server up to what this store has at `places`; how many of these the server did
        not take.

        Waits for what was put so far and for the server, as its answer is what is wanted.
        """
        self.flush(PUBLISH_TIMEOUT_S)
        return self._refresh(_places(places))

    def lease(self, name: str, ttl_s: float) -> Lease | None:
        """See RedisStore.lease. Waits for the server, as its answer is what is wanted."""
        self.check_open()
        return self._remote.lease(name, ttl_s)

    def put_leased(self, record: StoredRecord, lease: Lease) -> bool:
        """`put`, refused everywhere if another has the lease by now. Waits for the server."""
        self.check_open()
        if self._remote.offer_leased(record, lease) is Offer.FENCED:
            return self.count_offer(Offer.FENCED)
        return self.put(record)

    def fetch(self, places: Sequence[Place]) -> list[StoredRecord | None]:
        found = self.fetch_local(places)
        self._ask_server(places)
        return found

    def fetch_local(self, places: Sequence[Place]) -> list[StoredRecord | None]:
        """What memory and the local store have; the latter's finds move up into memory."""
        found = self._memory.fetch(places)
        missing = [place for place, stored in zip(places, found, strict=True) if stored is None]
        if missing:
            for stored in self._local.fetch(missing):
                if stored is not None:
                    self._memory.offer(stored)
            found = self._memory.fetch(places)
        return found

    def offer(self, record: StoredRecord) -> Offer:
        return self.offer_many([record])[0]

    def offer_many(self, records: Sequence[StoredRecord]) -> list[Offer]:
        """All as one job of the background's."""
        places = [record.place for record in records]
        self.fetch_local(places)  # memory must know the incumbents before it can judge
        outcomes = [self._memory.offer(record) for record in records]
        taken = [number for number, outcome in enumerate(outcomes) if outcome is Offer.STORED]
        new = [records[number] for number in taken]
        with self._known_lock:
            self._known.update(places)
            self._unwritten.update(new)
        if new and not self._enqueue(lambda: self._write(new)):
            # They go to the server with the next refresh of their keys; for this host they must not
            # be lost.
            for number, outcome in zip(taken, self._write_local(new), strict=True):
                outcomes[number] = outcome
        return outcomes

    def items(self) -> Iterator[StoredRecord]:
        self.check_open()
        seen = {stored.place: stored for stored in self._memory.items()}
        for tier in (self._local, self._remote):
            for stored in tier.items():
                if beats(stored, seen.get(stored.place)):
                    seen[stored.place] = stored
        return iter(seen.values())

    def _ask_server(self, places: Sequence[Place]) -> None:
        with self._known_lock:
            new = [place for place in places if place not in self._known]
            self._known.update(new)
        if new:
            self._enqueue(lambda: self._refresh(new))

    def _enqueue(self, job: Callable[[], object]) -> bool:
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self._counters.add("dropped")
            return False
        return True

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except StoreClosedError:
                return
            except Exception:
                # A bug here must not end the thread, nor pass unseen.
                self._counters.add("errors")
                logger.exception("a background job of %r failed", self)

    def _write_local(self, records: Sequence[StoredRecord]) -> list[Offer]:
        """Offer them to the local store. Whatever the outcome, none is left to be written there."""
        outcomes = self._local.offer_many(records)
        for outcome in outcomes:
            self._local.count_offer(outcome)
        with self._known_lock:
            self._unwritten.difference_update(records)
        return outcomes

    def _write(self, records: Sequence[StoredRecord]) -> None:
        self._write_local(records)
        refused = [record.place for record in records if not self._remote.put(record)]
        if refused:
            self._refresh(refused)  # somebody's better ones, if that was the reason

    def _changed(self, place: Place | None) -> None:
        with self._known_lock:
            known = [place] if place in self._known else [] if place else list(self._known)
        if known:
            self._enqueue(lambda: self._refresh(known))

    def _refresh(self, places: Sequence[Place]) -> int:
        """Take what the server has and is better; give it what we have and is better. How many it
        did not take.

        The latter is how records reach a server that was away, or lost its memory, when they were
        put.
        """
        try:
            there = self._remote.fetch_or_raise(places)
        except ServerUnavailableError:
            return len(places)
        failed = 0
        for theirs, ours in zip(there, self.fetch_local(places), strict=True):
            if theirs is not None and beats(theirs, ours):
                self._memory.offer(theirs)
                self._local.put(theirs)
            elif ours is not None and ours != theirs:
                outcome = self._remote.offer(ours)
                self._remote.count_offer(outcome)
                failed += outcome is Offer.FAILED
        return failed

    def _release(self) -> None:
        self._stop.set()
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        try:
            self._jobs.put(None, timeout=CLOSE_TIMEOUT_S)
        except queue.Full:
            self._counters.add("dropped")
        self._worker.join(max(0.0, deadline - time.monotonic()))
        # The server was too slow for all that was queued: this host's part does not need it.
        with self._known_lock:
            left = list(self._unwritten)
        if left:
            self._write_local(left)
        for tier in (self._memory, self._local, self._remote):
            tier.close()
        # Closing the server's connections is what wakes a follower that waits for a message.
        self._follower.join(max(0.1, deadline - time.monotonic()))


def _places(asked: Sequence[AutotuneKey | Place]) -> list[Place]:
    return [Place(item) if isinstance(item, AutotuneKey) else item for item in asked]
