"""ReplyTimes: how long to wait for a server, from how long it took so far."""

from __future__ import annotations

import threading

# Before anything is known.
FIRST_S = 0.2
# A near server on a busy machine takes as long now and then.
FLOOR_S = 0.1
# Whoever waits longer has no use for the answer.
CEILING_S = 1.0
_WEIGHT, _SPREAD_WEIGHT, _SPREADS = 1 / 8, 1 / 4, 4


class ReplyTimes:
    """The time-out of one server: its mean round trip and four mean deviations, as TCP has it.

    A time-out doubles it until an answer comes, so that a server that is farther away than the
    first guess is reached in the end. Thread-safe.
    """

    def __init__(self) -> None:
        self._mean_s: float | None = None
        self._spread_s = 0.0
        self._timeout_s = FIRST_S
        self._lock = threading.Lock()

    @property
    def timeout_s(self) -> float:
        """For a round trip: FLOOR_S to CEILING_S."""
        return self._timeout_s

    @property
    def mean_s(self) -> float | None:
        """The mean round trip; None: none was measured."""
        return self._mean_s

    def measured(self, seconds: float) -> None:
        with self._lock:
            if self._mean_s is None:
                self._mean_s, self._spread_s = seconds, seconds / 2
            else:
                off = abs(seconds - self._mean_s)
                self._spread_s += _SPREAD_WEIGHT * (off - self._spread_s)
                self._mean_s += _WEIGHT * (seconds - self._mean_s)
            wanted = self._mean_s + _SPREADS * self._spread_s
            self._timeout_s = min(max(wanted, FLOOR_S), CEILING_S)

    def timed_out(self) -> None:
        with self._lock:
            self._timeout_s = min(self._timeout_s * 2, CEILING_S)
