"""URLs of stores: what opens what, what is refused, and that secrets stay secret."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from vyre_dist.autotune.memory import MemoryStore
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.redis_target import RedisTarget
from vyre_dist.autotune.sqlite_store import SqliteStore
from vyre_dist.autotune.tiered import TieredStore
from vyre_dist.autotune.urls import (
    StoreUrlError,
    has_password,
    open_store,
    parse_redis_url,
    without_login,
)
from vyre_dist.errors import UsageError

Make = Callable[..., StoredRecord]


def test_none_is_the_default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None opens autotune.sqlite3 in the user's cache folder, and makes nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store = open_store(None)
    assert isinstance(store, SqliteStore)
    assert store.path == tmp_path / "vyre-dist" / "autotune.sqlite3"
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_kinds_of_stores(tmp_path: Path, dead_url: str) -> None:
    """Each scheme opens its own kind of store."""
    for url, kind in [
        ("memory:", MemoryStore),
        (f"sqlite://{tmp_path}/a%20b.db", SqliteStore),
        (dead_url, TieredStore),
    ]:
        store = open_store(url, local_path=tmp_path / "local")
        assert type(store) is kind
        if isinstance(store, SqliteStore):
            assert store.path == tmp_path / "a b.db"
        store.close()


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("redis://h", RedisTarget(host="h")),
        ("redis://h/", RedisTarget(host="h")),
        ("redis://h:7000/3", RedisTarget(host="h", port=7000, db=3)),
        ("redis://[::1]:7000/3", RedisTarget(host="::1", port=7000, db=3)),
        ("redis://u:p%40%2F@h", RedisTarget(host="h", username="u", password="p@/")),
        ("redis://:p@h", RedisTarget(host="h", password="p")),
        (
            "rediss://h?ssl_ca_certs=/ca.pem",
            RedisTarget(host="h", tls=True, tls_files=(("ssl_ca_certs", "/ca.pem"),)),
        ),
        ("unix:///run/r.sock", RedisTarget(path="/run/r.sock")),
        ("unix:///run/r.sock?db=2", RedisTarget(path="/run/r.sock", db=2)),
        ("unix://u:p@/run/r.sock", RedisTarget(path="/run/r.sock", username="u", password="p")),
    ],
)
def test_redis_urls(url: str, target: RedisTarget) -> None:
    """A URL's parts are where they belong, unquoted."""
    assert parse_redis_url(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "memory://",
        "/folder/x.sqlite3",
        "sqlite:x.db",
        "sqlite://host/x.db",
        "sqlite:///",
        "sqlite:///folder/",
        "sqlite:///a%00b",
        "sqlite:///x.db?mode=ro",
        "http://host/",
        "file:///x",
        "redis:",
        "redis://",
        "redis:///0",
        "redis://h:port",
        "redis://h:99999",
        "redis://h/db",
        "redis://h/-1",
        "redis://h/0/1",
        "redis://h/123456",
        "redis://h#1",
        "redis://h?socket_timeout=1000",
        "redis://h?db",
        "rediss://h?ssl_cert_reqs=none",
        "unix://",
        "unix://relative/path",
        "unix:///s?timeout=5",
        "redis://[::1",
    ],
)
def test_bad_urls_are_refused(url: str) -> None:
    """A URL that names no store is a UsageError that lists what is allowed."""
    with pytest.raises(StoreUrlError, match=r"Allowed: memory:, sqlite:///") as caught:
        open_store(url)
    assert isinstance(caught.value, UsageError)
    assert caught.value.reason


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:S3CRET@host/db",
        "redis://:S3CRET@host:port",
        "redis://:S3CRET@host?nonsense=1",
        "redis://:x/S3CRET@host",
        "redis://:12/S3CRET@host",
        "redis://:x?S3CRET@host",
        "redis://:x?S3CRET=S3CRET@host",
        "redis://:x#S3CRET@host",
        "redis://:x@S3CRET@host/db",
        "redis://:S3CRET",
        "redis://user:S3CRET",
        "redis://host?password=S3CRET",
        "redis://host?S3CRET@x=1",
        "unix://:S3CRET@relative/s",
        "unix:///s?password=S3CRET",
        "http://user:S3CRET@host/",
        "user:S3CRET@host",
        "S3CRET@host",
        "redis://[S3CRET@host",
    ],
)
def test_secrets_of_bad_urls_stay_secret(url: str) -> None:
    """However the URL is broken, neither the message, nor the attributes, nor the cause show the
    password.
    """
    with pytest.raises(StoreUrlError) as caught:
        open_store(url)
    error = caught.value
    assert "S3CRET" not in f"{error} {error!r} {vars(error)} {error.__cause__!r}"
    assert error.__suppress_context__ or error.__context__ is None


@pytest.mark.parametrize(
    ("content", "opens"),
    [
        (None, True),
        (b"", True),
        (b"SQLite format 3\0 and then nothing", False),
        (b"SQLite format 3", False),
        (b"my thesis\n" * 100, False),
        (b"x", False),
    ],
)
def test_a_file_of_another_kind_is_refused_and_left(
    tmp_path: Path, content: bytes | None, opens: bool
) -> None:
    """A URL of a file that is no database is a StoreUrlError with its size; the default file may be
    repaired.
    """
    path = tmp_path / "thesis.txt"
    if content is not None:
        path.write_bytes(content)
    if opens:
        open_store(f"sqlite://{path}").close()
    else:
        with pytest.raises(
            StoreUrlError,
            match=f"a file of {len(content or b'')} bytes that is (no|a damaged) SQLite",
        ):
            open_store(f"sqlite://{path}")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([] if content is None else [content])
    store = open_store(None, local_path=path)
    assert list(store.items()) == []
    store.close()
    assert path.read_bytes().startswith(b"SQLite format 3\0")


@pytest.mark.parametrize("slashes", ["", "/"])
@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("CREATE TABLE record_v1 (something TEXT)", "the SQLite database of another program"),
        ("CREATE TABLE record_v2 (something TEXT)", "the SQLite database of another program"),
        (
            "CREATE TABLE record_v0 (something TEXT)",
            r"another program \(it has a table 'record_v0'\);",
        ),
        ("PRAGMA journal_mode = wal; CREATE TABLE moz (something TEXT)", r"another program"),
        (None, ""),
    ],
)
def test_another_programs_database_is_refused_and_left(
    tmp_path: Path, make_record: Make, statement: str | None, found: str, slashes: str
) -> None:
    """A database without our table, or whose table of our name is not ours, is a StoreUrlError; an
    empty one is a store.
    """
    path = tmp_path / "o%th?er#.db"
    with closing(sqlite3.connect(path)) as connection:
        if statement is not None:
            connection.executescript(statement)
    before = path.read_bytes()
    url = f"sqlite://{slashes}{quote(str(path))}"
    if found:
        with pytest.raises(StoreUrlError, match=f"{found} .*left as it is: name another file"):
            open_store(url)
        assert path.read_bytes() == before
    else:
        for _ in range(2):
            with closing(open_store(url)) as store:
                store.put(make_record())
                assert list(store.items()) == [make_record()]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", ["middle", "truncated", "later"])
def test_a_damaged_store_that_was_named_is_refused_and_left(
    tmp_path: Path, make_record: Make, damage: str
) -> None:
    """Wherever the damage is, a file that a URL names is not moved; also when it is damaged under
    an open store.
    """
    path = tmp_path / "s.db"
    with closing(open_store(f"sqlite://{path}")) as store:
        for number in range(1, 60):
            store.put(make_record(number))
        whole = path.read_bytes()
        cut = 4096 if damage == "middle" else len(whole) // 2
        rest = b"" if damage == "truncated" else b"\xff" * (len(whole) - cut)
        broken = b"\xff" * 8192 if damage == "later" else whole[:cut] + rest
        if damage == "later":
            path.write_bytes(broken)
            assert list(store.items()) == []
            assert not store.put(make_record(99))
            assert (store.stats.errors, store.stats.recovered) == (2, 0)
    path.write_bytes(broken)
    with pytest.raises(
        StoreUrlError, match=r"is (no|a damaged) SQLite database.*name another file"
    ):
        open_store(f"sqlite://{path}")
    assert path.read_bytes() == broken
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_file_is_left_to_the_store(tmp_path: Path) -> None:
    """A folder, a pipe that nobody writes to, a name too long: opening neither waits nor raises."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / ("s" * 300)):
        open_store(f"sqlite://{path}").close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://:p@h", True),
        ("rediss://u:p@h:1/0", True),
        ("REDIS://u:p@h", True),
        ("unix://u:p@/run/s", True),
        ("redis://:un/quoted@h", True),
        ("redis://:un@quoted@h", True),
        ("redis://h?password=p", True),
        ("rediss://h:1/0?db=2&ssl_password=p", True),
        ("unix:///run/s?Password=p#x", True),
        ("redis://h?password=", False),
        ("unix:///run/s?db=2", False),
        ("sqlite:///s?password=p", False),
        ("redis://u@h", False),
        ("redis://u:@h", False),
        ("redis://h:6379/0", False),
        ("unix:///run/s", False),
        ("sqlite:///a:b@c", False),
        ("memory:", False),
        ("u:p@h", False),
        ("", False),
    ],
)
def test_which_urls_hold_a_password(text: str, expected: bool) -> None:
    """A server's URL with something behind the colon of its login, or in an option for it, well
    formed or not.
    """
    assert has_password(text) is expected


def test_secrets_of_good_urls_stay_secret(tmp_path: Path) -> None:
    """Neither the target's nor the store's repr shows the password."""
    url = "redis://user:S3CRET@127.0.0.1:1/0"
    assert without_login(url) == "redis://***@127.0.0.1:1"
    assert "S3CRET" not in repr(parse_redis_url(url))
    store = open_store(url, local_path=tmp_path / "local")
    assert "S3CRET" not in repr(store)
    assert "127.0.0.1:1" in repr(store)
    store.close()
