"""A socket wrapper that bounds a whole reply, where time-outs bound only each read of it."""

from __future__ import annotations

import time
from typing import Any

from vyre_dist.autotune.reply_times import ReplyTimes

# A server that trickles bytes meets every single time-out; the whole reply has this long,
REPLY_DEADLINE_S = 0.6
# ... or so many time-outs, where that is more.
_REPLY_TIMEOUTS = 3
# ... and one that streams without end has this much.
REPLY_BYTES = 32 * 1024 * 1024


class BoundedSocket:
    """A socket whose replies are bounded in bytes and, given `times`, in time, from the last send.

    `times` learns how long the first bytes of each reply took.
    """

    def __init__(self, sock: Any, times: ReplyTimes | None) -> None:
        self._sock = sock
        self._times = times
        self._blocking = True
        self._begin()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, seconds: float | None) -> None:
        # 0 asks whether anything has come; any other time-out is ours to say
        self._blocking = seconds != 0
        self._sock.settimeout(seconds)

    def _begin(self) -> None:
        self._started = time.monotonic()
        self._answered = False
        self._left = REPLY_BYTES

    def sendall(self, data: Any) -> None:
        self._begin()
        self._sock.sendall(data)

    def recv(self, size: int, flags: int = 0) -> bytes:
        self._limit_time()
        try:
            data: bytes = self._sock.recv(size, flags) if flags else self._sock.recv(size)
        except TimeoutError:
            self._timed_out()
            raise
        self._count(len(data))
        return data

    def recv_into(self, buffer: Any) -> int:
        self._limit_time()
        try:
            size: int = self._sock.recv_into(buffer)
        except TimeoutError:
            self._timed_out()
            raise
        self._count(size)
        return size

    def _limit_time(self) -> None:
        if self._times is None or not self._blocking:
            return
        timeout_s = self._times.timeout_s
        spent = time.monotonic() - self._started
        left = max(REPLY_DEADLINE_S, _REPLY_TIMEOUTS * timeout_s) - spent
        if left <= 0:
            raise TimeoutError("the reply took too long")
        self._sock.settimeout(min(timeout_s, left))

    def _timed_out(self) -> None:
        if self._times is not None and self._blocking and not self._answered:
            self._times.timed_out()

    def _count(self, size: int) -> None:
        if self._times is not None and self._blocking and not self._answered:
            self._answered = True
            self._times.measured(time.monotonic() - self._started)
        self._left -= size
        if self._left < 0:
            raise ConnectionError("the reply is too large")
