"""Dead, hung, trickling, lying servers: none may stop a caller, slow it for long, or be
believed.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vyre_dist.autotune.breaker import CircuitBreaker
from vyre_dist.autotune.codec import MAX_RECORD_BYTES, encode
from vyre_dist.autotune.memory import MemoryStore
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.tiered import TieredStore
from vyre_dist.autotune.urls import parse_redis_url

Make = Callable[..., StoredRecord]
Behaviour = Callable[[socket.socket, threading.Event], None]

# Two tries of 0.2 s, and room for a busy machine.
SLOWEST_FIRST_S = 2.5
# With the breaker open nothing is tried at all.
SLOWEST_LATER_S = 0.05


def hang(connection: socket.socket, stop: threading.Event) -> None:
    """Accept everything, answer nothing."""
    stop.wait()


def hang_up(connection: socket.socket, stop: threading.Event) -> None:
    """Close at once."""
    connection.close()


def answer(*replies: bytes) -> Behaviour:
    """Answer the n-th thing received with the n-th of `replies`, and from then on with the last."""

    def behave(connection: socket.socket, stop: threading.Event) -> None:
        count = 0
        while connection.recv(65536):
            connection.sendall(replies[min(count, len(replies) - 1)])
            count += 1

    return behave


def trickle(connection: socket.socket, stop: threading.Event) -> None:
    """One byte of an endless reply every 0.05 s: no single read times out."""
    connection.recv(65536)
    connection.sendall(b"*1\r\n$60000\r\n")
    while not stop.wait(0.05):
        connection.sendall(b"x")


def flood(connection: socket.socket, stop: threading.Event) -> None:
    """A reply that announces two gigabytes and starts sending them."""
    connection.recv(65536)
    connection.sendall(b"*1\r\n$2000000000\r\n")
    while not stop.is_set():
        connection.sendall(b"x" * 1_000_000)


def bulk(payload: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(payload), payload)


FAULTS: dict[str, Behaviour] = {
    "hangs": hang,
    "hangs up": hang_up,
    "trickles": trickle,
    "floods": flood,
    "speaks HTTP": answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "noise": answer(bytes(range(256)) * 4),
    "error": answer(b"-ERR no such thing\r\n"),
    "error without end": answer(b"-ERR"),
    "not ready": answer(b"-LOADING Redis is loading the dataset in memory\r\n"),
    "wrong type": answer(b"+OK\r\n"),
    "a number": answer(b":12345\r\n"),
    "null": answer(b"$-1\r\n"),
    "null array": answer(b"*-1\r\n"),
    "no entries": answer(b"*0\r\n"),
    "too many entries": answer(b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"),
    "nested": answer(b"*1\r\n*1\r\n$1\r\na\r\n"),
    "deeply nested": answer(b"*1\r\n" * 200),
    "a huge array": answer(b"*2000000000\r\n"),
    "negative length": answer(b"$-7\r\n"),
    "an error inside": answer(b"*1\r\n-ERR inside\r\n"),
    "garbage": answer(b"*1\r\n" + bulk(b"\xff" * 99)),
    "oversized": answer(b"*1\r\n" + bulk(b"x" * (MAX_RECORD_BYTES + 1))),
    "two replies": answer(b"*1\r\n$-1\r\n*1\r\n$-1\r\n"),
}


def get(store: Any, record: StoredRecord) -> StoredRecord | None:
    assert record.spec is not None
    found: StoredRecord | None = store.get(record.key, record.spec)
    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_server_is_a_counted_miss(
    misbehaving: Callable[..., Any], make_record: Make, fault: str
) -> None:
    """Every operation against it ends in time, with nothing found, stored or raised."""
    server = misbehaving(FAULTS[fault])
    with RedisStore(parse_redis_url(server.url)) as store:
        started = time.monotonic()
        assert get(store, make_record()) is None
        first = time.monotonic() - started
        # A reply that trickles is cut after its own, longer deadline, and tried once more.
        assert first < (3 if fault == "trickles" else SLOWEST_FIRST_S)
        assert not store.put(make_record())
        assert list(store.items()) == []
        assert store.lease("x", 1) is None
        stats = store.stats
        assert (stats.hits, stats.misses, stats.stored) == (0, 1, 0)
        assert stats.errors + stats.invalid > 0 or fault == "two replies"
    assert server.hits >= 1


@pytest.mark.parametrize("fault", ["hangs", "hangs up", "noise"])
def test_after_the_first_failure_nothing_is_tried(
    misbehaving: Callable[..., Any], make_record: Make, fault: str
) -> None:
    """One failed operation, of two tries, opens the breaker: a hundred more cost nothing and are
    counted.
    """
    server = misbehaving(FAULTS[fault])
    with RedisStore(parse_redis_url(server.url)) as store:
        get(store, make_record())
        tries = server.hits
        # One to see that somebody listens; redis-py may connect twice in one try, when the first
        # connection is closed before its use.
        assert 1 <= tries <= 5
        started = time.monotonic()
        for number in range(1, 101):
            assert get(store, make_record(number)) is None
        assert time.monotonic() - started < 100 * SLOWEST_LATER_S
        assert server.hits == tries
        assert (store.stats.errors, store.stats.skipped, store.stats.misses) == (1, 100, 101)


def test_a_dead_server_is_a_counted_miss(dead_url: str, make_record: Make, tmp_path: Path) -> None:
    """Nobody listening, a missing socket, a host that does not resolve, TLS to a missing server:
    all miss.
    """
    for url in (dead_url, f"unix://{tmp_path}/none", dead_url.replace("redis:", "rediss:")):
        with RedisStore(parse_redis_url(url)) as store:
            started = time.monotonic()
            assert get(store, make_record()) is None
            assert not store.put(make_record())
            assert time.monotonic() - started < SLOWEST_FIRST_S
            assert (store.stats.errors, store.stats.skipped) == (1, 1)


def test_tls_to_a_server_without_it_is_a_counted_miss(
    misbehaving: Callable[..., Any], make_record: Make
) -> None:
    """A handshake with something that is not TLS ends in time."""
    server = misbehaving(answer(b"-ERR what is this\r\n"))
    with RedisStore(parse_redis_url(server.url.replace("redis:", "rediss:"))) as store:
        assert get(store, make_record()) is None
        assert store.stats.errors == 1


def test_a_valid_record_under_the_wrong_key_is_not_believed(
    misbehaving: Callable[..., Any], make_record: Make
) -> None:
    """A server that answers every question with some other valid record gets no hit."""
    server = misbehaving(answer(b"*1\r\n" + bulk(encode(make_record(2)))))
    with RedisStore(parse_redis_url(server.url)) as store:
        assert get(store, make_record(1)) is None
        assert store.stats.mismatched == 1
        assert get(store, make_record(2)) == make_record(2)  # the same reply, where it is true


def test_an_endless_listing_ends(
    misbehaving: Callable[..., Any], make_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server whose cursor never comes round ends the listing with a counted error."""
    monkeypatch.setattr("vyre_dist.autotune.redis_store._SCAN_ROUNDS", 50)
    server = misbehaving(answer(b"*2\r\n$1\r\n7\r\n*0\r\n"))
    with RedisStore(parse_redis_url(server.url)) as store:
        assert list(store.items()) == []
        assert store.stats.errors == 1


def test_leftovers_of_one_reply_are_not_the_next(
    misbehaving: Callable[..., Any], make_record: Make
) -> None:
    """When a reply carries more than was asked, the rest is not taken for the answer to the next
    question.
    """
    both = b"*1\r\n$-1\r\n" + b"*1\r\n" + bulk(encode(make_record(1)))
    server = misbehaving(answer(both, b"*1\r\n$-1\r\n"))
    breaker = CircuitBreaker(first_pause_s=0)
    with RedisStore(parse_redis_url(server.url), breaker=breaker) as store:
        assert get(store, make_record(1)) is None
        assert get(store, make_record(1)) is None


def test_a_server_that_comes_back_is_used_again(
    redis_factory: Callable[..., Any], make_record: Make, tmp_path: Path
) -> None:
    """After the breaker's pause one call tries again, and from then on all go through."""
    now = [0.0]
    breaker = CircuitBreaker(first_pause_s=5, clock=lambda: now[0])
    server = redis_factory(tmp_path)
    with RedisStore(parse_redis_url(server.url), breaker=breaker) as store:
        assert store.put(make_record(1))
        server.stop()
        assert not store.put(make_record(2))
        assert not store.put(make_record(2))
        assert store.stats.skipped == 1
        redis_factory(tmp_path)
        assert not store.put(make_record(2))
        now[0] = 5.0
        assert store.put(make_record(2))
        assert get(store, make_record(2)) == make_record(2)
        assert (store.stats.errors, store.stats.skipped) == (1, 2)


@pytest.mark.parametrize("fault", ["hangs", "trickles", "floods", "noise", "hangs up"])
def test_tiered_callers_never_wait_for_a_faulty_server(
    misbehaving: Callable[..., Any], make_record: Make, fault: str
) -> None:
    """Behind tiers, lookups and puts are quick, and closing ends in time. The local store is one in
    memory, as a disk may be slow by itself.
    """
    server = misbehaving(FAULTS[fault])
    local = MemoryStore()
    store = TieredStore(local, RedisStore(parse_redis_url(server.url)))
    slowest = 0.0
    for number in range(1, 31):
        started = time.monotonic()
        assert get(store, make_record(number)) is None
        assert store.put(make_record(number))
        assert get(store, make_record(number)) == make_record(number)
        slowest = max(slowest, time.monotonic() - started)
    assert slowest < 0.39  # less than the two time-outs of one call to the server
    assert len(list(local.items())) == 30
    started = time.monotonic()
    store.close()
    assert time.monotonic() - started < 5
