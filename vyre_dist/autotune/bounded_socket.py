"""A socket wrapper that bounds a whole reply, where time-outs bound only each read of it."""

from __future__ import annotations

import time
from typing import Any

# A server that trickles bytes meets every single time-out; the whole reply has this long.
REPLY_DEADLINE_S = 0.6
# ... and one that streams without end has this much.
REPLY_BYTES = 32 * 1024 * 1024


class BoundedSocket:
    """A socket whose replies are bounded in bytes and, if asked, in time, from the last send on."""

    def __init__(self, sock: Any, deadline_s: float | None) -> None:
        self._sock = sock
        self._deadline_s = deadline_s
        self._begin()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def _begin(self) -> None:
        self._started = time.monotonic()
        self._left = REPLY_BYTES

    def sendall(self, data: Any) -> None:
        self._begin()
        self._sock.sendall(data)

    def recv(self, size: int, flags: int = 0) -> bytes:
        self._check_time()
        data: bytes = self._sock.recv(size, flags) if flags else self._sock.recv(size)
        self._count(len(data))
        return data

    def recv_into(self, buffer: Any) -> int:
        self._check_time()
        size: int = self._sock.recv_into(buffer)
        self._count(size)
        return size

    def _check_time(self) -> None:
        if self._deadline_s is not None and time.monotonic() - self._started > self._deadline_s:
            raise TimeoutError("the reply took too long")

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ConnectionError("the reply is too large")
