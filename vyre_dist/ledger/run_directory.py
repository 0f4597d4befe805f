"""RunDirectory: a run's directory, owned by this driver, to which it records what it does."""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from vyre_dist.engine.part_files import file_result
from vyre_dist.errors import UsageError, VyreError
from vyre_dist.input_problem import InputProblem
from vyre_dist.ledger.garbage import NamedParts, remove_garbage, remove_unfinished
from vyre_dist.ledger.history import History, documents_to
from vyre_dist.ledger.identity import FILE, RunFacts, check_same, read_facts, write_facts
from vyre_dist.ledger.journal import (
    COMMITS_SHARE,
    GROUP_SECONDS,
    MOST_GROUP_SECONDS,
    PLAN_SECONDS,
    Journal,
)
from vyre_dist.ledger.owner import THIS_HOST, Host, Owner, RunTakenError
from vyre_dist.ledger.records import PARTS, PROOF, Begin, Done, PlanEnd, Shard, Void, Worker
from vyre_dist.leftovers import LOCK_NAME, lock
from vyre_dist.storage import LocalStorage, open_storage

if TYPE_CHECKING:
    from vyre_dist.engine.tasks import Item
    from vyre_dist.ledger.entries import Entry

PACK = "pack.msgpack"
REPORT = "report.json"


class RunDirectory:
    """The directory at `place`. `facts`: see identity.py; `pack`: the rules, encoded.

    One that leftovers.make_folder made is `private`: its lock, `held` by the one who made it, tells
    that somebody works on it, and it goes away when the run is over.

    `history`: what earlier drivers have put down. `skipped`: asked for what the walk has left out
    when the plan ends. Raises UsageError, of which RunBusyError and RunDiffersError are kinds,
    DamagedError and OSError.
    """

    def __init__(
        self,
        place: str,
        facts: RunFacts,
        pack: bytes,
        *,
        resume: bool,
        held: int = -1,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        host: Host = THIS_HOST,
    ) -> None:
        self.place = place
        self._clock = clock
        self._storage = storage = open_storage(place)
        known = read_facts(storage)
        if known is None:
            if resume:
                raise UsageError(f"there is no run in {place}: leave --resume out to begin one")
            if others := [name for name in storage.names() if name not in _OWN]:
                raise UsageError(
                    f"{place} is no run directory, and not empty (there is {others[0]}): name "
                    "another --run-dir"
                )
        elif not resume:
            raise _there_is_one(place)
        else:
            check_same(place, known, facts)
        self._monotonic = monotonic
        self._owner = Owner(storage, clock, host)
        self._taken = False
        self.private = isinstance(storage, LocalStorage) and LOCK_NAME in storage.names()
        self._lock = held
        self._journal: Journal | None = None
        try:
            if self.private and held < 0:
                self._lock = os.open(storage.path(LOCK_NAME), os.O_RDWR | os.O_CLOEXEC)
                lock(self._lock)
            if known is None:
                if read_facts(storage) is not None:
                    raise _there_is_one(place)  # another driver was faster
                storage.put(PACK, [pack])
                write_facts(storage, facts)
            self.history = History(storage)
            known_so_far = self.history.lengths, self.history.planned
            # a driver that was killed may have written what it did not come to sync
            for name, length in self.history.lengths.items():
                if length:
                    storage.sync(name)
            self._journal = Journal(storage, Begin(self._owner.epoch, *known_so_far))
        except BaseException:
            self.close()
            raise
        self.skipped: Callable[[], Mapping[str, int]] = dict
        self._problems = set(self.history.problems)
        self._shards, self._documents = self.history.planned, self.history.documents
        self._checksum = self.history.checksum
        self._ended = self.history.end is not None
        self._over = False
        self._named = NamedParts()
        self._last: int | None = None
        self._since: float | None = None
        self._plan_kept = monotonic()
        self._took = 0.0
        self._parts = storage.path(PARTS)

    @property
    def own_files(self) -> frozenset[tuple[int, int]]:
        """(device, inode) of the directory, which is not to be scanned."""
        if not isinstance(self._storage, LocalStorage):
            return frozenset()
        info = os.stat(self._storage.path(""))
        return frozenset({(info.st_dev, info.st_ino)})

    @cached_property
    def proof(self) -> str:
        """See Recording."""
        name = f"{PROOF}.{os.urandom(8).hex()}.{self._owner.epoch}"
        self._storage.put(f"{PARTS}/{name}", [b"\n"])
        return name

    def part(self, shard: int, task_id: int | str) -> str:
        """See Recording."""
        return f"{self._parts}/{shard}.{task_id}.{self._owner.epoch}"

    def listed(self, problem: InputProblem) -> None:
        """See Recording."""
        if problem not in self._problems:
            self._problems.add(problem)
            self._writer.plan(problem)
            self._wait()

    def planned(self, shard: int, items: tuple[Item, ...]) -> None:
        """See Recording."""
        if shard < self._shards:
            return
        record = self._writer.plan(Shard(shard, items))
        self._checksum = zlib.crc32(record, self._checksum)
        self._shards += 1
        self._documents = max(self._documents, documents_to(items))
        self._wait()

    def plan_ended(self) -> None:
        """See Recording."""
        if not self._ended:
            self._ended = True
            end = PlanEnd(self._shards, self._documents, self._checksum, self.skipped())
            self._writer.plan(end)
            self._wait()

    def worker(self, worker: Worker) -> None:
        """See Recording."""
        self._writer.add(worker)
        self._wait()

    def record(self, number: int, entry: Entry, began_ns: int, worker: int | None = None) -> None:
        """See Recording. What its worker could not file is filed here."""
        filed = file_result(entry.result, self.part(entry.shard, f"e{number}"))
        self._named.add(filed)
        ended_ns = int(self._clock() * 1e9)
        self._writer.add(Done(replace(entry, result=filed), began_ns, ended_ns, worker))
        self._last = number
        self._wait()

    def void(self, shard: int, places: list[int], items: tuple[Item, ...] | None) -> None:
        """Have some of a shard's entries not count, and perhaps have other items in it."""
        self._writer.add(Void(shard, places))
        if items is not None:
            self._writer.add(Shard(shard, items))
        self._wait()

    def patience(self, most: float) -> float:
        """See Recording."""
        if self._since is None:
            return most
        # twice as long: mostly something comes before, and is a reason to commit
        return min(most, max(0.0, self._since + 2 * self._group - self._monotonic()))

    @property
    def _group(self) -> float:
        # on a slow disk, or a machine with much to do, commits take a small part of the time, too
        slow = min(MOST_GROUP_SECONDS, self._took / COMMITS_SHARE)
        return max(GROUP_SECONDS, self._storage.group_seconds, slow)

    def commit(self, *, idle: bool) -> int | None:
        """See Recording. Is called every now and then, as it says that this driver lives."""
        if self._owner.due:
            self.check_owner()
        now = self._monotonic()
        if self._since is None or (not idle and now - self._since < self._group):
            return None
        self.check_owner()
        everything = idle or now - self._plan_kept >= PLAN_SECONDS
        self._writer.commit(everything=everything)
        after = self._monotonic()
        self._took = max(0.0, after - now)
        if everything:
            self._plan_kept = now
        last, self._last = self._last, None
        self._since = after if self._writer.waits else None
        return last

    def finish(self, report: bytes) -> None:
        """The run is over, and its outputs are whole."""
        self.check_owner()
        self._over = True
        if self.private:
            self.remove()
        else:
            self._writer.commit()  # the end of the plan may wait yet
            self._storage.put(REPORT, [report])
            self._clear()

    def _clear(self) -> None:
        """Remove the part files that no entry names."""
        try:
            if proof := self.__dict__.get("proof"):
                self._storage.remove(f"{PARTS}/{proof}")
            names = self._storage.names(PARTS)
            if self.history.entries or not self._named.are(names):
                epoch = self._owner.epoch
                deque(remove_garbage(self._storage, names, epoch, self.check_owner), maxlen=0)
            remove_unfinished(self._storage)
        except (OSError, VyreError):
            return  # the outputs are whole: `vyre-dist clean` may still do it

    @property
    def kept_in(self) -> str | None:
        """Where another driver can go on; None if the run is over."""
        return None if self._over else self.place

    def discard(self) -> None:
        """Nobody will go on with the run."""
        if self.private:
            self.remove()

    def close(self) -> None:
        """Let go of the run, with all that was done in it. May be called twice."""
        journal, self._journal = self._journal, None
        if journal is not None:
            if not self._taken:
                with contextlib.suppress(OSError, RunTakenError):
                    self.check_owner()
                    journal.commit()
            journal.close()
        with contextlib.suppress(OSError):
            self._owner.release()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def remove(self) -> None:
        """Remove the directory with all that is in it, and let go of it. If another driver has
        taken the run over, all of it stays: that one works there.
        """
        self._over = True
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()
        with contextlib.suppress(OSError, RunTakenError):
            self.check_owner()
        if not self._taken:
            self._remove_files()  # before it is let go: nobody begins in what goes away
        self.close()

    def _remove_files(self) -> None:
        import shutil

        shutil.rmtree(self._storage.path(""), ignore_errors=True)

    def check_owner(self) -> None:
        """See Recording."""
        try:
            self._owner.check()
        except RunTakenError:
            self._taken = self._over = True
            raise

    @property
    def _writer(self) -> Journal:
        if self._journal is None:
            raise AssertionError("the run directory was closed")
        return self._journal

    def _wait(self) -> None:
        if self._since is None:
            self._since = self._monotonic()


def _there_is_one(place: str) -> UsageError:
    return UsageError(
        f"there is a run in {place} already: --resume goes on with it, or name another --run-dir"
    )


_OWN = frozenset({FILE, PACK, "owner", "plan", "ledger", PARTS, LOCK_NAME})
"""What a driver may have left that died while it began."""
