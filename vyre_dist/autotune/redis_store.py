"""The store in a Redis (or Valkey) server.

Replies are taken as claims: checked, and counted when wrong. How a server is called is in
redis_link.py, the Lua scripts are in redis_scripts.py, and following what others publish is in
redis_follow.py. tiered.py keeps a server off the hot path altogether.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import struct
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from vyre_dist.autotune import redis_scripts as scripts
from vyre_dist.autotune.breaker import CircuitBreaker
from vyre_dist.autotune.codec import encode
from vyre_dist.autotune.lease import Lease
from vyre_dist.autotune.record import StoredRecord, check_text
from vyre_dist.autotune.redis_link import (
    TIMEOUT_S,
    RedisLink,
    ServerUnavailableError,
    Subscription,
)
from vyre_dist.autotune.redis_reasons import NOT_REDIS
from vyre_dist.autotune.redis_target import RedisTarget
from vyre_dist.autotune.store import Offer, RecordStore
from vyre_dist.dispatch.keys import AutotuneKey, SpecCacheKey

if TYPE_CHECKING:
    from redis import Redis

_KEYS_PER_SCRIPT = 128
_SCAN_COUNT = 512
# A lying server's cursor never ends; an honest one of five million keys does.
_SCAN_ROUNDS = 10_000


class RedisStore(RecordStore):
    """Records as hashes (payload, cost, spec) on one server, contacted at the first use."""

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
            self._checked(payload, key)
            for payload, key in zip(self.link.call(read), keys, strict=True)
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
        invalid_sha1 = ""
        try:
            for _ in range(2):
                reply = self._put(record, payload, invalid_sha1, lease)
                if reply == 1:
                    return Offer.STORED
                if reply == 2:
                    return Offer.FENCED
                if not isinstance(reply, bytes):
                    break
                incumbent = self.decoded(reply, record.key)
                # Only an incumbent that is what the server made of it may stand in the way.
                if incumbent is not None and (
                    record.spec is None or _at_least_as_good(incumbent, record)
                ):
                    return Offer.KEPT
                invalid_sha1 = hashlib.sha1(reply, usedforsecurity=False).hexdigest()
        except ServerUnavailableError:
            return Offer.FAILED
        self._counters.failed(NOT_REDIS)
        return Offer.FAILED

    def _put(
        self, record: StoredRecord, payload: bytes, invalid_sha1: str, lease: Lease | None
    ) -> object:
        name = scripts.record_key(record.key)
        fence = scripts.fence_key(lease.name) if lease else scripts.REVISION_KEY
        reply: object = self.link.eval(
            scripts.PUT,
            [name, scripts.REVISION_KEY, fence],
            payload,
            f"{record.cost_ns:020d}",
            _spec_text(record.spec),
            invalid_sha1,
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


def _at_least_as_good(incumbent: StoredRecord, challenger: StoredRecord) -> bool:
    return incumbent.spec == challenger.spec and incumbent.cost_ns <= challenger.cost_ns


def _spec_text(spec: SpecCacheKey | None) -> str:
    if spec is None:
        return ""
    return struct.pack(
        "<QQ3IQ", spec.shader_hash, spec.binding_sig, *spec.workgroup_size, spec.spec_hash
    ).hex()


def _number(reply: Any) -> int:
    return int(reply or 0)


def _scan(cursor: int, client: Redis) -> tuple[int, list[AutotuneKey]]:
    # The pattern's braces need no escape, and no other schema's keys match it.
    reply: Any = client.scan(cursor, match=f"{scripts.RECORD_PREFIX}*", count=_SCAN_COUNT)
    following, names = reply
    keys = (scripts.parse_record_key(name) for name in names)
    return int(following), [key for key in keys if key is not None]
