"""TieredStore: what moves between memory, the local file and the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vyre_dist.autotune.breaker import CircuitBreaker
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.sqlite_store import SqliteStore
from vyre_dist.autotune.tiered import TieredStore
from vyre_dist.autotune.urls import open_store, parse_redis_url

Make = Callable[..., StoredRecord]


def get(store: Any, record: StoredRecord) -> StoredRecord | None:
    assert record.spec is not None
    found: StoredRecord | None = store.get(record.key, record.spec)
    return found


def eventually(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    """Whether the condition, about another process and so without an event to await, comes true in
    time.
    """
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.01)
    return True


def host(tmp_path: Path, name: str, url: str, **kwargs: Any) -> TieredStore:
    """The store of one host: its own file, the common server."""
    return TieredStore(SqliteStore(tmp_path / name), RedisStore(parse_redis_url(url), **kwargs))


def test_a_put_reaches_every_tier(tmp_path: Path, redis_url: str, make_record: Make) -> None:
    """After a flush the record is in the local file and on the server."""
    with host(tmp_path, "a", redis_url) as store:
        assert store.put(make_record())
        assert store.flush(10)
    with SqliteStore(tmp_path / "a") as local, RedisStore(parse_redis_url(redis_url)) as remote:
        assert get(local, make_record()) == get(remote, make_record()) == make_record()


def test_warming_reads_everything_in_one_round_trip(
    tmp_path: Path, redis_url: str, make_record: Make
) -> None:
    """After warm and flush, lookups hit at once, and the records have moved into the local file."""
    records = [make_record(number) for number in range(1, 201)]
    with RedisStore(parse_redis_url(redis_url)) as remote:
        for record in records[:150]:
            remote.put(record)
    with host(tmp_path, "a", redis_url) as store:
        store.warm([record.key for record in records])
        assert store.flush(10)
        assert [get(store, record) is not None for record in records] == [True] * 150 + [False] * 50
        assert store.tiers.remote.errors == 0
    with SqliteStore(tmp_path / "a") as local:
        assert len(list(local.items())) == 150


def test_a_miss_is_looked_up_in_the_background(
    tmp_path: Path, redis_url: str, make_record: Make
) -> None:
    """The first lookup of what only the server has misses; after the background work it hits."""
    with RedisStore(parse_redis_url(redis_url)) as remote:
        remote.put(make_record())
    with host(tmp_path, "a", redis_url) as store:
        assert get(store, make_record()) is None
        assert store.flush(10)
        assert get(store, make_record()) == make_record()


def test_a_better_record_of_another_host_comes_by_itself(
    tmp_path: Path, redis_url: str, make_record: Make
) -> None:
    """What one host publishes reaches another that has asked for the key, and its local file."""
    with host(tmp_path, "a", redis_url) as first, host(tmp_path, "b", redis_url) as second:
        first.put(make_record(cost=100))
        assert eventually(lambda: get(second, make_record()) == make_record(cost=100))
        second.put(make_record(cost=50))
        assert eventually(lambda: get(first, make_record()) == make_record(cost=50))
        assert first.flush(10)
    with SqliteStore(tmp_path / "a") as local:
        assert get(local, make_record()) == make_record(cost=50)


def test_a_worse_put_learns_of_the_better_record(
    tmp_path: Path, redis_url: str, make_record: Make
) -> None:
    """A put that the server refuses brings back what it lost to."""
    with RedisStore(parse_redis_url(redis_url)) as remote:
        remote.put(make_record(cost=10))
    with host(tmp_path, "a", redis_url) as store:
        assert store.put(make_record(cost=20))  # the best that this host knows of
        assert store.flush(10)
        assert get(store, make_record()) == make_record(cost=10)


def test_the_local_file_decides_when_memory_is_empty(
    tmp_path: Path, dead_url: str, make_record: Make
) -> None:
    """A new process does not let a worse record replace the better one of an earlier process."""
    with host(tmp_path, "a", dead_url) as store:
        store.put(make_record(cost=10))
    with host(tmp_path, "a", dead_url) as store:
        assert not store.put(make_record(cost=20))
        assert get(store, make_record()) == make_record(cost=10)


def test_records_reach_a_server_that_was_away(
    tmp_path: Path, redis_factory: Callable[..., Any], make_record: Make
) -> None:
    """What was put while the server was away, and what it forgot, is there soon after its
    return.
    """
    server = redis_factory(tmp_path)
    store = TieredStore(
        SqliteStore(tmp_path / "a"),
        RedisStore(parse_redis_url(server.url), breaker=CircuitBreaker(first_pause_s=0.05)),
        check_s=0.05,
    )
    with store:
        store.put(make_record(1))
        assert store.flush(10)
        server.stop()
        store.put(make_record(2))
        assert store.flush(10)
        redis_factory(tmp_path)
        with RedisStore(parse_redis_url(server.url)) as remote:
            for number in (1, 2):
                record = make_record(number)
                assert eventually(lambda record=record: get(remote, record) == record)  # type: ignore[misc]


def test_a_full_queue_drops_and_counts(
    tmp_path: Path, misbehaving: Callable[..., Any], make_record: Make
) -> None:
    """When the server is so slow that work piles up, more is dropped and counted, and callers go
    on.

    What was said to be stored is in the local file nevertheless, from the start.
    """
    server = misbehaving(lambda _, stop: stop.wait())
    remote = RedisStore(parse_redis_url(server.url), breaker=CircuitBreaker(first_pause_s=0))
    with TieredStore(SqliteStore(tmp_path / "a"), remote, max_jobs=2) as store:
        for number in range(1, 21):
            assert store.put(make_record(number))
        dropped = store.stats.dropped
        assert dropped > 0
        assert get(store, make_record(20)) == make_record(20)
        with SqliteStore(tmp_path / "a") as local:
            assert len(list(local.items())) >= dropped
    with SqliteStore(tmp_path / "a") as local:
        assert len(list(local.items())) == 20


def test_a_put_that_fits_nowhere_is_not_said_to_be_stored(
    tmp_path: Path, misbehaving: Callable[..., Any], make_record: Make
) -> None:
    """Without a local file to be had, put is False, whether it waits for the server or not."""
    server = misbehaving(lambda _, stop: stop.wait())
    remote = RedisStore(parse_redis_url(server.url), breaker=CircuitBreaker(first_pause_s=0))
    with TieredStore(SqliteStore(tmp_path), remote, max_jobs=2) as store:
        outcomes = [store.put(make_record(number)) for number in range(1, 21)]
        assert not any(outcomes)
        assert store.stats.dropped > 0


def test_closing_leaves_nothing_of_a_hung_servers_queue_unwritten(
    tmp_path: Path, misbehaving: Callable[..., Any], make_record: Make
) -> None:
    """More records than the server lets through until close gives up are in the local file all the
    same.
    """
    server = misbehaving(lambda _, stop: stop.wait())
    remote = RedisStore(parse_redis_url(server.url), breaker=CircuitBreaker(first_pause_s=0))
    with TieredStore(SqliteStore(tmp_path / "a"), remote) as store:
        for number in range(1, 41):
            assert store.put(make_record(number))
        assert store.stats.dropped == 0
        started = time.monotonic()
    assert time.monotonic() - started < 5
    with SqliteStore(tmp_path / "a") as local:
        assert len(list(local.items())) == 40


def test_publish_tells_what_the_server_lacks(
    tmp_path: Path, redis_factory: Callable[..., Any], make_record: Make
) -> None:
    """0: the server has all, also what only the local file had, or better; without a server it is
    all that was asked.
    """
    server = redis_factory(tmp_path)
    with SqliteStore(tmp_path / "a") as local, RedisStore(parse_redis_url(server.url)) as remote:
        local.put(make_record(1))
        remote.put(make_record(3, cost=1))
    keys = [make_record(number).key for number in (1, 2, 3)]
    with host(tmp_path, "a", server.url) as store:
        store.put(make_record(2))
        store.put(make_record(3))
        assert store.publish(keys) == 0
        assert get(store, make_record(3)) == make_record(3, cost=1)
        with RedisStore(parse_redis_url(server.url)) as remote:
            assert [get(remote, make_record(n)) for n in (1, 2)] == [make_record(1), make_record(2)]
        server.stop()
        assert store.publish(keys) == 3


def test_a_lapsed_holder_stores_nothing_anywhere(
    tmp_path: Path, redis_url: str, make_record: Make
) -> None:
    """A put under a lease that passed to another is refused in all tiers; under the newest it is
    taken.
    """
    with host(tmp_path, "a", redis_url) as store, RedisStore(parse_redis_url(redis_url)) as remote:
        first = store.lease("tune", 0.001)
        assert first is not None
        assert eventually(lambda: not first.renew())
        second = remote.lease("tune", 60)
        assert second is not None
        assert not store.put_leased(make_record(cost=5), first)
        assert store.stats.fenced == 1
        assert get(store, make_record()) is None
        assert store.put_leased(make_record(cost=9), second)
        assert get(store, make_record()) == make_record(cost=9)


def test_leased_puts_are_kept_locally_when_no_server_answers(
    tmp_path: Path, redis_factory: Callable[..., Any], make_record: Make
) -> None:
    """A holder that lost the server keeps its result on its own host."""
    server = redis_factory()
    with host(tmp_path, "a", server.url) as store:
        lease = store.lease("tune", 60)
        assert lease is not None
        server.stop()
        assert store.put_leased(make_record(), lease)
        assert get(store, make_record()) == make_record()


def test_items_are_the_best_of_all_tiers(tmp_path: Path, redis_url: str, make_record: Make) -> None:
    """items() gives each key once, with the best record that any tier has."""
    with RedisStore(parse_redis_url(redis_url)) as remote, SqliteStore(tmp_path / "a") as local:
        remote.put(make_record(1, cost=10))
        local.put(make_record(1, cost=20))
        local.put(make_record(2))
        remote.put(make_record(3))
    with host(tmp_path, "a", redis_url) as store:
        expected = {make_record(1, cost=10), make_record(2), make_record(3)}
        assert set(store.items()) == expected


@pytest.mark.parametrize("alive", [True, False])
def test_closing_writes_what_is_queued(
    tmp_path: Path, redis_url: str, dead_url: str, make_record: Make, alive: bool
) -> None:
    """Records put just before close are in the local file, and on the server if there is one."""
    url = redis_url if alive else dead_url
    store = open_store(url, local_path=tmp_path / "a")
    for number in range(1, 21):
        store.put(make_record(number))
    store.close()
    with SqliteStore(tmp_path / "a") as local, RedisStore(parse_redis_url(redis_url)) as remote:
        assert len(list(local.items())) == 20
        assert len(list(remote.items())) == (20 if alive else 0)


def test_background_threads_end_with_the_store(tmp_path: Path, redis_url: str) -> None:
    """After close no thread of the store is left."""
    before = set(threading.enumerate())
    store = host(tmp_path, "a", redis_url)
    assert len(set(threading.enumerate()) - before) == 2
    store.close()
    assert set(threading.enumerate()) - before == set()


def test_what_another_process_put_meanwhile_is_found(
    tmp_path: Path, redis_url: str, make_record: Make
) -> None:
    """A put that the local file keeps out brings back what it lost to, without the server."""
    with host(tmp_path, "a", redis_url) as store, SqliteStore(tmp_path / "a") as local:
        assert store.put(make_record(cost=30))
        assert local.put(make_record(cost=10))
        assert not store.put(make_record(cost=20))
        assert get(store, make_record()) == make_record(cost=10)
