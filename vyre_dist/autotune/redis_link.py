"""RedisLink: guarded calls to one Redis (or Valkey) server. With redis_reasons.py, it alone imports
redis.

No server can stop or slow a caller much: every wait is bounded, one retry is made, and after that a
breaker keeps further calls away for a while. What the calls say is in redis_store.py.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

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

from vyre_dist.autotune.bounded_socket import REPLY_DEADLINE_S, BoundedSocket
from vyre_dist.autotune.breaker import CircuitBreaker
from vyre_dist.autotune.redis_reasons import VerbatimParser, reason_of
from vyre_dist.autotune.redis_target import RedisTarget
from vyre_dist.autotune.store import Counters
from vyre_dist.errors import VyreError

T = TypeVar("T")

TIMEOUT_S = 0.2

# What a reply that is not this command's raises while redis-py takes it apart.
_ODD_REPLY = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
_TRANSPORT = (redis.ConnectionError, redis.TimeoutError, redis.InvalidResponse, OSError)


class ServerUnavailableError(VyreError):
    """The server at `address` was not asked, did not answer, refused, or answered nonsense; already
    counted.

    The message ends with the reason, the server's own where it gave one.
    """

    def __init__(self, address: str, cause: str) -> None:
        super().__init__(f"the autotune store at {address} is unavailable: {cause}")
        self.address = address


def _bounded(base: Any, deadline_s: float | None) -> Any:
    """`base`, a connection class of redis-py, with its sockets bounded."""

    class Bounded(base):  # type: ignore[misc]
        def _connect(self) -> Any:
            return BoundedSocket(super()._connect(), deadline_s)

    return Bounded


def _client(target: RedisTarget, timeout_s: float, deadline_s: float | None) -> redis.Redis:
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
        connection_class=_bounded(kind, deadline_s),
        db=target.db,
        username=target.username,
        password=target.password,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
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
    """Guarded calls to one server: bounded waits, one retry, a breaker, counters."""

    def __init__(
        self,
        target: RedisTarget,
        counters: Counters,
        *,
        timeout_s: float = TIMEOUT_S,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self.target = target
        self.breaker = breaker or CircuitBreaker()
        self._counters = counters
        self._closing = False
        self._client = _client(target, timeout_s, REPLY_DEADLINE_S)
        self._listener = _client(target, timeout_s, None)

    def call(self, work: Callable[[redis.Redis], T]) -> T:
        """`work` with the client; it may run twice. Raises ServerUnavailableError, counted."""
        if not self.breaker.allow():
            self._counters.add("skipped")
            raise ServerUnavailableError(
                self.target.address, "it failed a moment ago and is left alone"
            )
        try:
            try:
                result = work(self._client)
            except _TRANSPORT:
                result = work(self._client)
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

    def eval(self, script: str, keys: Sequence[str], *args: str | bytes | int) -> Any:
        """Run one script, guarded. Raises ServerUnavailableError, counted.

        It sends EVAL and not EVALSHA: calls are rare, and the server's script cache may be empty.
        """
        return self.call(lambda client: client.eval(script, len(keys), *keys, *args))

    @contextlib.contextmanager
    def subscribed(self, channel: str) -> Iterator[Subscription]:
        """Subscribe to `channel` for the block. Raises ServerUnavailableError, counted."""
        pubsub: Any = self._listener.pubsub()  # type: ignore[no-untyped-call]
        try:
            with self._faults_counted():
                pubsub.subscribe(channel)
                confirmation = pubsub.get_message(timeout=TIMEOUT_S)
                if confirmation is None or confirmation["type"] != "subscribe":
                    raise TimeoutError("no confirmation")
            yield Subscription(pubsub, self._faults_counted)
        finally:
            pubsub.close()

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
        reason = reason_of(error, self.target, ask_s=0.0 if self._closing else TIMEOUT_S)
        if self._closing:
            self._counters.add("errors")  # that was us: it closed under the hands of another thread
        else:
            self._counters.failed(reason)
        return ServerUnavailableError(self.target.address, reason)

    def close(self) -> None:
        self._closing = True
        for client in (self._client, self._listener):
            client.close()
            client.connection_pool.disconnect()
