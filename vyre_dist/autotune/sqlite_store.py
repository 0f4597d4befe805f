"""The store in one local SQLite file: the default, shared by all processes of a host.

A file of our own that turns out corrupted is moved aside and begun anew; a place that cannot be
written only costs the records. Nothing here raises for the medium's faults.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from vyre_dist.autotune.codec import MAX_RECORD_BYTES, encode
from vyre_dist.autotune.record import EXPIRY_DAYS, REWRITE_DAYS, Place, StoredRecord
from vyre_dist.autotune.sqlite_uses import SqliteUses
from vyre_dist.autotune.store import Offer, RecordStore
from vyre_dist.autotune.wait_budget import WaitBudget

T = TypeVar("T")

# The layout's version is part of the table's name: programs of two versions can share one file.
# What schema a record has is said in the record. `used`: the day of its last use, since 1970.
TABLE = "record_v2"
_CREATE = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    key TEXT NOT NULL, adapter TEXT NOT NULL, workload TEXT NOT NULL, failed TEXT NOT NULL,
    used INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (key, adapter, workload, failed)
) WITHOUT ROWID
"""
# Before there were workload classes.
FIRST_TABLE = "record_v1"
_COPY_FIRST = (
    f"INSERT OR IGNORE INTO {TABLE} SELECT key, adapter, '', '', ?, payload "  # noqa: S608
    f"FROM {FIRST_TABLE}"
)
_EXISTS = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
# The size is looked at before the bytes are read; -1 stands for an entry that cannot be a record.
PAYLOAD = (
    f"CASE WHEN typeof(payload) = 'blob' AND length(payload) <= {MAX_RECORD_BYTES} THEN payload "
    f"ELSE -1 END"
)
_USED = "CASE WHEN typeof(used) = 'integer' THEN used ELSE -1 END"
_PLACE = "key = ? AND adapter = ? AND workload = ? AND failed = ?"
_SELECT = f"SELECT {PAYLOAD}, {_USED} FROM {TABLE} WHERE {_PLACE}"  # noqa: S608 - constants only
_SELECT_ALL = f"SELECT {PAYLOAD} FROM {TABLE} WHERE used >= ?"  # noqa: S608 - constants only
_UPSERT = f"INSERT OR REPLACE INTO {TABLE} VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
_TOUCH = f"UPDATE {TABLE} SET used = ? WHERE {_PLACE}"  # noqa: S608
_REMOVE = f"DELETE FROM {TABLE} WHERE {_PLACE}"  # noqa: S608
_EXPIRE = f"DELETE FROM {TABLE} WHERE used < ?"  # noqa: S608

# SQLITE_ERROR is among them because our statements are fixed: it means that the table is not ours.
BROKEN_FILE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
_MAX_RECOVERIES = 3
BUSY_TIMEOUT_S = 0.5
_DAY_S = 24 * 3600


class SqliteStore(RecordStore):
    """Records in the file at `path`, which is made, with its folder, at the first use.

    Several processes may use one file. An operation waits at most `busy_timeout_s` for another
    process's lock, and then counts as an error. The journal is a rollback journal and not a
    write-ahead log, because cache folders are often on network file systems, where the log's shared
    memory does not work.

    `budget`: what callers may wait in all; without one each waits as long as it takes. `clock`
    gives seconds since 1970. A record that nobody has used for 90 days is a miss, and goes.

    `recover`: a file that is broken, or not ours, is moved aside and begun anew; without it the
    file is left as it is, and operations on it count as errors.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        recover: bool = True,
        budget: WaitBudget | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._budget = budget
        self._clock = clock
        self.path = Path(path)
        self._busy_timeout_s = busy_timeout_s
        self._connection: sqlite3.Connection | None = None
        self._uses = SqliteUses(self.path, _columns)
        self._inode: tuple[int, int] | None = None
        self._recoveries_left = _MAX_RECOVERIES if recover else 0
        # One connection for all threads: sqlite3's objects must not be used by two at a time.
        self._lock = threading.RLock()

    @property
    def address(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"SqliteStore({str(self.path)!r})"

    def fetch(self, places: Sequence[Place]) -> list[StoredRecord | None]:
        def read(connection: sqlite3.Connection) -> list[tuple[object, int] | None]:
            return [connection.execute(_SELECT, _columns(place)).fetchone() for place in places]

        rows = self._run(read)
        if rows is None:
            return [None] * len(places)
        today, found, used = self._today(), list[StoredRecord | None](), list[Place]()
        for row, place in zip(rows, places, strict=True):
            stored = None
            if row is not None and 0 <= row[1] < today - EXPIRY_DAYS:
                self._counters.add("expired")
            elif row is not None:
                stored = self._checked(row[0], place)
                self._uses.found[place] += stored is not None
                # a day to come is that of a clock that was wrong
                if stored is not None and not today - REWRITE_DAYS <= row[1] <= today:
                    used.append(place)
            found.append(stored)
        if used:
            self._touch(used, today)
        return found

    def _touch(self, places: Sequence[Place], today: int) -> None:
        """Write that these are used. It is no fault if that can't be: another look-up will."""

        def touch(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_TOUCH, [(today, *_columns(place)) for place in places])
            connection.execute("COMMIT")

        with self._lock, contextlib.suppress(sqlite3.Error, OSError):
            self._attempt(touch)

    def offer(self, record: StoredRecord) -> Offer:
        return self.offer_many([record])[0]

    def offer_many(self, records: Sequence[StoredRecord]) -> list[Offer]:
        """One transaction, which waits for the disk: all of `records` are FAILED, or none."""
        payloads = [encode(record) for record in records]

        def replace(connection: sqlite3.Connection) -> list[Offer]:
            # IMMEDIATE takes the write lock before reading: nobody can write between our look and
            # our write.
            connection.execute("BEGIN IMMEDIATE")
            offered = zip(records, payloads, strict=True)
            connection.execute(_EXPIRE, (self._today() - EXPIRY_DAYS,))
            outcomes = [self._replace(connection, record, payload) for record, payload in offered]
            connection.execute("COMMIT")
            return outcomes

        return self._run(replace) or [Offer.FAILED] * len(records)

    def items(self) -> Iterator[StoredRecord]:
        self.check_open()
        since = (self._today() - EXPIRY_DAYS,)
        payloads = (
            self._run(lambda connection: [row[0] for row in connection.execute(_SELECT_ALL, since)])
            or []
        )
        found = (self._checked(payload, None) for payload in payloads)
        return (stored for stored in found if stored is not None)

    def remove(self, places: Sequence[Place]) -> int:
        """All of them in one transaction, or none."""
        self.check_open()

        def remove(connection: sqlite3.Connection) -> int:
            connection.execute("BEGIN IMMEDIATE")
            removed = sum(
                [connection.execute(_REMOVE, _columns(place)).rowcount for place in places]
            )
            connection.execute("COMMIT")
            return removed

        self._uses.remove(places)
        return self._run(remove) or 0

    def uses(self, places: Sequence[Place]) -> list[int]:
        self.check_open()
        return self._uses.of(places)

    def _replace(
        self, connection: sqlite3.Connection, record: StoredRecord, payload: bytes
    ) -> Offer:
        columns = _columns(record.place)
        row = connection.execute(_SELECT, columns).fetchone()
        if row and row[0] == payload:
            return Offer.STORED
        if row and isinstance(row[0], bytes):
            successor = self.successor(record, row[0])
            if successor is None:
                return Offer.KEPT
            payload = payload if successor is record else encode(successor)
        connection.execute(_UPSERT, (*columns, self._today(), payload))
        return Offer.STORED

    def _release(self) -> None:
        with self._lock:
            self._uses.keep()
            self._disconnect()

    def _checked(self, payload: object, place: Place | None) -> StoredRecord | None:
        if payload is None:
            return None
        if not isinstance(payload, bytes):
            self._counters.add("invalid")
            return None
        return self.decoded(payload, place)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """`work` on the connection; None, counted, when the file did not let us."""
        with self._waiting(), self._lock:
            while True:
                try:
                    return self._attempt(work)
                except sqlite3.Error as error:
                    if not (primary_code(error) in BROKEN_FILE and self._move_aside()):
                        self._counters.failed(_reason(error))
                        return None
                except OSError as error:
                    self._counters.failed(error.strerror or str(error))
                    return None

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        if self._budget is None:
            yield
        else:
            with self._budget.waiting():
                yield

    def _busy_ms(self) -> int:
        left = self._busy_timeout_s if self._budget is None else self._budget.left_s
        return int(1000 * min(left, self._busy_timeout_s))

    def _today(self) -> int:
        return int(self._clock()) // _DAY_S

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connect()
        try:
            # set anew each time: what is left of a budget grows less
            connection.execute(f"PRAGMA busy_timeout = {self._busy_ms()}")
            return work(connection)
        except BaseException:
            if connection.in_transaction:
                # The first error is the one to report; a connection that cannot roll back is
                # dropped.
                try:
                    connection.execute("ROLLBACK")
                except sqlite3.Error:
                    self._disconnect()
            raise

    def _connect(self) -> sqlite3.Connection:
        # Another process may have moved a broken file aside; what we would write there is lost.
        if self._connection is not None and _inode(self.path) != self._inode:
            self._disconnect()
        if self._connection is None:
            self.check_open()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self.path,
                timeout=self._busy_ms() / 1000,
                isolation_level=None,
                check_same_thread=False,
            )
            self._connection = connection
            self._inode = _inode(self.path)
            try:
                if not connection.execute(_EXISTS, (TABLE,)).fetchone()[0]:
                    _begin(connection, self._today())
            except sqlite3.Error:
                self._disconnect()  # a transaction may be open
                raise
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _move_aside(self) -> bool:
        """Rename the broken file and its journal; False when that may not, or not once more, or
        cannot be done.

        Of several processes that find the file broken, one moves it: under a lock, and only while
        the file at the path is still the one that this process had opened.
        """
        self._disconnect()
        if not self._recoveries_left:
            return False
        self._recoveries_left -= 1
        try:
            with open(f"{self.path}.lock", "wb") as guard:
                fcntl.flock(guard, fcntl.LOCK_EX)
                if self._inode is not None and _inode(self.path) == self._inode:
                    aside = f"{self.path}.corrupt-{time.time_ns()}-{os.getpid()}"
                    os.replace(self.path, aside)
                    # The journal belongs to the broken file and must not be replayed into the new
                    # one.
                    with contextlib.suppress(FileNotFoundError):
                        os.replace(f"{self.path}-journal", f"{aside}-journal")
                    self._counters.failed(
                        f"it was damaged and put aside as {aside}; a new one is begun", "recovered"
                    )
        except OSError:
            return False
        return True


def _begin(connection: sqlite3.Connection, today: int) -> None:
    """Make the table; what an earlier version left in the file is in it."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_CREATE)
    if connection.execute(_EXISTS, (FIRST_TABLE,)).fetchone()[0]:
        connection.execute(_COPY_FIRST, (today,))
    connection.execute("COMMIT")


def _columns(place: Place) -> tuple[str, str, str, str]:
    return (place.key.key_hex, place.key.adapter_id, place.workload, place.failed)


def _reason(error: sqlite3.Error) -> str:
    """SQLite's own words, and what they come to where they leave that open."""
    if primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another program has locked it ({error})"
    return str(error)


def primary_code(error: sqlite3.Error) -> int | None:
    # Not every sqlite3.Error has a code: misuse has none.
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return (status.st_dev, status.st_ino)
