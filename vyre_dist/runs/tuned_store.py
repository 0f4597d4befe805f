"""The autotune store as commands about it use it: opened to read without making one, the winners
of a race kept in it.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Self

from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.memory import MemoryStore
from vyre_dist.autotune.record import Place, Provenance, StoredRecord
from vyre_dist.autotune.tiered import TieredStore
from vyre_dist.autotune.urls import FILE_NAME, open_store, uses_folder
from vyre_dist.cache_folder import choose, default_folder, is_ours, spares
from vyre_dist.dispatch.keys import AutotuneKey
from vyre_dist.tuning.records import failed_records, winner_record

if TYPE_CHECKING:
    from vyre_dist.autotune.lease import Lease
    from vyre_dist.autotune.store import AutotuneStore
    from vyre_dist.program.program_facts import ProgramFacts
    from vyre_dist.runs.ahead import TunedAhead

_LEASE_SECONDS = 300.0
_RENEW_SECONDS = 60.0


def open_to_read(url: str | None) -> tuple[AutotuneStore, bool]:
    """(the store, whether there is one yet): none is made, and what is missing is empty.

    Raises what open_store raises.
    """
    path = None
    if uses_folder(url):
        path = next((path for path in _files() if os.path.lexists(path)), None)
    store = open_store(url, local_path=path, create=False)
    return store, url == "memory:" or not isinstance(store, MemoryStore)


def _files() -> list[str]:
    """Where a default store's file can be, likely places first."""
    folder = default_folder()
    own = [] if folder is None else [folder]
    return [
        os.path.join(each, FILE_NAME)
        for each in (*own, *[spare for spare in spares() if is_ours(spare)])
    ]


def open_to_write(url: str | None) -> tuple[AutotuneStore, str]:
    """The store, and why the user's cache folder is not the place of its file; "" if it is."""
    if not uses_folder(url):
        return open_store(url), ""
    folder = choose(None)
    path = None if folder.path is None else os.path.join(folder.path, FILE_NAME)
    return open_store(url, local_path=path), folder.trouble


def trouble_of(store: AutotuneStore) -> str:
    """Why the store may hold more than was read, or "". A scan goes on without the store, but here
    somebody asked for its records.
    """
    if isinstance(store, TieredStore) and store.tiers.remote.errors:
        return f"{store.trouble}; these are the records of this machine"
    return store.trouble


class Turn:
    """The right to tune one class of a program, as far as the store has such rights; it is given
    back at the block's end.

    `fence`: what tells it from others; None where somebody else has the right.
    """

    def __init__(
        self,
        store: AutotuneStore,
        programs: ProgramFacts,
        workload: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._clock = store, clock
        self._programs, self._workload = programs, workload
        self._lease: Lease | None = None
        # where nobody grants a right, the time tells whose measurement is the later one
        self.fence: Fence | None = Fence(uuid.uuid4().hex, time.time_ns() // 1_000_000)
        if isinstance(store, TieredStore):
            before = store.tiers.remote
            key = AutotuneKey.of(programs.fused, programs.adapter)
            name = f"tune:{key.key_hex}:{key.adapter_id}:{workload}"
            self._lease = store.lease(name, _LEASE_SECONDS)
            after = store.tiers.remote
            if self._lease is not None:
                self.fence = self._lease.fence
            elif (after.errors, after.skipped) == (before.errors, before.skipped):
                self.fence = None
        self._renewed = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lease is not None:
            self._lease.release()

    def go_on(self) -> None:
        """Called now and then: the right lapses else."""
        if self._lease is not None and self._clock() - self._renewed > _RENEW_SECONDS:
            self._renewed = self._clock()
            self._lease.renew()

    def keep(self, tuned: TunedAhead, pack: str, versions: dict[str, str]) -> Kept:
        """Offer the winner to the store, and what failed."""
        provenance = Provenance.here(versions, pack)
        programs, race, store = tuned.programs, tuned.race, self._store
        record = winner_record(race, programs, self._workload, provenance, self.fence)
        failed = failed_records(race, programs, self._workload, provenance, time.time())
        if record is None:
            store.put_many(failed)
            return Kept(None, False, "too little could be measured")
        # what has won has not failed, whatever an earlier run says
        store.remove([Place(record.key, self._workload, record.choice.digest)])
        if self._lease is not None and isinstance(store, TieredStore):
            stored = store.put_leased(record, self._lease)
        else:
            stored = store.put(record)
        store.put_many(failed)
        if stored:
            return Kept(record, True)
        if self.fence is None:
            return Kept(record, False, "somebody else tunes it now, and their result will count")
        return Kept(record, False, "the store keeps a better or a later one")


class Kept(NamedTuple):
    """What became of a race's winner. `why`: why it was not stored."""

    record: StoredRecord | None
    stored: bool
    why: str = ""
