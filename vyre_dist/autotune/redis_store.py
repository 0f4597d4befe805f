"""The store in a Redis (or Valkey) server: with redis_reasons.py, the only file that imports redis.

No server can stop or slow a caller much: every wait is bounded, one retry is made, and after that a
breaker keeps further calls away for a while. Replies are taken as claims: checked, and counted when
wrong. Keeping Redis off the hot path altogether is tiered.py's work; the Lua scripts are in
redis_scripts.py, following what others publish in redis_follow.py.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import struct
import uuid
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

from vyre_dist.autotune import redis_scripts as scripts
from vyre_dist.autotune.bounded_socket import REPLY_DEADLINE_S, BoundedSocket
from vyre_dist.autotune.breaker import CircuitBreaker
from vyre_dist.autotune.codec import encode
from vyre_dist.autotune.lease import Lease
from vyre_dist.autotune.record import StoredRecord, check_text
from vyre_dist.autotune.redis_reasons import NOT_REDIS, TellingParser, reason_of
from vyre_dist.autotune.redis_target import RedisTarget
from vyre_dist.autotune.store import Counters, Offer, RecordStore
from vyre_dist.dispatch.keys import AutotuneKey, SpecCacheKey
from vyre_dist.errors import VyreError

T = TypeVar("T")

TIMEOUT_S = 0.2
_KEYS_PER_SCRIPT = 128
_SCAN_COUNT = 512
# A lying server's cursor never ends; an honest one of five million keys does.
_SCAN_ROUNDS = 10_000

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
        parser_class=TellingParser,
        **_anonymous(),
        **place,
    )
    return redis.Redis(connection_pool=pool)


def _anonymous() -> dict[str, None]:
    """The options that keep redis-py from sending CLIENT SETINFO, which servers before 7.2 do not
    know.
    """
    # redis-py renamed them, and warns about the old ones.
    known = inspect.signature(AbstractConnection.__init__).parameters
    return (
        {"driver_info": None} if "driver_info" in known else {"lib_name": None, "lib_version": None}
    )


class Subscription:
    """What is published on one channel, for as long as RedisLink.subscribed keeps it open."""

    def __init__(
        self, pubsub: Any, claims: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> None:
        self._pubsub = pubsub
        self._claims = claims

    def next(self, timeout_s: float) -> tuple[int, bytes] | None:
        """The next message: a revision and a key's name; None if none came in `timeout_s`.

        Raises ServerUnavailableError, counted.
        """
        with self._claims():
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
        """One script, guarded. EVAL, not EVALSHA: calls are rare, and no script cache can be
        missing.
        """
        return self.call(lambda client: client.eval(script, len(keys), *keys, *args))

    @contextlib.contextmanager
    def subscribed(self, channel: str) -> Iterator[Subscription]:
        """A subscription to `channel`, closed at the end. Raises ServerUnavailableError,
        counted.
        """
        pubsub: Any = self._listener.pubsub()  # type: ignore[no-untyped-call]
        try:
            with self._claims():
                pubsub.subscribe(channel)
                confirmation = pubsub.get_message(timeout=TIMEOUT_S)
                if confirmation is None or confirmation["type"] != "subscribe":
                    raise TimeoutError("no confirmation")
            yield Subscription(pubsub, self._claims)
        finally:
            pubsub.close()

    @contextlib.contextmanager
    def _claims(self) -> Iterator[None]:
        """What goes wrong inside is the server's fault: counted, and raised as
        ServerUnavailableError.
        """
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


class RedisStore(RecordStore):
    """Records as hashes (payload, cost, spec) on one server. Nothing is contacted before the first
    use.
    """

    def __init__(
        self,
        target: RedisTarget,
        *,
        timeout_s: float = TIMEOUT_S,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        super().__init__()
        self.link = RedisLink(target, self._counters, timeout_s=timeout_s, breaker=breaker)

    @property
    def place(self) -> str:
        return self.link.target.address

    def __repr__(self) -> str:
        return f"RedisStore({self.place!r})"

    def fetch(self, keys: Sequence[AutotuneKey]) -> list[StoredRecord | None]:
        try:
            return self.fetch_or_raise(keys)
        except ServerUnavailableError:
            return [None] * len(keys)

    def fetch_or_raise(self, keys: Sequence[AutotuneKey]) -> list[StoredRecord | None]:
        """`fetch` that tells a missing record from a missing server, by ServerUnavailableError.

        One pipelined round trip, however many keys.
        """
        self.check_open()
        if not keys:
            return []
        names = [scripts.record_key(key) for key in keys]
        chunks = [names[i : i + _KEYS_PER_SCRIPT] for i in range(0, len(names), _KEYS_PER_SCRIPT)]

        def read(client: redis.Redis) -> list[object]:
            with client.pipeline(transaction=False) as pipeline:
                for chunk in chunks:
                    pipeline.eval(scripts.FETCH, len(chunk), *chunk)
                replies = pipeline.execute()
            # A reply of another shape must not shift records to other keys.
            if [len(reply) for reply in replies] != [len(chunk) for chunk in chunks]:
                raise ValueError("a reply of another length than the question")
            return [payload for reply in replies for payload in reply]

        return [
            self._checked(payload, key)
            for payload, key in zip(self.link.call(read), keys, strict=True)
        ]

    def offer(self, record: StoredRecord) -> Offer:
        return self.offer_leased(record, None)

    def put_leased(self, record: StoredRecord, lease: Lease) -> bool:
        """`put`, refused if `lease` has since passed to another holder."""
        self.check_open()
        return self.settle(self.offer_leased(record, lease))

    def offer_leased(self, record: StoredRecord, lease: Lease | None) -> Offer:
        """`offer`; FENCED if `lease` has since passed to another holder."""
        payload = encode(record)
        condemned = ""
        try:
            for _ in range(2):
                reply = self._put(record, payload, condemned, lease)
                if reply == 1:
                    return Offer.STORED
                if reply == 2:
                    return Offer.FENCED
                if not isinstance(reply, bytes):
                    break
                incumbent = self.decoded(reply, record.key)
                # Only an incumbent that is what the server made of it may stand in the way.
                if incumbent is not None and (
                    record.spec is None or _holds_against(incumbent, record)
                ):
                    return Offer.KEPT
                condemned = hashlib.sha1(reply, usedforsecurity=False).hexdigest()
        except ServerUnavailableError:
            return Offer.FAILED
        self._counters.failed(NOT_REDIS)
        return Offer.FAILED

    def _put(
        self, record: StoredRecord, payload: bytes, condemned: str, lease: Lease | None
    ) -> object:
        name = scripts.record_key(record.key)
        fence = scripts.fence_key(lease.name) if lease else scripts.REVISION_KEY
        reply: object = self.link.eval(
            scripts.PUT,
            [name, scripts.REVISION_KEY, fence],
            payload,
            f"{record.cost_ns:020d}",
            _spec_text(record.spec),
            condemned,
            str(lease.token) if lease else "",
            scripts.CHANNEL,
            name,
        )
        return reply

    def items(self) -> Iterator[StoredRecord]:
        self.check_open()
        cursor = 0
        for _ in range(_SCAN_ROUNDS):
            try:
                cursor, keys = self.link.call(functools.partial(_scan, cursor))
                found = self.fetch_or_raise(keys)
            except ServerUnavailableError:
                return
            yield from (stored for stored in found if stored is not None)
            if cursor == 0:
                return
        self._counters.failed("its list of keys does not end")

    def revision(self) -> int:
        """How many records were ever replaced on the server. Raises ServerUnavailableError."""
        self.check_open()
        return self.link.call(lambda client: _number(client.get(scripts.REVISION_KEY)))

    @contextlib.contextmanager
    def subscribed(self) -> Iterator[Subscription]:
        """The changes that others publish, see redis_follow.py. Raises ServerUnavailableError,
        counted.
        """
        self.check_open()
        with self.link.subscribed(scripts.CHANNEL) as subscription:
            yield subscription

    def lease(self, name: str, ttl_s: float) -> Lease | None:
        """The right to tune `name` alone for `ttl_s` seconds; None: another has it, or no server
        says so.

        Raises UsageError for a name or a time out of range.
        """
        self.check_open()
        lease = Lease.requested(
            check_text("lease name", name), ttl_s, uuid.uuid4().hex, self._lease_script
        )
        reply = self._lease_script(
            scripts.LEASE_ACQUIRE,
            [scripts.lease_key(name), scripts.fence_key(name)],
            lease.owner,
            lease.ttl_ms,
        )
        return lease.granted(reply) if reply > 0 else None

    def _lease_script(self, script: str, keys: Sequence[str], *args: str | int) -> int:
        try:
            reply = self.link.eval(script, keys, *args)
        except ServerUnavailableError:
            return 0
        if isinstance(reply, int):
            return reply
        self._counters.add("invalid")
        return 0

    def _release(self) -> None:
        self.link.close()

    def _checked(self, payload: object, key: AutotuneKey) -> StoredRecord | None:
        if payload is None:
            return None
        if not isinstance(payload, bytes):
            self._counters.add("invalid")
            return None
        return self.decoded(payload, key)


def _holds_against(incumbent: StoredRecord, challenger: StoredRecord) -> bool:
    return incumbent.spec == challenger.spec and incumbent.cost_ns <= challenger.cost_ns


def _spec_text(spec: SpecCacheKey | None) -> str:
    if spec is None:
        return ""
    return struct.pack(
        "<QQ3IQ", spec.shader_hash, spec.binding_sig, *spec.workgroup_size, spec.spec_hash
    ).hex()


def _number(reply: Any) -> int:
    return int(reply or 0)


def _scan(cursor: int, client: redis.Redis) -> tuple[int, list[AutotuneKey]]:
    # The pattern's braces need no escape, and no other schema's keys match it.
    reply: Any = client.scan(cursor, match=f"{scripts.RECORD_PREFIX}*", count=_SCAN_COUNT)
    following, names = reply
    keys = (scripts.parse_record_key(name) for name in names)
    return int(following), [key for key in keys if key is not None]
