"""A circuit breaker: after a failure, leave the other side alone for a while, then try once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0


class CircuitBreaker:
    """Closed: every call may go. Open: none. Half open, once the pause is over: one call may go.

    That call's result closes the breaker or doubles the pause. `clock` gives seconds, monotonic.
    Thread-safe.
    """

    def __init__(
        self,
        *,
        first_pause_s: float = FIRST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._clock = clock
        self._pause_s = first_pause_s
        self._open_until: float | None = None
        self._trial_running = False
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the last call failed and no later one has succeeded."""
        return self._open_until is not None

    def allow(self) -> bool:
        """Whether the caller may try now. Who is told True must report `succeeded` or `failed`."""
        with self._lock:
            if self._open_until is None:
                return True
            if self._trial_running or self._clock() < self._open_until:
                return False
            self._trial_running = True
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._open_until = None
            self._pause_s = self._first_pause_s
            self._trial_running = False

    def failed(self) -> None:
        with self._lock:
            # Calls that were under way when the breaker opened must not lengthen the pause one
            # after another.
            if self._open_until is None or self._trial_running:
                if self._trial_running:
                    self._pause_s = min(self._pause_s * 2, self._longest_pause_s)
                self._open_until = self._clock() + self._pause_s
            self._trial_running = False
