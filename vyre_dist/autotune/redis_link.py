"""RedisLink: guarded calls to one Redis (or Valkey) server or cluster. With redis_reasons.py, it
alone imports redis.

No server can stop or slow a caller much: every wait is bounded, one retry is made, and after that a
breaker keeps further calls away for a while. What the calls say is in redis_store.py.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import redis
from redis.backoff import NoBackoff
from redis.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.retry import Retry

from vyre_dist.autotune.bounded_socket import BoundedSocket
from vyre_dist.autotune.breaker import CircuitBreaker
from vyre_dist.autotune.counters import Counters
from vyre_dist.autotune.redis_reasons import VerbatimParser, reason_of
from vyre_dist.autotune.redis_target import RedisTarget, ServerUnavailableError
from vyre_dist.autotune.reply_times import FIRST_S, ReplyTimes

T = TypeVar("T")

# What a reply that is not this command's raises while redis-py takes it apart.
_ODD_REPLY = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
_TRANSPORT = (redis.ConnectionError, redis.TimeoutError, redis.InvalidResponse, OSError)
# A cluster that sends its clients round in circles is of no use.
_REDIRECTS = 4


def _bounded(base: Any, times: ReplyTimes, listens: bool) -> Any:
    """`base`, a connection class of redis-py, with its sockets bounded."""

    class Bounded(base):  # type: ignore[misc]
        def _connect(self) -> Any:
            self.socket_connect_timeout = max(FIRST_S, times.timeout_s)
            try:
                sock = super()._connect()
            except (TimeoutError, redis.TimeoutError):
                times.timed_out()
                raise
            return BoundedSocket(sock, None if listens else times)

    return Bounded


def _client(target: RedisTarget, times: ReplyTimes, *, listens: bool = False) -> redis.Redis:
    place: dict[str, Any]
    kind: Any = Connection
    if target.path:
        kind, place = UnixDomainSocketConnection, {"path": target.path}
    else:
        place = {"host": target.host, "port": target.port}
        if target.tls:
            kind = SSLConnection
            place.update(target.tls_files, ssl_check_hostname=True)
    pool = ConnectionPool(
        connection_class=_bounded(kind, times, listens),
        db=target.db,
        username=target.username,
        password=target.password,
        socket_timeout=FIRST_S,
        socket_connect_timeout=FIRST_S,
        # Retrying is done in one place, below; redis-py would retry connecting and commanding,
        # multiplied.
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        # Not hiredis: told of an array of 2·10⁹ entries, it allocates them all before the first has
        # come (6 s).
        parser_class=VerbatimParser,
        **_anonymous(),
        **place,
    )
    return redis.Redis(connection_pool=pool)


def _anonymous() -> dict[str, None]:
    """Options that keep redis-py from sending CLIENT SETINFO, which servers before 7.2 refuse."""
    # redis-py renamed them, and warns about the old ones.
    known = inspect.signature(AbstractConnection.__init__).parameters
    return (
        {"driver_info": None} if "driver_info" in known else {"lib_name": None, "lib_version": None}
    )


class _Asking:
    """What of a client's calls are ours, each behind ASKING: a cluster's node that is about to get
    a slot takes no others.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client

    def execute_command(self, *args: Any) -> Any:
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.execute_command("ASKING")
            pipeline.execute_command(*args)
            return pipeline.execute()[1]

    def eval(self, *args: Any) -> Any:
        return self.execute_command("EVAL", *args)

    def get(self, name: str) -> Any:
        return self.execute_command("GET", name)

    @contextlib.contextmanager
    def pipeline(self, **_: bool) -> Iterator[_AskingPipeline]:
        yield _AskingPipeline(self)


class _AskingPipeline:
    def __init__(self, asking: _Asking) -> None:
        self._asking = asking
        self._queued: list[tuple[Any, ...]] = []

    def eval(self, *args: Any) -> None:
        self._queued.append(args)

    def execute(self) -> list[Any]:
        return [self._asking.eval(*args) for args in self._queued]


class Subscription:
    """What is published on one channel, for as long as RedisLink.subscribed keeps it open."""

    def __init__(
        self, pubsub: Any, faults_counted: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> None:
        self._pubsub = pubsub
        self._faults_counted = faults_counted

    def next(self, timeout_s: float) -> tuple[int, bytes] | None:
        """The next message: a revision and a key's name; None if none came in `timeout_s`.

        Raises ServerUnavailableError, counted.
        """
        with self._faults_counted():
            message = self._pubsub.get_message(ignore_subscribe_messages=True, timeout=timeout_s)
            if message is None:
                return None
            revision, _, name = message["data"].partition(b" ")
            return int(revision), name


class RedisLink:
    """Guarded calls to one server: bounded waits, one retry, a breaker, counters.

    `times`: what is known of the server's round trips. In a cluster, calls go to the node that has
    our one slot; `target` is where that is asked.
    """

    def __init__(
        self, target: RedisTarget, counters: Counters, breaker: CircuitBreaker | None = None
    ) -> None:
        self.target = target
        self.breaker = breaker or CircuitBreaker()
        self.times = ReplyTimes()
        self._counters = counters
        self._closing = False
        self._lock = threading.Lock()
        self._node = target
        self._client = _client(target, self.times)
        self._listeners: set[redis.Redis] = set()

    def call(self, work: Callable[[redis.Redis], T]) -> T:
        """`work` with the client; it may run twice. Raises ServerUnavailableError, counted."""
        if not self.breaker.allow():
            self._counters.add("skipped")
            raise ServerUnavailableError(
                self.target.address, "it failed a moment ago and is left alone"
            )
        try:
            result = self._tried(work)
        except (*_TRANSPORT, *_ODD_REPLY) as error:
            self.breaker.failed()
            # What is left of an odd reply must not be taken for the next one.
            self._client.connection_pool.disconnect(inuse_connections=False)
            raise self._unavailable(error) from None
        except redis.RedisError as error:
            # The server is there and refuses this one (rights, memory, a read-only replica).
            self.breaker.succeeded()
            raise self._unavailable(error) from None
        except BaseException:
            self.breaker.failed()
            raise
        self.breaker.succeeded()
        return result

    def _tried(self, work: Callable[[redis.Redis], T]) -> T:
        """One retry where the connection failed; a cluster's redirections are followed."""
        may_retry = True
        for _ in range(_REDIRECTS):
            client = self._client
            try:
                return work(client)
            except redis.exceptions.MovedError as error:
                self._counters.add("redirected")
                self._go_to(self._node_of(error))
            except redis.exceptions.AskError as error:
                self._counters.add("redirected")
                with _client(self._node_of(error), self.times) as asked:
                    return work(cast("redis.Redis", _Asking(asked)))
            except _TRANSPORT:
                if not may_retry:
                    raise
                may_retry = False
                # the node may have failed over; who has the slot now is asked at the beginning
                self._go_to(self.target)
        raise redis.RedisError("the cluster sends its clients round in circles")

    def _node_of(self, error: redis.exceptions.AskError) -> RedisTarget:
        # a node that does not know its own address names none
        host = error.host or self._node.host
        return replace(self.target, host=host, port=error.port, path="")

    def _go_to(self, node: RedisTarget) -> None:
        with self._lock:
            if node == self._node or self._closing:
                return
            left, self._client, self._node = self._client, _client(node, self.times), node
        left.connection_pool.disconnect(inuse_connections=False)

    def eval(self, script: str, keys: Sequence[str], *args: str | bytes | int) -> Any:
        """Run one script, guarded. Raises ServerUnavailableError, counted.

        It sends EVAL and not EVALSHA: calls are rare, and the server's script cache may be empty.
        """
        return self.call(lambda client: client.eval(script, len(keys), *keys, *args))

    @contextlib.contextmanager
    def subscribed(self, channel: str) -> Iterator[Subscription]:
        """Subscribe to `channel` for the block. Raises ServerUnavailableError, counted."""
        listener = _client(self._node, self.times, listens=True)
        with self._lock:
            self._listeners.add(listener)
        pubsub: Any = listener.pubsub()  # type: ignore[no-untyped-call]
        try:
            with self._faults_counted():
                if self._closing:
                    raise ConnectionError("closed")
                pubsub.subscribe(channel)
                confirmation = pubsub.get_message(timeout=max(FIRST_S, self.times.timeout_s))
                if confirmation is None or confirmation["type"] != "subscribe":
                    raise TimeoutError("no confirmation")
            yield Subscription(pubsub, self._faults_counted)
        finally:
            with self._lock:
                self._listeners.discard(listener)
            pubsub.close()
            listener.close()

    @contextlib.contextmanager
    def _faults_counted(self) -> Iterator[None]:
        """Count what goes wrong inside, and raise it as ServerUnavailableError."""
        try:
            yield
        except (redis.RedisError, OSError, *_ODD_REPLY) as error:
            # not the store's trouble: what is published is only heard of later without it
            self._counters.add("errors")
            raise ServerUnavailableError(
                self.target.address, reason_of(error, self.target)
            ) from None

    def _unavailable(self, error: Exception) -> ServerUnavailableError:
        """What to raise for `error`, counted."""
        reason = reason_of(error, self.target, ask_s=0.0 if self._closing else FIRST_S)
        if self._closing:
            self._counters.add("errors")  # that was us: it closed under the hands of another thread
        else:
            self._counters.failed(reason)
        return ServerUnavailableError(self.target.address, reason)

    def close(self) -> None:
        with self._lock:
            self._closing = True
            clients = [self._client, *self._listeners]
        for client in clients:
            client.close()
            client.connection_pool.disconnect()
