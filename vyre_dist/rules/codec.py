"""PackData as bytes, and back: how a pack travels to a worker on another machine.

The bytes are msgpack of plain values. Every field is checked against the type that model.py
declares, so that a driver and a worker of different versions notice it. What people write is read
by the formats (formats.py).
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgpack

from vyre_dist.errors import VyreError
from vyre_dist.rules.model import PackData

SCHEMA = 1


class PackCodecError(VyreError):
    """Bytes that are no pack of this version: `found` says what is wrong with field `where`."""

    def __init__(self, where: str, found: str) -> None:
        super().__init__(
            f"cannot read a pack: {where}: {found}; driver and workers must run the same version "
            "of vyre-dist"
        )
        self.where = where
        self.found = found


def encode_pack(pack: PackData) -> bytes:
    """`pack` with everything in it, origins and examples included."""
    # an origin's file name may hold bytes that are no UTF-8
    packed: bytes = msgpack.packb([SCHEMA, _plain(pack)], unicode_errors="surrogateescape")
    return packed


def decode_pack(data: bytes) -> PackData:
    """The inverse of encode_pack. Raises PackCodecError."""
    try:
        body = msgpack.unpackb(data, unicode_errors="surrogateescape", strict_map_key=True)
    except (ValueError, msgpack.UnpackException) as error:
        raise PackCodecError("the whole", str(error) or type(error).__name__) from error
    if not isinstance(body, list) or len(body) != 2 or body[0] != SCHEMA:
        found = body[0] if isinstance(body, list) and body else body
        raise PackCodecError("the whole", f"schema {found!r:.80}, not {SCHEMA}")
    pack = _read_record(PackData, body[1], "pack")
    assert isinstance(pack, PackData)  # noqa: S101 - what _read_record promises, for the type checker
    return pack


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _read_record(cls: type, value: Any, where: str) -> Any:
    """`value`, a map, as an instance of the dataclass `cls`: no field more, none less."""
    readers = _readers(cls)
    if type(value) is not dict:
        raise PackCodecError(where, f"a map was expected, not {_kind(value)}")
    if value.keys() != readers.keys():
        odd = ", ".join(sorted(map(str, value.keys() ^ readers.keys())))
        raise PackCodecError(where, f"fields that only one side knows: {odd}")
    return cls(**{name: reader(value[name], f"{where}.{name}") for name, reader in readers.items()})


_Reader = Callable[[Any, str], Any]


@cache
def _readers(cls: type) -> dict[str, _Reader]:
    return {name: _reader(hint) for name, hint in get_type_hints(cls).items()}


def _reader(hint: Any) -> _Reader:
    """What checks and converts a value of the declared type `hint`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return lambda value, where: _read_record(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        read_item = _reader(arguments[0])
        return lambda value, where: _read_items(read_item, value, where)
    if origin is Literal:
        return lambda value, where: _one_of(arguments, value, where)
    if origin in (Union, types.UnionType):
        (inner,) = [a for a in arguments if a is not types.NoneType]
        present = _reader(inner)
        return lambda value, where: None if value is None else present(value, where)
    # a threshold that was written as a whole number stays one: the content hash tells 3 from 3.0
    allowed = (float, int) if hint is float else (hint,)
    return lambda value, where: _scalar(allowed, value, where)


def _read_items(reader: _Reader, value: Any, where: str) -> tuple[Any, ...]:
    if type(value) is not list:
        raise PackCodecError(where, f"a list was expected, not {_kind(value)}")
    return tuple([reader(item, f"{where}[{i}]") for i, item in enumerate(value)])


def _one_of(allowed: tuple[Any, ...], value: Any, where: str) -> Any:
    if type(value) is not str or value not in allowed:
        raise PackCodecError(where, f"one of {', '.join(allowed)} was expected, not {value!r:.80}")
    return value


def _scalar(allowed: tuple[type, ...], value: Any, where: str) -> Any:
    # not isinstance: True is an int
    if type(value) not in allowed:
        raise PackCodecError(where, f"{allowed[0].__name__} was expected, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
