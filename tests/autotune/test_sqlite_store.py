"""The SQLite file: corruption, foreign content, places that cannot be written, several
processes.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgpack
import pytest

from vyre_dist.autotune.codec import MAX_RECORD_BYTES, encode
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.sqlite_store import SqliteStore

Make = Callable[..., StoredRecord]

PROJECT = Path(__file__).resolve().parents[2]

# One process of several: offers its own keys, and its cost for the key that all offer.
WRITER = """
import sys
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.sqlite_store import SqliteStore
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey
from vyre_dist.dispatch.race import VariantTiming

path, me = sys.argv[1], int(sys.argv[2])
def record(number, cost):
    spec = SpecCacheKey(number, 0, (64, 1, 1), 0)
    tuned = AutotuneRecord((64, 1, 1), me)
    return StoredRecord(AutotuneKey.of(spec, "a"), tuned, spec, VariantTiming(0, cost))
with SqliteStore(path, busy_timeout_s=30) as store:
    for i in range(10):
        assert store.put(record(1000 * me + i, 1))
        store.put(record(0, 500 - 10 * i - me))
    assert store.stats.errors == 0, store.stats
"""


def get(store: SqliteStore, record: StoredRecord) -> StoredRecord | None:
    assert record.spec is not None
    return store.get(record.key, record.spec)


def test_several_processes_share_a_file(tmp_path: Path) -> None:
    """Four processes writing at once lose nothing, and the smallest of all costs is held."""
    path = tmp_path / "s.sqlite3"
    command = [sys.executable, "-W", "error", "-c", WRITER, str(path)]
    env = os.environ | {"PYTHONPATH": str(PROJECT)}
    writers = [
        subprocess.Popen([*command, str(me)], env=env, stderr=subprocess.PIPE) for me in range(1, 5)
    ]
    ends = [(writer.communicate(timeout=120)[1], writer.returncode) for writer in writers]
    assert ends == [(b"", 0)] * 4
    with SqliteStore(path) as store:
        records = list(store.items())
    assert len(records) == 41
    assert min(r.cost_ns for r in records if r.spec and r.spec.shader_hash == 0) == 500 - 90 - 4


@pytest.mark.parametrize("damage", ["header", "middle", "truncated", "text", "empty"])
def test_a_broken_file_is_moved_aside_and_begun_anew(
    tmp_path: Path, make_record: Make, damage: str
) -> None:
    """Whatever is wrong with the file, the store works again at once; the old file is kept, and
    counted.
    """
    path = tmp_path / "s.sqlite3"
    with SqliteStore(path) as store:
        for number in range(1, 60):
            store.put(make_record(number))
    whole = path.read_bytes()
    path.write_bytes(
        {
            "header": b"\xff" * 100 + whole[100:],
            "middle": whole[:4096] + b"\xff" * (len(whole) - 4096),
            "truncated": whole[: len(whole) // 2],
            "text": b"this is not a database\n" * 300,
            "empty": b"",
        }[damage]
    )
    with SqliteStore(path) as store:
        assert get(store, make_record(30)) is None
        assert store.put(make_record(30))
        assert get(store, make_record(30)) == make_record(30)
        # An empty file is a new database to SQLite.
        assert store.stats.recovered == (damage != "empty")
        assert store.stats.errors == 0
    assert len(list(tmp_path.glob("s.sqlite3.corrupt-*"))) == (damage != "empty")


@pytest.mark.parametrize("table", ["record_v1", "record_v2"])
def test_another_programs_table_is_moved_aside(
    tmp_path: Path, make_record: Make, table: str
) -> None:
    """A table of our name with other columns means that the file is not ours."""
    path = tmp_path / "s.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE {table} (something TEXT)")
    with SqliteStore(path) as store:
        assert store.put(make_record())
        assert get(store, make_record()) == make_record()
        assert store.stats.recovered == 1


def test_a_file_broken_under_an_open_store_is_recovered_once(
    tmp_path: Path, make_record: Make
) -> None:
    """Two open stores that both find the file broken move it aside once and share the new one."""
    path = tmp_path / "s.sqlite3"
    with SqliteStore(path) as first, SqliteStore(path) as second:
        first.put(make_record(1))
        second.put(make_record(2))
        with open(path, "r+b") as file:
            file.write(b"\xff" * 8192)
        assert first.put(make_record(3))
        assert second.put(make_record(4))
        assert get(first, make_record(4)) == make_record(4)
        assert get(second, make_record(3)) == make_record(3)
        assert first.stats.recovered + second.stats.recovered == 1
    assert len(list(tmp_path.glob("s.sqlite3.corrupt-*"))) == 1


def test_a_deleted_file_is_made_again(tmp_path: Path, make_record: Make) -> None:
    """Clearing the cache folder under an open store costs the records and nothing else."""
    path = tmp_path / "s.sqlite3"
    with SqliteStore(path) as store:
        store.put(make_record(1))
        path.unlink()
        assert get(store, make_record(1)) is None
        assert store.put(make_record(2))
    with SqliteStore(path) as store:
        assert get(store, make_record(2)) == make_record(2)


@pytest.mark.parametrize("place", ["below a file", "a folder", "too long a name"])
def test_unusable_places_miss(tmp_path: Path, make_record: Make, place: str) -> None:
    """Where no file can be made, lookups miss and puts are False: counted, and nothing is
    raised.
    """
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    path = {
        "below a file": tmp_path / "file" / "s.sqlite3",
        "a folder": tmp_path / "folder",
        "too long a name": tmp_path / ("s" * 300),
    }[place]
    with SqliteStore(path) as store:
        assert get(store, make_record()) is None
        assert not store.put(make_record())
        assert list(store.items()) == []
        assert (store.stats.errors, store.stats.misses, store.stats.stored) == (3, 1, 0)


def test_a_locked_file_costs_the_time_out_and_no_more(tmp_path: Path, make_record: Make) -> None:
    """While another process holds the file, an operation fails after the busy time-out; then all is
    well.
    """
    path = tmp_path / "s.sqlite3"
    with SqliteStore(path, busy_timeout_s=0.1) as store, closing(sqlite3.connect(path)) as other:
        store.put(make_record(1))
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        assert not store.put(make_record(2))
        assert get(store, make_record(1)) is None
        assert time.monotonic() - started < 2
        assert store.stats.errors == 2
        other.rollback()
        assert store.put(make_record(2))
        assert get(store, make_record(1)) == make_record(1)


def test_many_are_one_transaction(tmp_path: Path, make_record: Make) -> None:
    """A locked file is waited for once, and none of them is there; then all are."""
    path = tmp_path / "s.sqlite3"
    records = [make_record(number) for number in range(1, 101)]
    with SqliteStore(path, busy_timeout_s=0.1) as store, closing(sqlite3.connect(path)) as other:
        store.put(records[0])
        other.execute("BEGIN IMMEDIATE")
        assert store.put_many(records) == 0
        assert (store.stats.errors, len(list(store.items()))) == (1, 1)
        other.rollback()
        assert store.put_many(records) == 100 == len(list(store.items()))


@pytest.mark.parametrize(
    "payload", [b"", b"garbage", "text", 12, 1.5, bytes(MAX_RECORD_BYTES + 1), b"\x80"]
)
def test_invalid_payloads_are_misses_and_give_way(
    tmp_path: Path, make_record: Make, payload: object
) -> None:
    """A row that holds no record is a miss, counted, and is replaced by the next put."""
    path, record = tmp_path / "s.sqlite3", make_record()
    with SqliteStore(path) as store, closing(sqlite3.connect(path)) as other:
        store.put(record)
        with other:
            other.execute("UPDATE record_v2 SET payload = ?", (payload,))
        assert get(store, record) is None
        assert list(store.items()) == []
        assert store.stats.invalid == 2
        assert store.put(make_record(cost=10**12))
        assert get(store, record) == make_record(cost=10**12)


def test_a_later_versions_record_is_left_alone(tmp_path: Path, make_record: Make) -> None:
    """It is a miss, counted, and nothing replaces it."""
    path, record = tmp_path / "s.sqlite3", make_record()
    later = msgpack.packb({"schema": 3, "all": "else"})
    with SqliteStore(path) as store, closing(sqlite3.connect(path)) as other:
        store.put(record)
        with other:
            other.execute("UPDATE record_v2 SET payload = ?", (later,))
        assert get(store, record) is None
        assert not store.put(make_record(cost=1))
        assert (store.stats.newer, store.stats.kept, store.stats.invalid) == (2, 1, 0)
        assert other.execute("SELECT payload FROM record_v2").fetchall() == [(later,)]


def test_an_earlier_versions_file_is_taken_over(tmp_path: Path, make_record: Make) -> None:
    """Its records are found, and its own table is left as it was."""
    path, record = tmp_path / "s.sqlite3", make_record()
    old = msgpack.packb(msgpack.unpackb(encode(record)) | {"schema": 1})
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE record_v1 (key TEXT, adapter TEXT, payload BLOB)")
        other.execute(
            "INSERT INTO record_v1 VALUES (?, ?, ?)",
            (record.key.key_hex, record.key.adapter_id, old),
        )
        other.commit()
        with SqliteStore(path) as store:
            assert get(store, record) == record
            assert store.put(make_record(cost=1))
        assert other.execute("SELECT payload FROM record_v1").fetchall() == [(old,)]


def test_a_misfiled_record_is_a_miss(tmp_path: Path, make_record: Make) -> None:
    """A valid record under another record's key is not believed."""
    path = tmp_path / "s.sqlite3"
    with SqliteStore(path) as store, closing(sqlite3.connect(path)) as other:
        store.put(make_record(1))
        with other:
            other.execute("UPDATE record_v2 SET payload = ?", (encode(make_record(2)),))
        assert get(store, make_record(1)) is None
        assert store.stats.mismatched == 1


def test_threads_share_a_store(tmp_path: Path, make_record: Make) -> None:
    """Reading and writing from several threads at once works on one store."""
    with SqliteStore(tmp_path / "s.sqlite3") as store:

        def work(me: int) -> None:
            for i in range(10):
                assert store.put(make_record(100 * me + i))
                assert get(store, make_record(100 * me + i)) is not None

        threads = [threading.Thread(target=work, args=(me,)) for me in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (store.stats.hits, store.stats.stored, store.stats.errors) == (40, 40, 0)


def test_nothing_is_made_before_the_first_use(tmp_path: Path) -> None:
    """Opening and closing a store touches no file."""
    SqliteStore(tmp_path / "sub" / "s.sqlite3").close()
    assert list(tmp_path.iterdir()) == []
