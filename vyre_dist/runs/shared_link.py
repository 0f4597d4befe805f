"""SharedLink: a store that other machines share, on a thread of its own. Nobody waits for it.

The store is opened once. What other runs publish comes in through it, and is looked for here
several times a second, in memory.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.record import Place, StoredRecord
from vyre_dist.driver.tuning_link import Found, Leased, News, Published, Target
from vyre_dist.errors import VyreError
from vyre_dist.runs.local_link import failed_in, found_in

if TYPE_CHECKING:
    from vyre_dist.autotune.lease import Lease
    from vyre_dist.autotune.store import AutotuneStore
    from vyre_dist.autotune.tiered import TieredStore

LEASE_SECONDS = 10.0
"""After which another run may tune what a run was tuning that has died."""

_LOOK_SECONDS = 0.2
_MOST_SECONDS = 0.2
"""That the end of a run waits for the server, beside what its client takes to be loaded."""

_LOADING_SECONDS = 2.0
"""That the latter may take, on a machine with much else to do."""


class SharedLink:
    """See TuningLink. `close` ends it; what the server has not answered by then goes on without the
    run, in a thread that holds nobody up.
    """

    def __init__(self, open_store: Callable[[], AutotuneStore]) -> None:
        """`open_store`: gives a TieredStore, for whose server nobody but the thread waits.

        It is called with the first question: before that the scan may fork, as it may not when the
        store's threads are there.
        """
        self._open = open_store
        self._store: TieredStore | None = None
        self._jobs: queue.Queue[Callable[[TieredStore], None] | None] = queue.Queue()
        self._owed = 0
        self._closed = self._late = False
        self._fault = ""
        self._paid = threading.Condition()
        self._heard: list[News] = []
        self._lock = threading.Lock()
        self._known: dict[Target, Found] = {}
        self._leases: dict[Target, tuple[Lease, float]] = {}

    @property
    def problem(self) -> str:
        """Why the store is of no use, as far as that is known; "" if it is."""
        if self._store is None:
            return ""
        late = f"the autotune store {self._store.address}: it did not answer in time"
        return self._store.trouble or self._fault or (late if self._late else "")

    def read(self, targets: Sequence[Target]) -> None:
        """See TuningLink. Raises what opening the store does."""
        self._owe(lambda store: self._read(store, targets))

    def lease(self, target: Target, choices: Sequence[Choice]) -> None:
        """See TuningLink."""
        self._owe(lambda store: self._lease(store, target, choices))

    def publish(self, target: Target, record: StoredRecord) -> None:
        """See TuningLink."""
        self._owe(lambda store: self._publish(store, target, record))

    def release(self, target: Target) -> None:
        """See TuningLink."""
        self._owe(lambda _: self._release(target))

    def news(self) -> Sequence[News]:
        """See TuningLink."""
        with self._lock:
            heard, self._heard = self._heard, []
        return heard

    def close(self) -> None:
        """End it, when what others wait for is on the server, and it is known whether that is of
        any use; waits 0.3 s at most.
        """
        if self._store is None or self._closed:
            return
        self._closed = True
        began = time.monotonic()
        until, done = began + _MOST_SECONDS, False
        while not done and not self.problem and (now := time.monotonic()) < until:
            with self._paid:
                is_paid = self._paid.wait_for(lambda: not self._owed, min(until - now, 0.05))
            done = is_paid and self._store.flush(min(until - now, 0.05))
            # the time until the server could be asked at all does not speak against it
            if not hasattr(sys.modules.get("redis"), "VERSION"):
                until = min(time.monotonic() + _MOST_SECONDS, began + _LOADING_SECONDS)
        self._late = not done
        self._jobs.put(None)

    def _begin(self) -> None:
        from vyre_dist.autotune.tiered import TieredStore

        store = self._open()
        if not isinstance(store, TieredStore):
            raise AssertionError(f"{store!r} is not shared")
        self._store = store
        # a daemon: a server that does not answer holds nobody up
        threading.Thread(
            target=self._live, args=(store,), name="vyre-tuning-store", daemon=True
        ).start()

    # --- on the thread

    def _owe(self, job: Callable[[TieredStore], None]) -> None:
        """Queue what the end of the run waits for."""
        if self._store is None:
            self._begin()
        with self._paid:
            self._owed += 1

        def paid(store: TieredStore) -> None:
            try:
                job(store)
            finally:
                with self._paid:
                    self._owed -= 1
                    self._paid.notify()

        self._jobs.put(paid)

    def _say(self, *news: News) -> None:
        with self._lock:
            self._heard += news

    def _live(self, store: TieredStore) -> None:
        try:
            while True:
                try:
                    job = self._jobs.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    self._look(store)
                    continue
                if job is None:
                    return
                try:
                    job(store)
                except VyreError as error:  # what comes later may be in order
                    self._fault = self._fault or str(error)
        finally:
            for lease, _ in self._leases.values():
                lease.release()
            store.close()

    def _read(self, store: TieredStore, targets: Sequence[Target]) -> None:
        # what is on this machine is said at once, and what the server has when it has answered
        for found in found_in(store, targets):
            self._known[found.target] = found
            self._say(found)

    def _look(self, store: TieredStore) -> None:
        """Say what has changed, and keep the leases."""
        for found in found_in(store, list(self._known)):
            if found != self._known[found.target]:
                self._known[found.target] = found
                self._say(found)
        now = time.monotonic()
        for target, (lease, since) in list(self._leases.items()):
            if now - since < LEASE_SECONDS / 3:
                continue
            if lease.renew():
                self._leases[target] = lease, now
            elif now - since > LEASE_SECONDS:
                del self._leases[target]
                self._say(Leased(target, False))

    def _lease(self, store: TieredStore, target: Target, choices: Sequence[Choice]) -> None:
        before = store.tiers.remote
        lease = store.lease(target.lease, LEASE_SECONDS)
        if lease is None:
            # without a server nobody else would hear of what is tuned, nor tune the same for us
            now = store.tiers.remote
            away = (now.errors, now.skipped) != (before.errors, before.skipped)
            self._say(Leased(target, away, None, failed_in(store, target, choices)))
            return
        # who had it before may have published just now
        failures = [Place(target.key, target.workload, choice.digest) for choice in choices]
        store.publish([Place(target.key, target.workload), *failures])
        (found,) = found_in(store, [target])
        known, self._known[target] = self._known.get(target), found
        if found.record is not None and (known is None or found.record != known.record):
            lease.release()
            self._say(found)
            return
        self._leases[target] = lease, time.monotonic()
        self._say(Leased(target, True, lease.fence, failed_in(store, target, choices)))

    def _publish(self, store: TieredStore, target: Target, record: StoredRecord) -> None:
        lease, _ = self._leases.get(target, (None, 0.0))
        if lease is None or record.failed_until:
            stored = store.put(record)
        else:
            stored = store.put_leased(record, lease)
        self._say(Published(target, stored))
        if not stored:
            # somebody's better one
            self._read(store, [target])
        elif target in self._known and not record.failed_until:
            self._known[target] = self._known[target]._replace(record=record)

    def _release(self, target: Target) -> None:
        lease, _ = self._leases.pop(target, (None, 0.0))
        if lease is not None:
            lease.release()
