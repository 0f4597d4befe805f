"""Strings and numbers as JSON writes them, in ASCII, for records that are put together by hand."""

from __future__ import annotations

import base64
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted

__all__ = ["Rounded", "quoted", "quoted_bytes"]

_MOST = 1 << 14


def quoted_bytes(data: bytes) -> tuple[str, str | None]:
    """(the string of `data`, None), or (with replacements, base64) where it is no UTF-8."""
    try:
        return quoted(data.decode()), None
    except UnicodeDecodeError:
        exact = base64.b64encode(data).decode("ascii")
        return quoted(data.decode("utf-8", "replace")), exact


class Rounded(dict[float, str]):
    """Entropies as texts of six digits, each made once: there are few different ones. `write`: how
    JSON has it.
    """

    def __init__(self, write: Callable[[float], str] = lambda entropy: repr(round(entropy, 6))):
        super().__init__()
        self._write = write

    def __missing__(self, entropy: float) -> str:
        if len(self) >= _MOST:
            self.clear()
        text = self._write(entropy)
        if entropy:  # 0.0 and -0.0 are one key, but two texts
            self[entropy] = text
        return text
