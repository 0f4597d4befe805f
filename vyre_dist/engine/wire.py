"""What driver and workers send each other: arrays, numbers and texts, each checked when it is read.

What does not fit is a ValueError, of which a codec makes a WireError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from vyre_dist.errors import VyreError

Wire: TypeAlias = Sequence[object]
"""What msgpack packs as an array."""


class WireError(VyreError):
    """Bytes that are no task or result of this version."""

    def __init__(self, what: str, found: str) -> None:
        super().__init__(
            f"cannot read a {what}: {found}; driver and workers must run the same version of "
            "vyre-dist"
        )
        self.what = what


def array_of(value: object) -> Wire:
    """An array that was sent. Raises ValueError, as all here do."""
    if isinstance(value, tuple | list):
        return value
    raise ValueError(f"{value!r:.60} where an array belongs")


def fields_of(value: object, count: int) -> Wire:
    """An array of so many values."""
    fields = array_of(value)
    if len(fields) != count:
        raise ValueError(f"{len(fields)} values where {count} belong")
    return fields


def number_of(value: object) -> int:
    """A number from 0 on."""
    if type(value) is int and value >= 0:
        return value
    raise ValueError(f"{value!r:.60} where a number from 0 on belongs")


def numbers_of(value: object, count: int | None = None) -> tuple[int, ...]:
    """An array of them, `count` if that is given."""
    values = array_of(value) if count is None else fields_of(value, count)
    return tuple(map(number_of, values))


def text_of(value: object) -> str:
    """A text."""
    if isinstance(value, str):
        return value
    raise ValueError(f"{value!r:.60} where a text belongs")
