"""Whether a file can be a SqliteStore's, found out without writing to it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from vyre_dist.autotune.sqlite_store import (
    BROKEN_FILE,
    BUSY_TIMEOUT_S,
    FIRST_TABLE,
    PAYLOAD,
    TABLE,
    primary_code,
)


def fault_of_file(path: Path) -> str:
    """Why the file at `path` can't be a store, as the end of a sentence that begins with the file.

    "" if it can be one, or can't be looked at. It is not written to.
    """
    # to read a database with a write-ahead log makes files beside it, but for one that nobody
    # changes: ours have no such log
    mode = "immutable=1" if _has_unused_log(path) else "mode=ro"
    place = f"file://{quote(os.fsencode(path))}?{mode}"
    try:
        with contextlib.closing(
            sqlite3.connect(place, uri=True, timeout=BUSY_TIMEOUT_S)
        ) as connection:
            tables = {
                name
                for (name,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table'"
                )
            }
            ours = tables & {TABLE, FIRST_TABLE}
            if tables and not ours:
                return f"is the SQLite database of another program (it has a table {min(tables)!r})"
            if tables:
                for table in ours:
                    connection.execute(f"SELECT {PAYLOAD} FROM {table} LIMIT 1")  # noqa: S608
                # last, and only of a file that seems ours: it reads all of it
                (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                return (
                    ""
                    if found == "ok"
                    else f"is a damaged SQLite database ({' '.join(found.split())})"
                )
    except sqlite3.Error as error:
        code = primary_code(error)
        if code == sqlite3.SQLITE_ERROR:
            return f"is the SQLite database of another program ({error})"
        if code in BROKEN_FILE:
            return f"is a damaged SQLite database ({error})"
    return ""


def _has_unused_log(path: Path) -> bool:
    """Whether the file says that it has a write-ahead log, and there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(20)[18:] == b"\2\2" and not os.path.exists(f"{path}-wal")
    except OSError:
        return False
