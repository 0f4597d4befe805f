"""Sizes on the command line: 65536, 64K, 64KiB, 1.5G."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_MOST = 1 << 63

# click's older versions, which are allowed, know no type arguments here
if TYPE_CHECKING:
    _IntType = click.ParamType[int]
else:
    _IntType = click.ParamType


class SizeType(_IntType):
    """A click parameter type for byte counts; K, M, G and T are powers of 1024, as are KiB and
    KB.
    """

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes as an int; a value that is one already is passed through (a default)."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", str(value).strip().lower())
        if found is None:
            self.fail(
                f"{value!r} is no size: write a number of bytes, or one with K, M, G or T, such as "
                "64K",
                param,
                ctx,
            )
        size = float(found[1]) * (1 << _UNITS[found[2]])
        if size >= _MOST:
            self.fail(
                f"{value!r:.30} is more than any file has: write a smaller number", param, ctx
            )
        return int(size)


SIZE = SizeType()
