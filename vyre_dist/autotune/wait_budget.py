"""WaitBudget: how long all who share it wait for stores, in sum."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

# What a scan may lose to a store that misbehaves.
WAIT_S = 0.3


class WaitBudget:
    """`total_s` seconds of waiting, in all. `clock` gives seconds, monotonic. Thread-safe.

    What two threads wait at the same time counts twice.
    """

    def __init__(
        self, total_s: float = WAIT_S, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._left_s = total_s
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def left_s(self) -> float:
        """At least 0."""
        with self._lock:
            return max(0.0, self._left_s)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[float]:
        """For the block that waits: gives the seconds that it may, and takes those that it did."""
        started = self._clock()
        try:
            yield self.left_s
        finally:
            with self._lock:
                self._left_s -= self._clock() - started
