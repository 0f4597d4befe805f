"""What goes wrong around a shared store: killed tuners, fail-overs, forgeries, clocks."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import redis

from vyre_dist.autotune import redis_scripts as scripts
from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.codec import encode
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.record import EXPIRY_DAYS, FAILED_S, StoredRecord
from vyre_dist.autotune.redis_store import EXPIRY_MS, RedisStore
from vyre_dist.autotune.sqlite_store import SqliteStore
from vyre_dist.autotune.tiered import TieredStore
from vyre_dist.autotune.urls import parse_redis_url

Make = Callable[..., StoredRecord]

PROJECT = Path(__file__).resolve().parents[2]
DAY_S = 24 * 3600

# A tuner that gets the lease, says so, and never gives it back.
TUNER = """
import sys
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.urls import parse_redis_url
store = RedisStore(parse_redis_url(sys.argv[1]))
print(store.lease("tune", float(sys.argv[2])).fence.token, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStore]:
    with RedisStore(parse_redis_url(redis_url)) as opened:
        yield opened


def get(store: Any, record: StoredRecord) -> StoredRecord | None:
    assert record.spec is not None
    found: StoredRecord | None = store.get(record.key, record.spec, workload=record.workload)
    return found


def test_a_killed_tuners_lease_goes_to_another(store: RedisStore, redis_url: str) -> None:
    """When its time is over, and not before; the new fence is the newer one."""
    ttl_s = 1.0
    began = time.monotonic()
    tuner = subprocess.Popen(
        [sys.executable, "-c", TUNER, redis_url, str(ttl_s)],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert tuner.stdout is not None
    fence = Fence.from_token(tuner.stdout.readline().decode().strip())
    granted = time.monotonic()
    tuner.send_signal(signal.SIGKILL)
    tuner.communicate()
    pause = threading.Event()
    while (lease := store.lease("tune", 60)) is None:
        assert time.monotonic() - granted < 10
        pause.wait(0.02)
    assert time.monotonic() - began >= ttl_s
    assert lease.fence is not None and lease.fence.newer_than(fence)
    assert lease.fence.run_id == fence.run_id


@pytest.mark.parametrize("leased_again", [True, False])
def test_a_fail_over_that_forgets_the_lease_takes_nothing_from_its_holder(
    redis_factory: Callable[..., Any], make_record: Make, leased_again: bool
) -> None:
    """The replica that became the server never heard of the grant: whoever held it can't write,
    whether or not another was granted since, and no fence is ever granted twice.
    """
    at_once = ("--repl-diskless-sync-delay", "0")
    first, second = redis_factory(tcp=True, options=at_once), redis_factory()
    port = int(first.url.rpartition(":")[2].partition("/")[0])
    with (
        redis.Redis.from_url(first.url) as main,
        redis.Redis.from_url(second.url) as replica,
        RedisStore(parse_redis_url(first.url)) as before,
        RedisStore(parse_redis_url(second.url)) as after,
    ):
        earlier = before.lease("tune", 60)
        assert earlier is not None and earlier.release()
        replica.replicaof("127.0.0.1", port)  # type: ignore[no-untyped-call]
        assert main.wait(1, 20_000) == 1  # it has heard of the first grant
        replica.replicaof("NO", "ONE")  # type: ignore[no-untyped-call]
        lost = before.lease("tune", 60)
        assert lost is not None
        first.stop()
        new = after.lease("tune", 60) if leased_again else None
        assert not after.put_leased(make_record(cost=1), lost)
        assert after.stats.fenced == 1 and "had passed to another" in after.trouble
        if leased_again:
            assert new is not None and new.fence is not None and lost.fence is not None
            assert new.fence.run_id != lost.fence.run_id
            assert new.fence.newer_than(lost.fence)
            assert after.put_leased(make_record(cost=9), new)


def test_a_restart_that_forgets_everything_grants_no_fence_again(
    redis_factory: Callable[..., Any], tmp_path: Path
) -> None:
    """The counter goes on from the clock, and the run is another one."""
    server = redis_factory(tmp_path)
    with RedisStore(parse_redis_url(server.url)) as store:
        fences = []
        for _ in range(3):
            lease = store.lease("tune", 60)
            assert lease is not None and lease.fence is not None
            fences.append(lease.fence)
            server.stop()
            server = redis_factory(tmp_path)
    assert fences[2].newer_than(fences[1]) and fences[1].newer_than(fences[0])
    assert len({fence.run_id for fence in fences}) == 3


def test_a_clock_that_went_back_grants_newer_fences_all_the_same(
    store: RedisStore, raw: redis.Redis
) -> None:
    """The counter never goes back, whatever the server's clock does."""
    ahead = 1000 * (int(time.time()) + 365 * DAY_S)
    raw.set(scripts.fence_key("tune"), f"{'a' * 40}:{ahead}")
    lease = store.lease("tune", 60)
    assert lease is not None and lease.fence is not None
    assert lease.fence.counter == ahead + 1
    assert raw.pttl(scripts.fence_key("tune")) > 0  # it does not stay for ever


@pytest.mark.parametrize("fence", ["", "garbage", "a" * 40, "zz:1", f"{'a' * 40}:x"])
def test_a_broken_fence_is_replaced(store: RedisStore, raw: redis.Redis, fence: str) -> None:
    """As is one of another type; nobody can write under it."""
    raw.set(scripts.fence_key("text"), fence)
    raw.rpush(scripts.fence_key("list"), fence)
    for name in ("text", "list"):
        lease = store.lease(name, 60)
        assert lease is not None and lease.renew()


@pytest.mark.parametrize(
    "planted",
    [
        {"gain": [0.0, 0.0, 0.0, 10**6]},
        {"gain": [math.nan, math.nan, math.nan, 10**6]},
        {"gain": [-1.0, -1.0, -1.0, 10**6]},
        {"gain": [0.5, 0.4, 0.6, 1]},
        {"timing": [0, 0]},
    ],
)
def test_forged_measurements_are_misses_and_give_way(
    store: RedisStore, raw: redis.Redis, make_record: Make, planted: dict[str, object]
) -> None:
    """What no measurement can be is counted, and does not stay for ever as the best."""
    record = make_record(choice=Choice.of(lane="serial"), gain=Gain(0.9, 0.8, 1.0, 9))
    name = scripts.record_key(record.place)
    raw.set(name, msgpack.packb(msgpack.unpackb(encode(record)) | planted))
    assert get(store, record) is None
    assert store.stats.out_of_range == 1 and "no record can have" in store.trouble
    assert store.put(record)
    assert get(store, record) == record


def test_an_emptied_script_cache_is_no_fault(
    store: RedisStore, raw: redis.Redis, make_record: Make
) -> None:
    """SCRIPT FLUSH between any two calls."""
    for ask in (
        lambda: store.put(make_record()),
        lambda: get(store, make_record()) == make_record(),
        lambda: store.lease("tune", 60) is not None,
        lambda: list(store.items()) == [make_record()],
    ):
        raw.script_flush()
        assert ask()
    assert store.stats.errors == 0


def test_a_server_without_memory_keeps_what_it_has(
    redis_factory: Callable[..., Any], make_record: Make, tmp_path: Path
) -> None:
    """A better record that it can't take does not cost it the old one, nor the writer the new
    one.
    """
    server = redis_factory()
    target = parse_redis_url(server.url)
    with (
        RedisStore(target) as remote,
        redis.Redis.from_url(server.url) as raw,
        TieredStore(SqliteStore(tmp_path / "a"), RedisStore(target)) as store,
    ):
        assert remote.put(make_record(cost=9))
        raw.rpush(scripts.REVISION_KEY + ":other", "x")
        raw.config_set("maxmemory", "1")
        assert not remote.put(make_record(cost=5))
        assert (remote.stats.errors, remote.stats.stored) == (1, 1)
        assert "OOM" in remote.trouble or "maxmemory" in remote.trouble
        assert remote.lease("tune", 60) is None
        assert get(remote, make_record()) == make_record(cost=9)
        assert store.put(make_record(cost=5))
        assert store.flush(10)
        assert get(store, make_record()) == make_record(cost=5)
        raw.config_set("maxmemory", "0")
        assert store.publish([make_record().place]) == 0
        assert get(remote, make_record()) == make_record(cost=5)


def test_a_record_lives_from_its_last_use_on(
    store: RedisStore, raw: redis.Redis, make_record: Make
) -> None:
    """On a server; that it is used is written once a week at most, and a list is no use."""
    name = scripts.record_key(make_record().place)
    store.put(make_record())
    assert EXPIRY_MS - 60_000 < raw.pttl(name) <= EXPIRY_MS
    for left_days, rewritten in ((85, False), (82, True)):
        raw.pexpire(name, left_days * DAY_S * 1000)
        list(store.items())
        assert raw.pttl(name) <= left_days * DAY_S * 1000
        assert get(store, make_record()) is not None
        assert (raw.pttl(name) > left_days * DAY_S * 1000) is rewritten
    raw.persist(name)
    assert get(store, make_record()) is not None
    assert raw.pttl(name) > 0


def test_a_file_forgets_what_nobody_used_for_ninety_days(tmp_path: Path, make_record: Make) -> None:
    """A use keeps a record, and is written once a week at most; a clock that was ahead does not."""
    now = [10_000.0 * DAY_S]
    with SqliteStore(tmp_path / "a", clock=lambda: now[0]) as store:
        store.put(make_record(1))
        store.put(make_record(2))
        before = (tmp_path / "a").read_bytes()
        now[0] += 6 * DAY_S
        assert get(store, make_record(1)) is not None
        assert (tmp_path / "a").read_bytes() == before
        now[0] += 60 * DAY_S
        assert get(store, make_record(1)) is not None
        now[0] += (EXPIRY_DAYS - 60) * DAY_S
        assert get(store, make_record(2)) is None
        assert store.stats.expired == 1 and store.trouble == ""
        assert list(store.items()) == [make_record(1)]
        assert store.put(make_record(3))
        now[0] -= 70 * DAY_S  # it was ahead: what is used now is used now
        assert get(store, make_record(3)) is not None
        now[0] += 85 * DAY_S
        assert get(store, make_record(3)) is not None
        assert get(store, make_record(2)) is None
        assert store.stats.expired == 1  # it has gone, and is a plain miss


def test_a_failure_of_a_clock_that_was_ahead_does_not_last(
    store: RedisStore, make_record: Make
) -> None:
    """A choice that failed in a year to come is not refused until then."""
    bad, now_s = Choice.of(threads=64), int(time.time())
    spec = make_record().spec
    assert spec is not None
    assert store.put(make_record(choice=bad, failed_until=now_s + 365 * DAY_S))
    assert store.failed(make_record().key, spec, [bad]) == []
    assert store.put(make_record(2, choice=bad, failed_until=now_s + FAILED_S))
    spec = make_record(2).spec
    assert spec is not None
    assert len(store.failed(make_record(2).key, spec, [bad])) == 1


@pytest.mark.nightly
def test_ten_thousand_records_are_warm_in_two_seconds(
    redis_url: str, raw: redis.Redis, make_record: Make, tmp_path: Path
) -> None:
    """Of processor time, in ten round trips or twice ten, and at once into the local file."""
    records = [make_record(number) for number in range(1, 10_001)]
    raw.mset({scripts.record_key(record.place): encode(record) for record in records})
    raw.config_resetstat()
    local = SqliteStore(tmp_path / "a")
    with TieredStore(local, RedisStore(parse_redis_url(redis_url))) as store:
        began = time.process_time()
        store.warm([record.key for record in records])
        assert store.flush(60)
        assert time.process_time() - began < 2
        assert all(get(store, record) == record for record in records[::100])
        assert store.tiers.local.stored == 10_000
    evals = raw.info("commandstats")["cmdstat_eval"]["calls"]
    assert evals <= 160  # its follower may ask once more, as it has begun to listen
