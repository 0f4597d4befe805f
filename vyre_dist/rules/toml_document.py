"""A TOML file as a parsed document with its text. Here: the parse, and where its first fault is.

What the keys mean is in toml_pack.py; where each key stands is in toml_spots.py.
"""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Mapping
from typing import NamedTuple

from vyre_dist.rules.diagnostics import TOO_DEEP, Diagnostic, PackError


class TomlDocument(NamedTuple):
    """`values`: the top table. `text`: the file's text, with line ends as tomllib sees them."""

    values: Mapping[str, object]
    text: str


def parse_toml(data: bytes, file: str) -> TomlDocument:
    """The document in `data`. Raises PackError with the position of the first fault."""
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        hint = "this one is UTF-16: save it as UTF-8" if wide else "TOML files are UTF-8"
        raise PackError([Diagnostic(file, line, column, "", message, hint)]) from error
    try:
        return TomlDocument(tomllib.loads(text), text)
    except tomllib.TOMLDecodeError as error:
        line, column = _fault(error, text)
        raise PackError([Diagnostic(file, line, column, "", f"not TOML: {error}")]) from error
    except RecursionError:
        raise PackError(
            [Diagnostic(file, 0, 0, "", TOO_DEEP, "no pack needs more than a few levels")]
        ) from None


def _fault(error: tomllib.TOMLDecodeError, text: str) -> tuple[int, int]:
    """(line, column) of the fault, from 1."""
    # attributes since Python 3.14; before, the text says "(at line 3, column 7)" or "(at end of
    # document)"
    line, column = getattr(error, "lineno", None), getattr(error, "colno", None)
    if isinstance(line, int) and isinstance(column, int):
        return line, column
    words = str(error).rstrip(")").replace(",", "").split()
    if "line" in words[-4:] and words[-1].isdigit() and words[-3].isdigit():
        return int(words[-3]), int(words[-1])
    return text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
