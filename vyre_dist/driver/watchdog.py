"""Watchdog: notices once that nothing has been happening for too long. It has no clock."""

from __future__ import annotations


class Watchdog:
    """Told of every progress and of the time; `stall_seconds` of silence are worth one warning."""

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._now: float | None = None
        self._last_progress = 0.0
        self._warned = False

    def progress(self) -> None:
        """Something was done, at the time that `silence` was last told."""
        self._last_progress = self._now or 0.0
        self._warned = False

    def silence(self, now: float) -> float | None:
        """Seconds without progress, if it is time to speak of them."""
        if self._now is None:
            self._last_progress = now
        self._now = now
        silent = now - self._last_progress
        if silent < self._stall_seconds or self._warned:
            return None
        self._warned = True
        return silent
