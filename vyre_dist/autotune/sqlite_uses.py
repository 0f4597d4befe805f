"""How often the records of a SqliteStore were found: counts in a file beside it.

They are for people. In the store's own file each count would wait for the disk, some 20 ms of every
scan; here nothing is waited for, and what is lost or damaged is begun anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vyre_dist.autotune.record import Place

SUFFIX = ".uses"
_CREATE = """
CREATE TABLE IF NOT EXISTS uses_v1 (
    key TEXT NOT NULL, adapter TEXT NOT NULL, workload TEXT NOT NULL, failed TEXT NOT NULL,
    uses INTEGER NOT NULL, PRIMARY KEY (key, adapter, workload, failed)
) WITHOUT ROWID
"""
_ADD = (
    "INSERT INTO uses_v1 VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET uses = uses + excluded.uses"
)
_PLACE = "key = ? AND adapter = ? AND workload = ? AND failed = ?"
_READ = f"SELECT uses FROM uses_v1 WHERE {_PLACE}"  # noqa: S608 - constants only
_REMOVE = f"DELETE FROM uses_v1 WHERE {_PLACE}"  # noqa: S608

Columns = Callable[[Place], tuple[str, str, str, str]]


class SqliteUses:
    """Of the store at `path`. `columns`: of a place, as that files it. No method fails."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self._path = f"{path}{SUFFIX}"
        self._columns = columns
        self.found: Counter[Place] = Counter()
        """What is to be added by `keep`."""

    def keep(self) -> None:
        """Add what was found since to what is in the file."""
        found: Mapping[Place, int] = +self.found
        self.found = Counter()
        rows = [(*self._columns(place), uses) for place, uses in found.items()]

        def add(file: sqlite3.Connection) -> None:
            file.execute(_CREATE)
            file.executemany(_ADD, rows)

        if rows:
            self._with_file(add)

    def of(self, places: Sequence[Place]) -> list[int]:
        """How often each of `places` was found, as far as it was kept."""
        uses = [0] * len(places)

        def read(file: sqlite3.Connection) -> None:
            for number, place in enumerate(places):
                row = file.execute(_READ, self._columns(place)).fetchone()
                uses[number] = row[0] if row and type(row[0]) is int else 0

        if os.path.exists(self._path):
            self._with_file(read)
        return uses

    def remove(self, places: Sequence[Place]) -> None:
        """Forget how often these were found."""
        rows = [self._columns(place) for place in places]
        if os.path.exists(self._path):
            self._with_file(lambda file: file.executemany(_REMOVE, rows))

    def _with_file(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """What goes wrong is not told: nobody needs the counts."""
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=0)) as file, file:
                file.execute("PRAGMA synchronous = OFF")
                work(file)
        except sqlite3.OperationalError:
            return  # somebody else has it, or it can't be written
        except sqlite3.DatabaseError:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
