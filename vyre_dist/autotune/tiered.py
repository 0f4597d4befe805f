"""TieredStore: memory, then a local store, then Redis on background threads.

Look-ups and puts never wait for a server.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from vyre_dist.autotune import redis_scripts as scripts
from vyre_dist.autotune.background import Background
from vyre_dist.autotune.lease import Lease
from vyre_dist.autotune.memory import MemoryStore
from vyre_dist.autotune.record import Place, StoredRecord, beats
from vyre_dist.autotune.redis_follow import CHECK_S, follow
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.redis_target import ServerUnavailableError
from vyre_dist.autotune.store import Offer, RecordStore, StoreStats
from vyre_dist.autotune.wait_budget import WaitBudget
from vyre_dist.dispatch.keys import AutotuneKey

MAX_JOBS = 1024
# Longer than the slowest operation on a server, with its second try.
CLOSE_TIMEOUT_S = 3.0
# A follower whose connection was closed ends at once; one that is connecting does not.
_FOLLOWER_S = 0.1
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
    background and found by a later lookup. A put is in memory and in the local store when it
    returns, and on the server soon after (`flush` waits). Changes that others publish come in by
    themselves, for the places that were ever asked for here.

    `budget`: what callers may wait for the server in all, over this store's whole life; without one
    whoever asks for the server's own answer waits for it, and the rest for a few seconds.
    """

    def __init__(
        self,
        local: RecordStore,
        remote: RedisStore,
        *,
        max_jobs: int = MAX_JOBS,
        check_s: float = CHECK_S,
        budget: WaitBudget | None = None,
    ) -> None:
        super().__init__()
        self._memory = MemoryStore()
        self._local = local
        self._remote = remote
        self._known: set[Place] = set()
        # How many records of each place are on their way to the server.
        self._unsent: Counter[Place] = Counter()
        self._known_lock = threading.Lock()
        self._stop = threading.Event()
        self._background = Background(self._counters, budget, max_jobs, "vyre-autotune-writer")
        self._follower = threading.Thread(
            target=follow,
            args=(remote, self._stop, self._changed),
            kwargs={"check_s": check_s},
            name="vyre-autotune-follower",
            daemon=True,
        )
        self._follower.start()

    def __repr__(self) -> str:
        return f"TieredStore({self._local!r}, {self._remote!r})"

    @property
    def address(self) -> str:
        return self._remote.address

    @property
    def trouble(self) -> str:
        here = super().trouble
        return "; ".join(told for told in (here, self._local.trouble) if told)

    def told(self) -> list[str]:
        # each once: who closes a server that does not answer may see it with its thread
        return list(dict.fromkeys([*self._remote.told(), *super().told()]))

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
        """Wait until all that was asked for is done or failed; False after `timeout_s`, or when
        nothing is left of the budget.
        """
        self.check_open()
        return self._background.flush(timeout_s)

    def publish(self, places: Sequence[AutotuneKey | Place]) -> int:
        """Bring the server up to what this store has at `places`; how many of these the server did
        not take.

        Waits for what was put so far and for the server, as its answer is what is wanted.
        """
        self.flush(PUBLISH_TIMEOUT_S)
        return self._refresh(_places(places))

    def lease(self, name: str, ttl_s: float) -> Lease | None:
        """See RedisStore.lease. Waits for the server, as its answer is what is wanted: within the
        budget, if there is one. A lease that is granted too late is given back.

        The lease's `renew` waits for the server by itself: it is for who tunes, on a thread of its
        own. Its `release` keeps to the budget.
        """
        self.check_open()
        lease = self._background.answer(
            lambda: self._remote.lease(name, ttl_s), None, late=_give_back
        )
        return lease and replace(lease, run_script=self._lease_script)

    def put_leased(self, record: StoredRecord, lease: Lease) -> bool:
        """`put`, refused everywhere if another has the lease by now.

        Waits for the server within the budget; if that is spent, the record is kept here, and
        the server refuses it by itself.
        """
        self.check_open()
        outcome = self._background.answer(lambda: self._remote.offer_leased(record, lease), None)
        if outcome is Offer.FENCED:
            return self.count_offer(Offer.FENCED)
        return self.count_offer(self._offer_all([record], lease)[0])

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
        return self._offer_all([record])[0]

    def offer_many(self, records: Sequence[StoredRecord]) -> list[Offer]:
        """One transaction of the local store's, and one job of the background's."""
        return self._offer_all(records)

    def _offer_all(
        self, records: Sequence[StoredRecord], lease: Lease | None = None
    ) -> list[Offer]:
        """The local store first: what it has taken is acknowledged. The server hears of it later,
        also of what the local store could not take.
        """
        places = [record.place for record in records]
        self.fetch_local(places)  # memory must know the incumbents before it can judge
        with self._known_lock:
            self._known.update(places)
            self._unsent.update(places)
        outcomes = [self._memory.offer(record) for record in records]
        taken = [number for number, outcome in enumerate(outcomes) if outcome is Offer.STORED]
        new = [records[number] for number in taken]
        if new:
            for number, outcome in zip(taken, self._local.offer_many(new), strict=True):
                self._local.count_offer(outcome)
                outcomes[number] = outcome
            self._take_what_is_kept(records, outcomes)
        if not (new and self._background.enqueue(lambda: self._publish(new, places, lease))):
            self._sent(places)  # what is new goes to the server with its place's next refresh
        return outcomes

    def _take_what_is_kept(
        self, records: Sequence[StoredRecord], outcomes: Sequence[Offer]
    ) -> None:
        """Into memory, what another process has put into the local store since we looked."""
        kept = [
            record.place
            for record, outcome in zip(records, outcomes, strict=True)
            if outcome is Offer.KEPT
        ]
        for stored in self._local.fetch(kept) if kept else ():
            if stored is not None:
                self._memory.offer(stored)

    def items(self) -> Iterator[StoredRecord]:
        self.check_open()
        seen = {stored.place: stored for stored in self._memory.items()}
        for tier in (self._local, self._remote):
            for stored in tier.items():
                if beats(stored, seen.get(stored.place)):
                    seen[stored.place] = stored
        return iter(seen.values())

    def remove(self, places: Sequence[Place]) -> int:
        """In all tiers. What was put before is on the server first, and goes as well.

        Nobody compares this store with the server meanwhile: what is gone from one of them would
        come back from the other.
        """
        self.check_open()
        return self._background.in_turn(lambda: self._remove(places), 0, PUBLISH_TIMEOUT_S)

    def _remove(self, places: Sequence[Place]) -> int:
        there = [stored.place for tier in (self._memory, self._local) for stored in tier.items()]
        with self._known_lock:
            self._known.difference_update(places)
        removed = self._remote.remove(places)
        self._memory.remove(places)
        self._local.remove(places)
        return max(removed, len(set(places).intersection(there)))

    def uses(self, places: Sequence[Place]) -> list[int]:
        return self._local.uses(places)

    def _ask_server(self, places: Sequence[Place]) -> None:
        with self._known_lock:
            new = [place for place in places if place not in self._known]
            self._known.update(new)
        if new:
            self._background.enqueue(lambda: self._refresh(new))

    def _lease_script(self, script: str, keys: Sequence[str], *args: str | int) -> object:
        if script != scripts.LEASE_RELEASE:
            return self._remote.lease_script(script, keys, *args)
        nothing: object = 0
        return self._background.answer(
            lambda: self._remote.lease_script(script, keys, *args), nothing
        )

    def _sent(self, places: Sequence[Place]) -> None:
        with self._known_lock:
            self._unsent.subtract(places)
            for place in places:
                if self._unsent[place] <= 0:
                    del self._unsent[place]

    def _publish(
        self, records: Sequence[StoredRecord], places: Sequence[Place], lease: Lease | None
    ) -> None:
        self._sent(places)
        refused = [
            record.place
            for record in records
            if not self._remote.count_offer(self._remote.offer_leased(record, lease))
        ]
        if refused:
            self._refresh(refused)  # somebody's better ones, if that was the reason

    def _changed(self, place: Place | None) -> None:
        with self._known_lock:
            known = [place] if place in self._known else [] if place else list(self._known)
        if known:
            self._background.enqueue(lambda: self._refresh(known))

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
        better = []
        for place, theirs, ours in zip(places, there, self.fetch_local(places), strict=True):
            if theirs is not None and beats(theirs, ours):
                if self._taken(place, theirs):
                    better.append(theirs)
            elif ours is not None and ours != theirs:
                outcome = self._remote.offer(ours)
                self._remote.count_offer(outcome)
                failed += outcome is Offer.FAILED
        self._local.put_many(better)  # one transaction: there may be thousands
        return failed

    def _taken(self, place: Place, theirs: StoredRecord) -> bool:
        with self._known_lock:
            # of a place whose newer record is on its way there, what is held there is old
            return place not in self._unsent and self._memory.offer(theirs) is Offer.STORED

    def _release(self) -> None:
        self._stop.set()
        if not self._background.end(CLOSE_TIMEOUT_S):
            # It hears of what was queued another time.
            self._counters.failed("it did not answer in time")
        for tier in (self._memory, self._local, self._remote):
            tier.close()
        # Closing the server's connections is what wakes a follower that waits for a message.
        with self._background.waiting(_FOLLOWER_S) as left:
            self._follower.join(left)


def _places(asked: Sequence[AutotuneKey | Place]) -> list[Place]:
    return [Place(item) if isinstance(item, AutotuneKey) else item for item in asked]


def _give_back(lease: Lease | None) -> None:
    if lease is not None:
        lease.release()
