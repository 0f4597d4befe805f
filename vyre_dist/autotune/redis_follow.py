"""Follows what other workers publish on a server.

Pub/sub is prompt, and the revision number tells what it lost.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vyre_dist.autotune import redis_scripts as scripts
from vyre_dist.autotune.record import Place
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.redis_target import ServerUnavailableError
from vyre_dist.autotune.store import StoreClosedError

if TYPE_CHECKING:
    from vyre_dist.autotune.redis_link import Subscription

CHECK_S = 5.0
_LOOK_S = 0.2

OnChange = Callable[[Place | None], None]


def follow(
    store: RedisStore, stop: threading.Event, on_change: OnChange, *, check_s: float = CHECK_S
) -> None:
    """Call `on_change` with each place that changes on the server, until `stop` is set.

    None instead of a place: anything may have changed (at the start, after a reconnect, after lost
    messages). Pub/sub loses messages, so the revision is compared every `check_s` seconds as well,
    which also notices a server that hangs. Faults are counted by the store; then it tries again
    after `check_s`.
    """
    while not stop.is_set():
        # Closed or out of reach: the loop's own conditions say what to do about it.
        with (
            contextlib.suppress(ServerUnavailableError, StoreClosedError),
            store.subscribed() as subscription,
        ):
            _follow_once(store, stop, on_change, subscription, check_s)
        stop.wait(check_s)


def _follow_once(
    store: RedisStore,
    stop: threading.Event,
    on_change: OnChange,
    subscription: Subscription,
    check_s: float,
) -> None:
    # The revision is read after the subscription stands, so that nothing falls between the two.
    seen = store.revision()
    on_change(None)
    checked = time.monotonic()
    while not stop.is_set():
        message = subscription.next(min(_LOOK_S, check_s))
        if message is not None:
            revision, name = message
            lost = revision > seen + 1
            seen = max(seen, revision)
            on_change(None if lost else scripts.parse_record_key(name))
        elif time.monotonic() - checked > check_s:
            checked = time.monotonic()
            now = store.revision()
            if now != seen:
                seen = now
                on_change(None)
