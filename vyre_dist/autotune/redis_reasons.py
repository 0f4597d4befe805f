"""Why a Redis server was of no use, in one line: its own words where it gave any, and never a
password.

With redis_link.py, the only file that imports redis.
"""

from __future__ import annotations

import socket
from typing import Any

import redis
from redis._parsers import _RESP2Parser
from redis._parsers.socket import SERVER_CLOSED_CONNECTION_ERROR

from vyre_dist.autotune.redis_target import NOT_REDIS, RedisTarget

_PLAIN, _TLS = "redis://…", "rediss://…"
_LONGEST = 200
# shorter parts of a password than these are words of every message
_SHORTEST_PART = 4
_MASK = "***"
# Redis repeats the arguments of a command that it does not know, and AUTH may be one
_ARGUMENTS = "with args beginning with"


class VerbatimParser(_RESP2Parser):
    """redis-py's parser, whose errors keep the server's whole line as `line`, with its code."""

    @classmethod
    def parse_error(cls, response: str) -> Any:
        error: Any = super().parse_error(response)  # type: ignore[no-untyped-call]
        error.line = response
        return error


def reason_of(error: BaseException, target: RedisTarget, *, ask_s: float = 0.0) -> str:
    """The reason for `error`, which came of asking the server at `target`.

    `ask_s`: how long a server that closed the connection may be listened to once more: one that
    lets nobody in (protected mode, too many clients) says so at once and unasked, which redis-py
    does not read.
    """
    line = getattr(error, "line", None)
    if line is not None:
        reason = str(line)
    elif isinstance(error, (redis.TimeoutError, TimeoutError)):
        hint = f"; one without TLS never would: {_PLAIN}" if target.tls else ""
        reason = f"it did not answer in time{hint}"
    elif isinstance(error, redis.InvalidResponse):
        reason = f"{NOT_REDIS} ({error})"
    elif isinstance(error, (redis.ConnectionError, OSError)) and _closed_by_server(error):
        reason = _unasked_reply(target, ask_s) or f"it closed the connection{_closing_hint(target)}"
    elif isinstance(error, (redis.RedisError, OSError)):
        reason = str(error) or type(error).__name__
    else:
        reason = NOT_REDIS
    return _shown(reason, target)


def _closed_by_server(error: BaseException) -> bool:
    """Whether the server took the connection and then ended it."""
    causes = (error, error.__cause__, error.__context__)
    reset = any(isinstance(cause, (ConnectionResetError, BrokenPipeError)) for cause in causes)
    # redis-py tells these apart by their texts alone; an unknown one is told as it is
    return reset or str(error) in (SERVER_CLOSED_CONNECTION_ERROR, "Connection not ready")


def _closing_hint(target: RedisTarget) -> str:
    return "" if target.tls or target.path else f"; one that wants TLS does so: {_TLS}"


def _unasked_reply(target: RedisTarget, wait_s: float) -> str:
    """What the server says, unasked, to whoever connects; "" for nothing."""
    if target.tls or not wait_s:
        return ""
    try:
        with socket.socket(socket.AF_UNIX) if target.path else socket.socket() as client:
            client.settimeout(wait_s)
            client.connect(target.path or (target.host, target.port))
            data = client.recv(4096)
    except OSError:
        return ""
    return data[1:].decode("utf-8", "replace") if data.startswith(b"-") else ""


def _shown(text: str, target: RedisTarget) -> str:
    """`text` on one line, without the password or the greater part of one, and not too long."""
    head, found, _ = text.partition(_ARGUMENTS)
    text = " ".join((head.rstrip(", ") if found else text).split())
    if target.password:
        text = _masked(text, target.password)
        # as Python shows what is not printable
        text = _masked(text, repr(target.password)[1:-1])
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _masked(text: str, secret: str) -> str:
    """`text` without `secret`, nor the parts of it that a server may have cut off."""
    text = text.replace(secret, _MASK)
    for size in range(len(secret) - 1, _SHORTEST_PART - 1, -1):
        for part in (secret[:size], secret[-size:]):
            text = text.replace(part, _MASK)
    return text
