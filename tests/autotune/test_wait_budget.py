"""What a caller waits for a store: one budget for all, whatever the server does."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.reply_times import CEILING_S, FIRST_S, FLOOR_S, ReplyTimes
from vyre_dist.autotune.sqlite_store import SqliteStore
from vyre_dist.autotune.tiered import TieredStore
from vyre_dist.autotune.urls import open_store, parse_redis_url
from vyre_dist.autotune.wait_budget import WAIT_S, WaitBudget

Make = Callable[..., StoredRecord]

# Room for a busy machine, beside what is waited for.
_ROOM_S = 0.4


def hang(connection: Any, stop: threading.Event) -> None:
    stop.wait()


def use_all_of(store: Any, make_record: Make) -> None:
    """All that a scan may ask of a store, each of it more than once."""
    for number in (1, 2, 3):
        record = make_record(number)
        store.get(record.key, record.spec)
        store.flush(1)
        lease = store.lease(f"tune:{number}", 10)
        assert store.put(record)
        if lease is not None:
            assert store.put_leased(record, lease)
            assert lease.release()


def test_a_budget_is_one_for_all() -> None:
    """What is left shrinks by what was waited, by whomever, and never below nothing."""
    now = [0.0]
    budget = WaitBudget(0.3, clock=lambda: now[0])
    with budget.waiting() as left:
        assert left == 0.3
        now[0] += 0.1
    with pytest.raises(KeyError), budget.waiting():
        now[0] += 0.15
        raise KeyError
    assert budget.left_s == pytest.approx(0.05)
    with budget.waiting():
        now[0] += 7
    assert budget.left_s == 0.0


def test_a_hung_server_costs_a_scan_its_budget_and_no_more(
    misbehaving: Callable[..., Any], make_record: Make, tmp_path: Path
) -> None:
    """Look-ups, leases, puts and closing together; the records are in the local file."""
    server = misbehaving(hang)
    began = time.monotonic()
    store = open_store(server.url, local_path=tmp_path / "a", budget=WaitBudget())
    use_all_of(store, make_record)
    store.close()
    assert time.monotonic() - began < WAIT_S + _ROOM_S
    with SqliteStore(tmp_path / "a") as local:
        assert len(list(local.items())) == 3
    assert "did not answer in time" in store.trouble


def test_a_locked_file_costs_a_scan_its_budget_and_no_more(
    tmp_path: Path, make_record: Make
) -> None:
    """Each operation for itself would wait half a second."""
    path = tmp_path / "a"
    with SqliteStore(path) as store:
        store.put(make_record())
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        with open_store(None, local_path=path, budget=WaitBudget(0.1)) as store:
            for number in range(1, 11):
                assert not store.put(make_record(number))
            assert store.stats.errors == 10
        assert time.monotonic() - began < 0.1 + _ROOM_S


def test_a_healthy_server_costs_next_to_nothing(
    redis_url: str, make_record: Make, tmp_path: Path
) -> None:
    """Its answers are waited for, and all is done, with most of the budget left."""
    budget = WaitBudget(10)
    store = open_store(redis_url, local_path=tmp_path / "a", budget=budget)
    use_all_of(store, make_record)
    store.close()
    assert store.trouble == ""
    # a tenth of a second is for importing redis, and the rest for a busy machine
    assert 10 - budget.left_s < 1.0
    with RedisStore(parse_redis_url(redis_url)) as remote:
        assert len(list(remote.items())) == 3


def test_a_put_is_in_the_local_file_when_it_is_acknowledged(
    misbehaving: Callable[..., Any], make_record: Make, tmp_path: Path
) -> None:
    """Not only when the store is closed: a killed process loses nothing that it was told."""
    server = misbehaving(hang)
    with open_store(server.url, local_path=tmp_path / "a") as store:
        assert store.put(make_record())
        with SqliteStore(tmp_path / "a") as local:
            assert list(local.items()) == [make_record()]


def test_a_lease_that_is_granted_too_late_is_given_back(
    redis_url: str, make_record: Make, tmp_path: Path
) -> None:
    """Nobody else has to wait until it lapses."""
    remote = RedisStore(parse_redis_url(redis_url))
    held = threading.Event()
    ask = remote.lease

    def slow(name: str, ttl_s: float) -> Any:
        lease = ask(name, ttl_s)
        held.wait()
        return lease

    remote.lease = slow  # type: ignore[method-assign]
    with TieredStore(SqliteStore(tmp_path / "a"), remote, budget=WaitBudget(0.1)) as store:
        assert store.lease("tune", 60) is None
        with RedisStore(parse_redis_url(redis_url)) as other:
            held.set()
            deadline = time.monotonic() + 10
            while (lease := other.lease("tune", 60)) is None:
                assert time.monotonic() < deadline
                threading.Event().wait(0.01)
            assert lease.release()


def test_time_outs_follow_the_round_trips() -> None:
    """From the first guess to what is measured, between a floor and a ceiling; doubled by each
    time-out until an answer comes.
    """
    times = ReplyTimes()
    assert times.timeout_s == FIRST_S
    times.timed_out()
    assert times.timeout_s == 2 * FIRST_S
    for _ in range(9):
        times.timed_out()
    assert times.timeout_s == CEILING_S
    times.measured(0.2)
    assert times.timeout_s == pytest.approx(0.2 + 4 * 0.1)
    for _ in range(50):
        times.measured(0.2)
    assert times.timeout_s == pytest.approx(0.2, abs=0.01)
    for _ in range(50):
        times.measured(0.0001)
    assert times.timeout_s == FLOOR_S
    assert times.mean_s is not None and times.mean_s < 0.001


def test_a_far_server_is_reached_in_the_end(
    misbehaving: Callable[..., Any], make_record: Make
) -> None:
    """One that takes longer than the first guess answers the second try, and is known then."""

    def far(connection: Any, stop: threading.Event) -> None:
        while connection.recv(65536):
            stop.wait(0.3)
            connection.sendall(b"*1\r\n$-1\r\n")

    server = misbehaving(far)
    with RedisStore(parse_redis_url(server.url)) as store:
        record = make_record()
        assert record.spec is not None
        assert store.get(record.key, record.spec) is None
        assert (store.stats.errors, store.stats.misses) == (0, 1)
        mean_s = store.link.times.mean_s
        assert mean_s is not None and mean_s > 0.25


def test_a_stopped_server_is_noticed_without_importing_redis(dead_url: str) -> None:
    """That takes longer than all the rest."""
    code = (
        "import sys\n"
        "from vyre_dist.autotune.redis_store import RedisStore\n"
        "from vyre_dist.autotune.urls import parse_redis_url\n"
        "for url in sys.argv[1:]:\n"
        "    with RedisStore(parse_redis_url(url)) as store:\n"
        "        assert store.lease('tune', 1) is None and store.lease('tune', 1) is None\n"
        "        print(store.stats.errors, store.stats.skipped, 'redis' in sys.modules)\n"
        "        print(store.trouble)\n"
    )
    command = [sys.executable, "-c", code, dead_url, "unix:///nowhere/at/all"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0] == said[2] == "1 1 False"
    assert "Connection refused" in said[1] and "No such file or directory" in said[3]
