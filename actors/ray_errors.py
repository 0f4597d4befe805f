"""How an error of Ray reads in a message of ours."""

from __future__ import annotations

_DETAIL_CHARACTERS = 400


def error_line(error: BaseException) -> str:
    """The error in one line: Ray's messages go over many, and begin with what everybody knows."""
    text = " ".join(str(error).split())
    if len(text) > _DETAIL_CHARACTERS:
        text = f"… {text[-_DETAIL_CHARACTERS:]}"
    return f"{type(error).__name__}: {text}"
