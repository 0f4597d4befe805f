"""Garbage: part files that no entry names.

Workers that died have left them, tasks that were done twice, and drivers that were taken for dead.
Nothing reads them (see runs.md). Only those are looked at that drivers up to an epoch have given
out: a later one may be about to name its own.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from vyre_dist.engine.part_files import filed_in
from vyre_dist.engine.tasks import TaskResult
from vyre_dist.ledger.history import History
from vyre_dist.ledger.owner import Owner, RunBusyError, lives, owner_of
from vyre_dist.ledger.records import PARTS
from vyre_dist.leftovers import sweep
from vyre_dist.storage import LocalStorage, Storage

_BETWEEN_CHECKS = 256
"""Files that are removed before a driver makes sure that the run is still its own."""


def parts_in(result: TaskResult) -> set[str]:
    """The names of the part files that `result` has something in."""
    return {os.path.basename(filed.part) for filed in filed_in(result)}


class NamedParts:
    """Tells whether a driver that began a run has named all part files that are there, without
    knowing them by name: there are many.
    """

    def __init__(self) -> None:
        self._sum = 0

    def add(self, result: TaskResult) -> None:
        """What is recorded."""
        self._sum += sum(map(hash, parts_in(result)))

    def are(self, names: Sequence[str]) -> bool:
        """Whether it is these, each named once."""
        return self._sum == sum(map(hash, names))


def garbage(storage: Storage, names: Sequence[str], epoch: int) -> list[str]:
    """Of the part files `names`, which were listed before, those that nothing names. Raises what
    History raises.
    """
    left: dict[int, set[str]] = {}
    for name in names:
        shard, _, given = name.split(".") if name.count(".") == 2 else ("", "", "")
        if given.isdecimal() and int(given) <= epoch:
            left.setdefault(int(shard) if shard.isdecimal() else -1, set()).add(name)
    for known in History(storage).shards():
        own = left.get(known.shard)
        if own:
            for done in known.done:
                own -= parts_in(done.entry.result)
    return sorted(name for own in left.values() for name in own)


def remove_garbage(
    storage: Storage, names: Sequence[str], epoch: int, check: Callable[[], None]
) -> Iterator[str]:
    """Remove it; the names. `check` raises where the run is another driver's by now."""
    for number, name in enumerate(garbage(storage, names, epoch)):
        if number % _BETWEEN_CHECKS == 0:
            check()
        storage.remove(f"{PARTS}/{name}")
        yield name


def remove_unfinished(storage: Storage) -> None:
    """Remove what workers that were killed were writing. On objects there is nothing of that."""
    if isinstance(storage, LocalStorage):
        deque(sweep(storage.path(PARTS), deep=False, dry_run=False), maxlen=0)


def clean_run(storage: Storage, *, dry_run: bool) -> Iterator[str]:
    """Remove what no entry of a run names; the files' places. With `dry_run` only tell.

    Raises RunBusyError if its driver is at work, and what History raises.
    """
    if dry_run:
        found = owner_of(storage)
        if found is not None and lives(found[1]):
            raise RunBusyError(storage.place, found[1].host, found[1].pid)
        epoch = found[0] if found is not None else 0
        for name in garbage(storage, storage.names(PARTS), epoch):
            yield storage.path(f"{PARTS}/{name}")
        return
    # who was wrongly taken for dead loses the run, and names nothing any more
    owner = Owner(storage)
    try:
        for name in remove_garbage(storage, storage.names(PARTS), owner.epoch, owner.check):
            yield storage.path(f"{PARTS}/{name}")
    finally:
        owner.release()
