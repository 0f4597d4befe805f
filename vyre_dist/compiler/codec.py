"""PackTables as bytes and back: a msgpack map of plain values with a schema and a checksum.

Whatever is wrong with stored tables is a TableFormatError; to a cache it is a miss. Where they are
stored is decided in program/pack_tables.py.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import fields
from typing import Any, TypeVar

import msgpack
import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.errors import TableFormatError
from vyre_dist.compiler.probes import MAX_PROBES
from vyre_dist.compiler.tables import (
    AUTOMATON_DTYPE,
    EDGE_PASSES,
    ENTRY_DTYPE,
    RUN_DTYPE,
    PackTables,
)

T = TypeVar("T")

TABLES_SCHEMA = 11
"""Raised whenever the compiler's output or its layout changes; part of the key of stored tables."""

_MAGIC = b"vyre-dist tables\n"
_WHAT = "compiled tables"
# Field -> (dtype, elements of a row); the other fields are plain values.
_ARRAYS: dict[str, tuple[np.dtype[Any], int]] = {
    "routes": (np.dtype("u1"), 0),
    "backs": (np.dtype("<u4"), 0),
    "widths": (np.dtype("<u4"), 0),
    "grams": (np.dtype("<u4"), 0),
    "gram_starts": (np.dtype("<u4"), 0),
    "gram_entries": (np.dtype("<u4"), 0),
    "entries": (ENTRY_DTYPE, 0),
    "always_entries": (np.dtype("<u4"), 0),
    "bitmap": (np.dtype("u1"), 0),
    "runs": (RUN_DTYPE, 0),
    "probe_classes": (np.dtype("u1"), 32),
    "automata": (AUTOMATON_DTYPE, 0),
    "byte_maps": (np.dtype("u1"), 257),
    "dfa_cells": (np.dtype("<u2"), 0),
    "nfa_words": (np.dtype("<u8"), 0),
}


def table_layout() -> tuple[str, ...]:
    """How a program reads the arrays: names, types and row lengths, in the order of the fields."""
    arrays = tuple(f"{name} {dtype.descr} {row}" for name, (dtype, row) in _ARRAYS.items())
    return (*arrays, f"{MAX_PROBES} probes", f"edge passes {EDGE_PASSES}")


def encode_tables(tables: PackTables) -> bytes:
    """The tables as bytes for decode_tables; the same tables give the same bytes everywhere."""
    values: dict[str, object] = {"schema": TABLES_SCHEMA, "probes": MAX_PROBES}
    for f in fields(PackTables):
        value = getattr(tables, f.name)
        if f.name in _ARRAYS:
            value = np.ascontiguousarray(value, _ARRAYS[f.name][0]).tobytes()
        values[f.name] = value
    body = zlib.compress(msgpack.packb(values), 1)
    return _MAGIC + hashlib.sha256(body).digest() + body


def tables_digest(tables: PackTables) -> str:
    """A hash of what is in the tables, and of nothing else, such as a version."""
    hashed = hashlib.sha256()
    for f in fields(PackTables):
        value = getattr(tables, f.name)
        plain = (
            np.ascontiguousarray(value, _ARRAYS[f.name][0]).tobytes()
            if f.name in _ARRAYS
            else msgpack.packb(value)
        )
        hashed.update(f"{f.name} {len(plain)}\n".encode())
        hashed.update(plain)
    return hashed.hexdigest()


def decode_tables(blob: bytes) -> PackTables:
    """The tables that encode_tables stored. Their arrays are read-only.

    Raises:
        TableFormatError: the bytes are damaged, of another version, or don't fit together.
    """
    head = len(_MAGIC) + 32
    body = blob[head:]
    if not blob.startswith(_MAGIC):
        raise TableFormatError(_WHAT, "the magic bytes are missing")
    if hashlib.sha256(body).digest() != blob[len(_MAGIC) : head]:
        raise TableFormatError(_WHAT, "the checksum does not fit")
    try:
        values = msgpack.unpackb(zlib.decompress(body), strict_map_key=True)
        schema, probes = values["schema"], values["probes"]
        if (schema, probes) != (TABLES_SCHEMA, MAX_PROBES):
            raise TableFormatError(
                _WHAT,
                f"schema {schema!r} with {probes!r} probes, not {TABLES_SCHEMA} with {MAX_PROBES}",
            )
        odd = values.keys() ^ {"schema", "probes", *(f.name for f in fields(PackTables))}
        if odd:
            raise TableFormatError(_WHAT, f"fields that only one side knows: {', '.join(odd)}")
        tables = PackTables(
            reasons=_texts(values["reasons"]),
            multiplier=_plain(int, values["multiplier"]),
            expected_hits=_plain(float, values["expected_hits"]),
            stride=_plain(int, values["stride"]),
            **{name: _array(name, values[name]) for name in _ARRAYS},
        )
    except (
        zlib.error,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        msgpack.UnpackException,
    ) as error:
        raise TableFormatError(_WHAT, f"it can't be read ({error})") from error
    _check(tables)
    return tables


def _plain(kind: type[T], value: object) -> T:
    # not isinstance: True is an int
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} where {kind.__name__} belongs")
    return value


def _texts(value: object) -> tuple[str, ...]:
    texts = tuple(_plain(list, value))
    if set(map(type, texts)) - {str}:
        raise TypeError("a list of texts holds something else")
    return texts


def _array(name: str, value: object) -> npt.NDArray[Any]:
    dtype, row = _ARRAYS[name]
    array = np.frombuffer(_plain(bytes, value), dtype)
    return array.reshape(-1, row) if row else array


def _check(tables: PackTables) -> None:
    """Raise TableFormatError if a number in the tables points outside of them: no kernel checks."""
    automata, entries = tables.automata, tables.entries
    used = np.concatenate((entries["forward"], entries["backward"]))
    used = used[used != 0xFFFF_FFFF]
    tabled = automata[automata["is_nfa"] == 0].astype(
        [(name, np.int64) for name in AUTOMATON_DTYPE.names or ()]
    )
    words = automata[automata["is_nfa"] == 1].astype(tabled.dtype)
    ends = tabled["base"] + tabled["states"] * tabled["columns"]
    word_ends = words["base"] + (words["states"] + 2 * words["columns"]) * words["words"]
    sound = (
        tables.routes.size == tables.backs.size == tables.widths.size == len(tables.reasons)
        and tables.gram_starts.size == tables.grams.size + 1
        and _below(tables.gram_starts, tables.gram_entries.size + 1)
        and _below(tables.gram_entries, entries.size)
        and _below(tables.always_entries, entries.size)
        and _below(entries["rule"], tables.routes.size)
        and _below(entries["probe_class"] & (EDGE_PASSES - 1), len(tables.probe_classes))
        and _below(tables.runs["rule"], tables.routes.size)
        and _below(tables.runs["byte_class"], len(tables.probe_classes))
        and _below(used, automata.size)
        and _below(automata["byte_map"], len(tables.byte_maps))
        and _below(ends, tables.dfa_cells.size + 1)
        and _below(word_ends, tables.nfa_words.size + 1)
    )
    if not sound:
        raise TableFormatError(_WHAT, "its arrays don't fit together")


def _below(values: np.ndarray[Any, Any], limit: int) -> bool:
    return bool(np.all(values < limit))
