"""What a child says: messages of a kind, with bytes or text."""

from __future__ import annotations

from typing import NamedTuple

READY = "ready"
"""It has loaded what it needs."""
REFUSED = "refused"
"""It can't be of use, for the reason in the text, which others in its place would meet too."""
UNUSABLE = "unusable"
"""It ends, for the reason in the text; another one in its place may do better."""
DONE = "done"
"""The answer to what it was told."""
FAILED = "failed"
"""What it was told could not be done, for the reason in the text. It lives on."""

_LONGEST_KIND = 32


class Message(NamedTuple):
    """`kind`: "" of bytes that are no message. `body`: what it means depends on the kind."""

    kind: str
    body: memoryview

    @property
    def text(self) -> str:
        """The body of a message with a text."""
        return bytes(self.body).decode(errors="surrogateescape")


def message(kind: str, body: bytes = b"") -> bytes:
    """A message as it is sent. `kind`: a word."""
    return b"%b %b" % (kind.encode(), body)


def text_message(kind: str, text: str) -> bytes:
    """The same with a text, which may hold paths that are no UTF-8."""
    return message(kind, text.encode(errors="surrogateescape"))


def read_message(data: bytes) -> Message:
    """The inverse of both; nothing is copied."""
    at = data.find(b" ", 0, _LONGEST_KIND + 1)
    return Message(data[: max(at, 0)].decode(errors="replace"), memoryview(data)[at + 1 :])
