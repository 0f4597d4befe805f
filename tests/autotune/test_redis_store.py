"""RedisStore on a real server: races, leases, poisoned entries, passwords, what is published."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgpack
import pytest
import redis

from vyre_dist.autotune import redis_scripts as scripts
from vyre_dist.autotune.breaker import CircuitBreaker
from vyre_dist.autotune.codec import MAX_RECORD_BYTES, encode
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.record import Place, StoredRecord
from vyre_dist.autotune.redis_follow import follow
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.redis_target import RedisTarget
from vyre_dist.autotune.urls import parse_redis_url
from vyre_dist.errors import UsageError

Make = Callable[..., StoredRecord]


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStore]:
    with RedisStore(parse_redis_url(redis_url)) as opened:
        yield opened


def get(store: RedisStore, record: StoredRecord) -> StoredRecord | None:
    assert record.spec is not None
    return store.get(record.key, record.spec)


def poison(raw: redis.Redis, record: StoredRecord, how: str, other: StoredRecord) -> None:
    """Leave at the record's key something that no store of ours would."""
    name = scripts.record_key(record.place)
    raw.delete(name)
    if how == "a list":
        raw.rpush(name, b"x")
    elif how == "a hash":
        raw.hset(name, mapping={"payload": encode(record)})
    else:
        texts = {
            "garbage": b"\xff" * 50,
            "nothing": b"",
            "oversized": b"x" * (MAX_RECORD_BYTES + 1),
            "misfiled": encode(other),
        }
        raw.set(name, texts[how])


@pytest.mark.parametrize("how", ["a list", "a hash", "garbage", "nothing", "oversized", "misfiled"])
def test_poisoned_entries_are_misses_and_give_way(
    store: RedisStore, raw: redis.Redis, make_record: Make, how: str
) -> None:
    """Whatever stands at the key, a lookup misses and counts it, and the next put replaces it."""
    record = make_record(cost=1000)
    store.put(record)
    poison(raw, record, how, make_record(2))
    assert get(store, record) is None
    assert store.stats.invalid + store.stats.mismatched == 1
    assert store.stats.errors == 0
    assert store.put(make_record(cost=5000))
    assert get(store, record) == make_record(cost=5000)


def test_a_later_versions_record_is_left_alone(
    store: RedisStore, raw: redis.Redis, make_record: Make
) -> None:
    """It is a miss, counted, and nothing replaces it."""
    later = msgpack.packb({"schema": 3, "all": "else"})
    raw.set(scripts.record_key(make_record().place), later)
    assert get(store, make_record()) is None
    assert not store.put(make_record())
    assert (store.stats.newer, store.stats.kept) == (2, 1)
    assert raw.get(scripts.record_key(make_record().place)) == later


def test_racing_writers_have_one_winner(redis_url: str, make_record: Make) -> None:
    """Of eight clients offering at once the best is held, and exactly the improvements were
    published.
    """
    stores = [RedisStore(parse_redis_url(redis_url)) for _ in range(8)]
    start = threading.Barrier(8)

    def offer(me: int) -> list[bool]:
        start.wait()
        return [stores[me].put(make_record(cost=10_000 - 100 * i - me)) for i in range(50)]

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(offer, range(8)))
    assert get(stores[0], make_record()) == make_record(cost=10_000 - 4900 - 7)
    assert stores[0].revision() == sum(map(sum, taken))
    for opened in stores:
        assert opened.stats.errors == 0
        opened.close()


def test_changes_are_published_with_their_revision(
    store: RedisStore, raw: redis.Redis, make_record: Make
) -> None:
    """Each replacement publishes its revision and key; a put that changes nothing publishes
    nothing.
    """
    with raw.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(scripts.CHANNEL)
        assert listener.get_message(timeout=5) is None  # the confirmation
        for cost in (100, 100, 200, 50):
            store.put(make_record(cost=cost))
        name = scripts.record_key(make_record().place).encode()
        messages = [listener.get_message(timeout=5)["data"] for _ in range(2)]
        assert messages == [b"1 " + name, b"2 " + name]
        assert listener.get_message(timeout=0.05) is None
    assert store.revision() == 2


def test_a_broken_revision_is_mended(
    store: RedisStore, raw: redis.Redis, make_record: Make
) -> None:
    """A revision key of another type does not keep records out."""
    raw.rpush(scripts.REVISION_KEY, b"x")
    assert store.put(make_record())
    assert store.revision() == 1


def test_followers_hear_of_changes(store: RedisStore, redis_url: str, make_record: Make) -> None:
    """A follower is told once that anything may have changed, then the key of every change."""
    heard: list[Place | None] = []
    told, stop = threading.Semaphore(0), threading.Event()

    def on_change(key: Place | None) -> None:
        heard.append(key)
        told.release()

    thread = threading.Thread(target=follow, args=(store, stop, on_change))
    thread.start()
    try:
        assert told.acquire(timeout=10)
        with RedisStore(parse_redis_url(redis_url)) as writer:
            for number in (1, 2):
                writer.put(make_record(number))
                assert told.acquire(timeout=10)
    finally:
        stop.set()
        thread.join()
    assert heard == [None, make_record(1).place, make_record(2).place]


@pytest.mark.parametrize(
    "message", [b"", b"x y", b"7", b"1 \xff\xff", b"1 {vyre-dist:autotune:2}:record:zz:a"]
)
def test_followers_survive_odd_messages(
    store: RedisStore, raw: redis.Redis, make_record: Make, message: bytes
) -> None:
    """A message that is not ours costs a new look at everything, and the following goes on."""
    told, stop = threading.Semaphore(0), threading.Event()
    heard: list[Place | None] = []

    def on_change(key: Place | None) -> None:
        heard.append(key)
        told.release()

    thread = threading.Thread(
        target=follow, args=(store, stop, on_change), kwargs={"check_s": 0.05}
    )
    thread.start()
    try:
        assert told.acquire(timeout=10)
        raw.publish(scripts.CHANNEL, message)
        assert told.acquire(timeout=10)
        assert heard[:2] == [None, None]
        store.put(make_record())
        assert told.acquire(timeout=10)
    finally:
        stop.set()
        thread.join()


def test_lost_messages_are_noticed_by_the_revision(
    store: RedisStore, raw: redis.Redis, make_record: Make
) -> None:
    """A change whose message never came is found by comparing revisions."""
    told, stop = threading.Semaphore(0), threading.Event()
    heard: list[Place | None] = []

    def on_change(key: Place | None) -> None:
        heard.append(key)
        told.release()

    thread = threading.Thread(
        target=follow, args=(store, stop, on_change), kwargs={"check_s": 0.05}
    )
    thread.start()
    try:
        assert told.acquire(timeout=10)
        raw.incr(scripts.REVISION_KEY)  # as if another's message had been lost
        assert told.acquire(timeout=10)
        raw.publish(scripts.CHANNEL, b"9 " + scripts.record_key(make_record().place).encode())
        assert told.acquire(timeout=10)
    finally:
        stop.set()
        thread.join()
    assert heard[:3] == [None, None, None]


def test_leases_exclude_and_count_up(store: RedisStore, redis_url: str) -> None:
    """One holder at a time; each grant has a larger token; a release lets the next one in."""
    with RedisStore(parse_redis_url(redis_url)) as other:
        first = store.lease("tune sm90", 60)
        assert first is not None
        assert other.lease("tune sm90", 60) is None
        assert other.lease("tune sm80", 60) is not None
        assert first.renew()
        assert first.release()
        assert not first.release()
        assert not first.renew()
        second = other.lease("tune sm90", 60)
        assert second is not None
        assert second.fence is not None and second.fence.newer_than(first.fence)


def test_leases_lapse(store: RedisStore, raw: redis.Redis) -> None:
    """A lease that was not renewed in its time is gone, and its former holder cannot renew or
    release it.
    """
    first = store.lease("tune", 60)
    assert first is not None
    assert 0 < raw.pttl(scripts.lease_key("tune")) <= 60_000
    assert raw.pexpire(scripts.lease_key("tune"), 0)  # its time passes
    second = store.lease("tune", 60)
    assert second is not None
    assert not first.renew()
    assert not first.release()
    assert second.renew()


def test_a_lapsed_holder_cannot_write(
    store: RedisStore, raw: redis.Redis, make_record: Make
) -> None:
    """A put under a lease that has passed to another is refused, counted, even when its record is
    better.
    """
    first = store.lease("tune", 60)
    assert first is not None
    assert store.put_leased(make_record(cost=100), first)
    raw.delete(scripts.lease_key("tune"))
    assert store.put_leased(
        make_record(cost=90), first
    )  # nobody has it yet: still the newest token
    second = store.lease("tune", 60)
    assert second is not None
    assert not store.put_leased(make_record(cost=1), first)
    assert store.stats.fenced == 1
    assert store.put_leased(make_record(cost=80), second)
    assert get(store, make_record()) == make_record(cost=80)


def test_a_lease_asked_for_twice_by_one_owner_is_one(store: RedisStore, raw: redis.Redis) -> None:
    """When the reply to a request was lost, asking again gives the same token, not a refusal."""
    keys = [scripts.lease_key("x"), scripts.fence_key("x")]
    first, again = [raw.eval(scripts.LEASE_ACQUIRE, 2, *keys, "ab12", 1000, 9000) for _ in range(2)]
    assert first == again
    assert Fence.from_token(first.decode()).run_id == raw.info("server")["run_id"]
    assert raw.eval(scripts.LEASE_ACQUIRE, 2, *keys, "cd34", 1000, 9000) == 0


def test_racing_for_a_lease_has_one_winner(redis_url: str) -> None:
    """Of eight clients asking at the same moment exactly one gets the lease."""
    stores = [RedisStore(parse_redis_url(redis_url)) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        leases = list(pool.map(lambda opened: opened.lease("tune", 60), stores))
    assert sum(lease is not None for lease in leases) == 1
    for opened in stores:
        opened.close()


@pytest.mark.parametrize(
    ("name", "ttl"), [("", 1), ("a\nb", 1), ("x", 0), ("x", -1), ("x", float("nan")), ("x", 1e9)]
)
def test_bad_leases_are_refused(store: RedisStore, name: str, ttl: float) -> None:
    """A lease's name is short printable text, and its time finite and positive: UsageError
    otherwise.
    """
    with pytest.raises(UsageError, match="lease"):
        store.lease(name, ttl)


def test_a_foreign_value_at_a_lease_is_not_ours(store: RedisStore, raw: redis.Redis) -> None:
    """A lease key of another type or content grants nothing and raises nothing."""
    raw.rpush(scripts.lease_key("list"), "x")
    raw.set(scripts.lease_key("text"), "whatever")
    assert store.lease("list", 1) is None
    assert store.lease("text", 1) is None


def test_passwords_over_tcp(redis_factory: Callable[..., Any], make_record: Make) -> None:
    """With the password the store works over TCP; without it everything misses, and no message
    holds it.
    """
    server = redis_factory(tcp=True, options=("--requirepass", "pa/ss@w#rd"))
    good = server.url.replace("redis://", "redis://:pa%2Fss%40w%23rd@")
    with RedisStore(parse_redis_url(good)) as store:
        assert store.put(make_record())
        assert get(store, make_record()) == make_record()
        assert "ss" not in repr(store) + repr(store.link.target)
    for url in (server.url, server.url.replace("redis://", "redis://:wr0ng@")):
        with RedisStore(parse_redis_url(url), breaker=CircuitBreaker(first_pause_s=0)) as store:
            assert get(store, make_record()) is None
            assert not store.put(make_record())
            assert store.stats.errors == 2
            assert "wr0ng" not in repr(store)


def test_a_refusing_server_is_counted_and_asked_again(
    redis_factory: Callable[..., Any], make_record: Make
) -> None:
    """A server that is out of memory refuses writes: errors are counted, lookups still work."""
    server = redis_factory()
    with RedisStore(parse_redis_url(server.url)) as store, redis.Redis.from_url(server.url) as raw:
        assert store.put(make_record(1))
        raw.config_set("maxmemory", "1")
        assert not store.put(make_record(2))
        assert store.stats.errors == 1
        assert get(store, make_record(1)) == make_record(1)
        raw.config_set("maxmemory", "0")
        assert store.put(make_record(2))


def test_database_numbers_are_kept_apart(redis_url: str, make_record: Make) -> None:
    """Two databases of one server are two stores."""
    path = parse_redis_url(redis_url).path
    with (
        RedisStore(RedisTarget(path=path, db=0)) as zero,
        RedisStore(RedisTarget(path=path, db=5)) as five,
    ):
        zero.put(make_record())
        assert get(five, make_record()) is None
        assert list(five.items()) == []
        assert five.stats.errors == 0


def test_foreign_keys_are_not_items(store: RedisStore, raw: redis.Redis, make_record: Make) -> None:
    """items() passes over keys that are not records, and counts records that are broken."""
    store.put(make_record(1))
    raw.set("somebody:else", "x")
    raw.set(f"{scripts.RECORD_PREFIX}not-hex:a", "x")
    raw.set(scripts.record_key(make_record(2).place), "x")
    assert list(store.items()) == [make_record(1)]
    assert store.stats.invalid == 1


def test_no_command_newer_than_the_oldest_server(
    store: RedisStore, raw: redis.Redis, make_record: Make
) -> None:
    """Commands sent and run by scripts are all among those that Redis 6.2 has."""
    raw.config_resetstat()
    store.put(make_record())
    get(store, make_record())
    list(store.items())
    store.revision()
    lease = store.lease("x", 1)
    assert lease is not None
    lease.renew()
    lease.release()
    with store.subscribed():
        pass
    used = {name.removeprefix("cmdstat_") for name in raw.info("commandstats")}
    allowed = {"eval", "get", "set", "del", "incr", "strlen", "pexpire", "pttl", "time", "scan"}
    allowed |= {"publish", "subscribe", "unsubscribe", "config|resetstat", "info", "config"}
    assert used <= allowed
    assert {"eval", "set", "publish", "scan", "subscribe", "pexpire", "time"} <= used


@pytest.mark.parametrize("name", [b"", b"x", b"{vyre-dist:autotune:2}:record:", b"\xff", b"9" * 20])
def test_other_names_are_no_record_keys(name: bytes) -> None:
    """Only names that record_key makes are read back as keys."""
    assert scripts.parse_record_key(name) is None


@pytest.mark.parametrize(("workload", "failed"), [("", ""), ("d3-s12", ""), ("x", "0" * 16)])
def test_record_keys_round_trip(make_record: Make, workload: str, failed: str) -> None:
    """Adapter ids with colons, spaces and umlauts survive in a key's name."""
    place = Place(make_record(adapter="sm90: Grün:é").key, workload, failed)
    assert scripts.parse_record_key(scripts.record_key(place).encode()) == place
