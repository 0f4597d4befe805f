"""The store in a Redis (or Valkey) server.

Replies are taken as claims: checked, and counted when wrong. How a server is called is in
redis_link.py, the Lua scripts are in redis_scripts.py, and following what others publish is in
redis_follow.py. tiered.py keeps a server off the hot path altogether.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from vyre_dist.autotune import redis_scripts as scripts
from vyre_dist.autotune.breaker import CircuitBreaker
from vyre_dist.autotune.codec import encode
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.lease import Lease
from vyre_dist.autotune.record import Place, StoredRecord, check_text
from vyre_dist.autotune.redis_link import (
    TIMEOUT_S,
    RedisLink,
    ServerUnavailableError,
    Subscription,
)
from vyre_dist.autotune.redis_reasons import NOT_REDIS
from vyre_dist.autotune.redis_target import RedisTarget
from vyre_dist.autotune.store import Offer, RecordStore
from vyre_dist.errors import UsageError

if TYPE_CHECKING:
    from redis import Redis

_KEYS_PER_SCRIPT = 128
_SCAN_COUNT = 512
# A lying server's cursor never ends; an honest one of five million keys does.
_SCAN_ROUNDS = 10_000
# Of writers who offer at the same time one is taken in each round: more than ever share a key.
_PUT_ROUNDS = 64
# Unused for as long, a record goes.
EXPIRY_MS = 90 * 24 * 3600 * 1000


class RedisStore(RecordStore):
    """Records as strings on one server, contacted at the first use."""

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
    def address(self) -> str:
        return self.link.target.address

    def __repr__(self) -> str:
        return f"RedisStore({self.address!r})"

    def fetch(self, places: Sequence[Place]) -> list[StoredRecord | None]:
        try:
            return self.fetch_or_raise(places)
        except ServerUnavailableError:
            return [None] * len(places)

    def fetch_or_raise(self, places: Sequence[Place]) -> list[StoredRecord | None]:
        """`fetch` that tells a missing record from a missing server, by ServerUnavailableError.

        One pipelined round trip, however many places.
        """
        self.check_open()
        if not places:
            return []
        names = [scripts.record_key(place) for place in places]
        chunks = [names[i : i + _KEYS_PER_SCRIPT] for i in range(0, len(names), _KEYS_PER_SCRIPT)]

        def read(client: Redis) -> list[object]:
            with client.pipeline(transaction=False) as pipeline:
                for chunk in chunks:
                    pipeline.eval(scripts.FETCH, len(chunk), *chunk)
                replies = pipeline.execute()
            # A reply of another shape must not shift records to other keys.
            if [len(reply) for reply in replies] != [len(chunk) for chunk in chunks]:
                raise ValueError("a reply of another length than the question")
            return [payload for reply in replies for payload in reply]

        return [
            self._checked(payload, place)
            for payload, place in zip(self.link.call(read), places, strict=True)
        ]

    def offer(self, record: StoredRecord) -> Offer:
        return self.offer_leased(record, None)

    def put_leased(self, record: StoredRecord, lease: Lease) -> bool:
        """`put`, refused if `lease` has since passed to another holder."""
        self.check_open()
        return self.count_offer(self.offer_leased(record, lease))

    def offer_leased(self, record: StoredRecord, lease: Lease | None) -> Offer:
        """`offer`; FENCED if `lease` has since passed to another holder."""
        payload = encode(record)
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
                payload = payload if successor is record else encode(successor)
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
        for _ in range(_SCAN_ROUNDS):
            try:
                cursor, places = self.link.call(functools.partial(_scan, cursor))
                found = self.fetch_or_raise(places)
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
        lease = Lease.requested(
            check_text("lease name", name), ttl_s, uuid.uuid4().hex, self._lease_script
        )
        reply = self._lease_script(
            scripts.LEASE_ACQUIRE,
            [scripts.lease_key(name), scripts.fence_key(name)],
            lease.owner,
            lease.ttl_ms,
        )
        if not isinstance(reply, bytes):
            return None
        try:
            return lease.granted(Fence.from_token(reply.decode()))
        except (ValueError, UsageError):
            self._counters.add("invalid")
            return None

    def _lease_script(self, script: str, keys: Sequence[str], *args: str | int) -> object:
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
        self.link.close()

    def _checked(self, payload: object, place: Place) -> StoredRecord | None:
        if payload is None:
            return None
        if not isinstance(payload, bytes):
            self._counters.add("invalid")
            return None
        return self.decoded(payload, place)


def _number(reply: Any) -> int:
    return int(reply or 0)


def _scan(cursor: int, client: Redis) -> tuple[int, list[Place]]:
    # The pattern's braces need no escape, and no other schema's keys match it.
    reply: Any = client.scan(cursor, match=f"{scripts.RECORD_PREFIX}*", count=_SCAN_COUNT)
    following, names = reply
    places = (scripts.parse_record_key(name) for name in names)
    return int(following), [place for place in places if place is not None]
