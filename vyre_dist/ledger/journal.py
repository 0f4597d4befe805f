"""Journal: this driver's two logs of a run, the plan and the ledger, committed in groups.

There is no thread for it: workers are forked from the driver, which must have none. The plan's
records are there to stay before those of the ledger that are about them.
"""

from __future__ import annotations

from vyre_dist.ledger.records import Begin, Done, Record, Shard, encode_record
from vyre_dist.storage import Log, Storage
from vyre_dist.storage.frames import framed

PLAN, LEDGER = "plan", "ledger"
GROUP_SECONDS = 0.1
"""A record waits so long for others, at most: half of it would cost twice as many commits."""

COMMITS_SHARE = 0.02
MOST_GROUP_SECONDS = 0.5
"""Where commits would take more than this share of the time, records wait longer, but no more than
so long.
"""
PLAN_SECONDS = 1.0
"""The plan waits so long, at most, if nothing that is done needs it."""


class Journal:
    """Appends to the logs of `begin.epoch`."""

    def __init__(self, storage: Storage, begin: Begin) -> None:
        epoch = begin.epoch
        self._ledger = _Writer(storage.log(log_name(LEDGER, epoch)))
        try:
            self._plan = _Writer(storage.log(log_name(PLAN, epoch)))
        except BaseException:
            self._ledger.close()
            raise
        self._ledger.add(encode_record(begin))
        self._ledger.commit()
        self._kept = self._planned = begin.planned
        self._needed = 0

    def plan(self, record: Record) -> bytes:
        """Add to the plan; the record's bytes."""
        if isinstance(record, Shard):
            self._planned = record.shard + 1
        return self._plan.add(encode_record(record))

    def add(self, record: Record) -> None:
        """Add to the ledger."""
        if isinstance(record, Done):
            self._needed = max(self._needed, record.entry.shard + 1)
        self._ledger.add(encode_record(record))

    @property
    def waits(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._plan.records or self._ledger.records)

    def commit(self, *, everything: bool = True) -> None:
        """Have all that was added outlive this process, and the machine. Raises OSError.

        Without `everything` the plan may wait, as long as the ledger says nothing of what is new in
        it: it is ahead of the ledger, and each log that is synced costs.
        """
        if everything or self._needed > self._kept:
            self._plan.commit()
            self._kept = self._planned
        self._ledger.commit()

    def close(self) -> None:
        """Nothing more is added; what was not committed is dropped."""
        self._plan.close()
        self._ledger.close()


class _Writer:
    def __init__(self, log: Log) -> None:
        self._log = log
        self._frames = 0
        self.records: list[bytes] = []

    def add(self, record: bytes) -> bytes:
        self.records.append(record)
        return record

    def commit(self) -> None:
        if self.records:
            self._log.append(framed(self._frames, b"".join(self.records)))
            self._frames += 1
            self.records.clear()

    def close(self) -> None:
        self._log.close()


def log_name(kind: str, epoch: int) -> str:
    """The file of a log."""
    return f"{kind}/{epoch:06}"
