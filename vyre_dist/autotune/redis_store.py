"""The store in a Redis (or Valkey) server.

Replies are taken as claims: checked, and counted when wrong. How a server is called is in
redis_link.py, the Lua scripts are in redis_scripts.py, and following what others publish is in
redis_follow.py. tiered.py keeps a server off the hot path altogether.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from vyre_dist.autotune import redis_scripts as scripts
from vyre_dist.autotune.breaker import CircuitBreaker
from vyre_dist.autotune.codec import OutOfRangeError, encode
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.lease import Lease
from vyre_dist.autotune.listening import why_not
from vyre_dist.autotune.record import EXPIRY_DAYS, REWRITE_DAYS, Place, StoredRecord, check_text
from vyre_dist.autotune.redis_target import NOT_REDIS, RedisTarget, ServerUnavailableError
from vyre_dist.autotune.signing import is_sealed, sealed, unsealed
from vyre_dist.autotune.store import Offer, RecordStore
from vyre_dist.dispatch.keys import MAX_ADAPTER_ID_CHARS
from vyre_dist.errors import UsageError
from vyre_dist.secret_key import SecretKey

if TYPE_CHECKING:
    from redis import Redis

    from vyre_dist.autotune.redis_link import RedisLink, Subscription

# A lease's name holds an adapter's id, which has so many of them at most, a key and a class.
_MOST_LEASE_CHARS = MAX_ADAPTER_ID_CHARS + 256
_KEYS_PER_SCRIPT = 128
# Sent together: more would be a reply that takes longer than any reply may.
_SCRIPTS_PER_CALL = 8
_SCAN_COUNT = 512
# A lying server's cursor never ends; an honest one of five million keys does.
_SCAN_ROUNDS = 10_000
# Of writers who offer at the same time one is taken in each round: more than ever share a key.
_PUT_ROUNDS = 64
_DAY_MS = 24 * 3600 * 1000
# Unused for as long, a record goes; a use is written once a week at most.
EXPIRY_MS = EXPIRY_DAYS * _DAY_MS
_FRESH_MS = EXPIRY_MS - REWRITE_DAYS * _DAY_MS


class RedisStore(RecordStore):
    """Records as strings on one server, contacted at the first use.

    With a `key`, records are signed, and others than those signed with it are misses. Without one
    every record is taken as it is, and signed ones are replaced by none.
    """

    def __init__(
        self,
        target: RedisTarget,
        *,
        key: SecretKey | None = None,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        super().__init__()
        self.target = target
        self._key = key
        self._breaker = breaker or CircuitBreaker()
        self._link: RedisLink | None = None
        self._link_lock = threading.Lock()

    @property
    def link(self) -> RedisLink:
        """Made at its first use, as it takes 0.1 s to import redis: by whoever can wait for it, and
        not before somebody listens there. Raises ServerUnavailableError, counted.
        """
        with self._link_lock:
            if self._link is None:
                self.check_open()
                self._see_that_somebody_listens()
                from vyre_dist.autotune.redis_link import RedisLink

                self._link = RedisLink(self.target, self._counters, self._breaker)
            return self._link

    def _see_that_somebody_listens(self) -> None:
        if not self._breaker.allow():
            self._counters.add("skipped")
            raise ServerUnavailableError(self.address, "it failed a moment ago and is left alone")
        reason = why_not(self.target)
        if not reason:
            self._breaker.succeeded()
            return
        self._breaker.failed()
        self._counters.failed(reason)
        raise ServerUnavailableError(self.address, reason)

    @property
    def address(self) -> str:
        return self.target.address

    def __repr__(self) -> str:
        return f"RedisStore({self.address!r})"

    def fetch(self, places: Sequence[Place]) -> list[StoredRecord | None]:
        try:
            return self.fetch_or_raise(places)
        except ServerUnavailableError:
            return [None] * len(places)

    def fetch_or_raise(self, places: Sequence[Place]) -> list[StoredRecord | None]:
        """`fetch` that tells a missing record from a missing server, by ServerUnavailableError.

        One pipelined round trip for a thousand places.
        """
        return self._fetch(places, _FRESH_MS)

    def _fetch(self, places: Sequence[Place], fresh_ms: int) -> list[StoredRecord | None]:
        self.check_open()
        step = _KEYS_PER_SCRIPT * _SCRIPTS_PER_CALL
        payloads: list[object] = []
        for start in range(0, len(places), step):
            names = [scripts.record_key(place) for place in places[start : start + step]]
            payloads += self.link.call(functools.partial(_read, names, fresh_ms))
        return [
            self._checked(payload, place) for payload, place in zip(payloads, places, strict=True)
        ]

    def opened(self, payload: bytes) -> bytes:
        return unsealed(payload, self._key)

    def checked(self, stored: StoredRecord) -> StoredRecord:
        if stored.timing is not None and not stored.timing.total_ns:
            # nothing would ever be cheaper
            raise OutOfRangeError("it says to have cost nothing")
        return stored

    def successor(self, record: StoredRecord, held: bytes) -> StoredRecord | None:
        if self._key is None and is_sealed(held):
            return None  # those who have the key would take ours for none
        return super().successor(record, held)

    def offer(self, record: StoredRecord) -> Offer:
        return self.offer_leased(record, None)

    def put_leased(self, record: StoredRecord, lease: Lease) -> bool:
        """`put`, refused if `lease` has since passed to another holder."""
        self.check_open()
        return self.count_offer(self.offer_leased(record, lease))

    def offer_leased(self, record: StoredRecord, lease: Lease | None) -> Offer:
        """`offer`; FENCED if `lease` has since passed to another holder."""
        payload = sealed(encode(record), self._key)
        replaced = ""
        try:
            for _ in range(_PUT_ROUNDS):
                held = self._put(record.place, payload, replaced, lease)
                if held == 1:
                    return Offer.STORED
                if held == 2:
                    return Offer.FENCED
                if not isinstance(held, bytes):
                    self._counters.failed(NOT_REDIS)
                    return Offer.FAILED
                successor = self.successor(record, held)
                if successor is None:
                    return Offer.KEPT
                if successor is not record:
                    payload = sealed(encode(successor), self._key)
                replaced = hashlib.sha1(held, usedforsecurity=False).hexdigest()
        except ServerUnavailableError:
            return Offer.FAILED
        self._counters.failed("a record there changes faster than it can be replaced")
        return Offer.FAILED

    def _put(self, place: Place, payload: bytes, replaced: str, lease: Lease | None) -> object:
        fence = scripts.fence_key(lease.name) if lease else scripts.REVISION_KEY
        reply: object = self.link.eval(
            scripts.PUT,
            [scripts.record_key(place), scripts.REVISION_KEY, fence],
            payload,
            replaced,
            lease.token if lease else "",
            scripts.CHANNEL,
            EXPIRY_MS,
        )
        return reply

    def items(self) -> Iterator[StoredRecord]:
        self.check_open()
        cursor = 0
        for turn in range(_SCAN_ROUNDS):
            try:
                if not turn:
                    self.revision()  # a cluster's node lists its own keys: this leads to the right
                cursor, places = self.link.call(functools.partial(_scan, cursor))
                found = self._fetch(places, 0)
            except ServerUnavailableError:
                return
            yield from (stored for stored in found if stored is not None)
            if cursor == 0:
                return
        self._counters.failed("its list of keys does not end")

    def remove(self, places: Sequence[Place]) -> int:
        self.check_open()
        removed = 0
        for start in range(0, len(places), _KEYS_PER_SCRIPT):
            names = [scripts.record_key(p) for p in places[start : start + _KEYS_PER_SCRIPT]]
            try:
                reply: object = self.link.eval(
                    scripts.REMOVE, [scripts.REVISION_KEY, *names], scripts.CHANNEL
                )
            except ServerUnavailableError:
                return removed
            if type(reply) is not int:
                self._counters.failed(NOT_REDIS)
                return removed
            removed += reply
        return removed

    def revision(self) -> int:
        """How many records were ever replaced on the server. Raises ServerUnavailableError."""
        self.check_open()
        return self.link.call(lambda client: _number(client.get(scripts.REVISION_KEY)))

    @contextlib.contextmanager
    def subscribed(self) -> Iterator[Subscription]:
        """What others publish (redis_follow.py). Raises ServerUnavailableError, counted."""
        self.check_open()
        with self.link.subscribed(scripts.CHANNEL) as subscription:
            yield subscription

    def lease(self, name: str, ttl_s: float) -> Lease | None:
        """The right to tune `name` alone for `ttl_s` seconds; None: another has it, or no server
        says so.

        Raises UsageError for a name or a time out of range.
        """
        self.check_open()
        check_text("lease name", name, most=_MOST_LEASE_CHARS)
        lease = Lease.requested(name, ttl_s, uuid.uuid4().hex, self.lease_script)
        reply = self.lease_script(
            scripts.LEASE_ACQUIRE,
            [scripts.lease_key(name), scripts.fence_key(name)],
            lease.owner,
            lease.ttl_ms,
            EXPIRY_MS,
        )
        if not isinstance(reply, bytes):
            return None
        try:
            return lease.granted(Fence.from_token(reply.decode()))
        except (ValueError, UsageError):
            self._counters.add("invalid")
            return None

    def lease_script(self, script: str, keys: Sequence[str], *args: str | int) -> object:
        """The script's answer, an int or bytes; 0, counted, for none and for any other."""
        try:
            reply: object = self.link.eval(script, keys, *args)
        except ServerUnavailableError:
            return 0
        if isinstance(reply, int | bytes):
            return reply
        self._counters.add("invalid")
        return 0

    def _release(self) -> None:
        with self._link_lock:
            if self._link is not None:
                self._link.close()

    def _checked(self, payload: object, place: Place) -> StoredRecord | None:
        if payload is None:
            return None
        if not isinstance(payload, bytes):
            self._counters.add("invalid")
            return None
        return self.decoded(payload, place)


def _read(names: Sequence[str], fresh_ms: int, client: Redis) -> list[object]:
    chunks = [names[i : i + _KEYS_PER_SCRIPT] for i in range(0, len(names), _KEYS_PER_SCRIPT)]
    with client.pipeline(transaction=False) as pipeline:
        for chunk in chunks:
            pipeline.eval(scripts.FETCH, len(chunk), *chunk, EXPIRY_MS, fresh_ms)
        replies = pipeline.execute()
    # A reply of another shape must not shift records to other keys.
    if [len(reply) for reply in replies] != [len(chunk) for chunk in chunks]:
        raise ValueError("a reply of another length than the question")
    return [payload for reply in replies for payload in reply]


def _number(reply: Any) -> int:
    return int(reply or 0)


def _scan(cursor: int, client: Redis) -> tuple[int, list[Place]]:
    # The pattern's braces need no escape, and no other schema's keys match it.
    reply: Any = client.scan(cursor, match=f"{scripts.RECORD_PREFIX}*", count=_SCAN_COUNT)
    following, names = reply
    places = (scripts.parse_record_key(name) for name in names)
    return int(following), [place for place in places if place is not None]
