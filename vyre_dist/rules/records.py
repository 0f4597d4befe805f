"""Records: frozen dataclasses as plain values for msgpack, and back with every field checked.

What is stored or sent names its own schema and version; that is for the callers (codec.py,
program/packs.py, program/compiled.py).
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Literal, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from vyre_dist.errors import VyreError

T = TypeVar("T")

Reader: TypeAlias = Callable[[object, str], object]
"""(value, where it was found) -> the value, checked and converted. Raises RecordError."""


class RecordError(VyreError):
    """A value is not what the dataclass declares: `found` says what is wrong at `where`."""

    def __init__(self, where: str, found: str) -> None:
        super().__init__(f"{where}: {found}")
        self.where = where
        self.found = found

    def __reduce__(self) -> tuple[type[RecordError], tuple[str, str]]:
        return type(self), (self.where, self.found)


def plain(value: object) -> object:
    """`value` with maps for its dataclasses and lists for its tuples."""
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def read_record(cls: type[T], value: object, where: str) -> T:
    """`value`, a map, as an instance of the dataclass `cls`: no field more, none less.

    Raises:
        RecordError: a field is missing, unknown, or of another type.
    """
    readers = _readers(cast(type, cls))
    if type(value) is not dict:
        raise RecordError(where, f"a map was expected, not {_kind(value)}")
    if value.keys() != readers.keys():
        odd = ", ".join(sorted(map(str, value.keys() ^ readers.keys())))
        raise RecordError(where, f"fields that only one side knows: {odd}")
    return cls(**{name: reader(value[name], f"{where}.{name}") for name, reader in readers.items()})


def read_records(cls: type[T], value: object, where: str) -> tuple[T, ...]:
    """The same for a list of maps."""
    if type(value) is not list:
        raise RecordError(where, f"a list was expected, not {_kind(value)}")
    return tuple([read_record(cls, item, f"{where}[{i}]") for i, item in enumerate(value)])


@cache
def _readers(cls: type) -> dict[str, Reader]:
    return {name: _reader(hint) for name, hint in get_type_hints(cls).items()}


def _reader(hint: object) -> Reader:
    """What checks and converts a value of the declared type `hint`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return lambda value, where: read_record(cast("type[object]", hint), value, where)
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
    allowed = (float, int) if hint is float else (cast("type[object]", hint),)
    return lambda value, where: _scalar(allowed, value, where)


def _read_items(reader: Reader, value: object, where: str) -> tuple[object, ...]:
    if type(value) is not list:
        raise RecordError(where, f"a list was expected, not {_kind(value)}")
    return tuple([reader(item, f"{where}[{i}]") for i, item in enumerate(value)])


def _one_of(allowed: tuple[str, ...], value: object, where: str) -> str:
    if type(value) is not str or value not in allowed:
        raise RecordError(where, f"one of {', '.join(allowed)} was expected, not {value!r:.80}")
    return value


def _scalar(allowed: tuple[type[object], ...], value: object, where: str) -> object:
    # not isinstance: True is an int
    if type(value) not in allowed:
        raise RecordError(where, f"{allowed[0].__name__} was expected, not {_kind(value)}")
    return value


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
