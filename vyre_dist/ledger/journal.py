"""Journal: this driver's two logs of a run, the plan and the ledger, committed in groups.

There is no thread for it: workers are forked from the driver, which must have none. The plan's
records are there to stay before those of the ledger that are about them.
"""

from __future__ import annotations

from vyre_dist.ledger.records import Begin, Record, encode_record
from vyre_dist.storage import Log, Storage
from vyre_dist.storage.frames import framed

PLAN, LEDGER = "plan", "ledger"
GROUP_SECONDS = 0.05
"""A record waits so long for others, at most."""


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

    def plan(self, record: Record) -> bytes:
        """Add to the plan; the record's bytes."""
        return self._plan.add(encode_record(record))

    def add(self, record: Record) -> None:
        """Add to the ledger."""
        self._ledger.add(encode_record(record))

    @property
    def waits(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._plan.records or self._ledger.records)

    def commit(self) -> None:
        """Have all that was added outlive this process, and the machine. Raises OSError."""
        self._plan.commit()
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
