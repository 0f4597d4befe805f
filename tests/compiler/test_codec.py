"""Tables as bytes: what comes back is what went in, and anything else is one error."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import fields

import msgpack
import numpy as np
import pytest
from text_execution import TextResult, execute

from vyre_dist.compiler import (
    PackTables,
    TableFormatError,
    compile_tables,
    decode_tables,
    encode_tables,
)
from vyre_dist.compiler.codec import TABLES_SCHEMA
from vyre_dist.regex import parse

PATTERNS = [
    r"tok_[0-9a-f]{8}\b",
    r"\bx{3}",
    r"(a|b)*",
    r"key\s*=\s*\w{4}",
    "[^\\x00-\\xff]",
    r"k.{0,9}e.{0,9}y[a-c]{9}",
    r"(?m)^[a-z]{9}$",
]


@pytest.fixture(scope="module")
def tables() -> PackTables:
    return compile_tables([parse(pattern).root for pattern in PATTERNS]).tables


def test_round_trip(tables: PackTables) -> None:
    """Every field survives, and the bytes do not depend on which process packs them."""
    blob = encode_tables(tables)
    back = decode_tables(blob)
    for f in fields(PackTables):
        before, after = getattr(tables, f.name), getattr(back, f.name)
        if isinstance(before, np.ndarray):
            assert before.dtype == after.dtype
            assert np.array_equal(before, after)
        else:
            assert before == after
    assert encode_tables(back) == blob
    text = b"a tok_0123abcd xxx key = 12345"
    assert execute(back, text) == execute(tables, text)


def test_compiling_is_deterministic(tables: PackTables) -> None:
    """The same patterns give the same bytes."""
    again = compile_tables([parse(pattern).root for pattern in PATTERNS]).tables
    assert encode_tables(again) == encode_tables(tables)


def digest_of(tables: PackTables) -> str:
    """A hash of all fields' values, independent of how they are packed."""
    hashed = hashlib.sha256()
    for f in fields(PackTables):
        value = getattr(tables, f.name)
        if f.name in ("reasons", "expected_hits"):
            continue  # for people; and a float that another machine may sum in another order
        hashed.update(
            f.name.encode()
            + (value.tobytes() if isinstance(value, np.ndarray) else str(value).encode())
        )
    return hashed.hexdigest()[:16]


def test_other_tables_have_another_schema(tables: PackTables) -> None:
    """What these patterns compile to is what this schema's tables were when it was introduced.

    Caches hold tables by schema: whoever changes what the compiler puts out raises TABLES_SCHEMA,
    or old tables would go on being used, and then writes both here.
    """
    assert (TABLES_SCHEMA, digest_of(tables)) == (11, "1ff91bdb2ad03825")


def test_any_changed_byte_is_noticed(tables: PackTables) -> None:
    """Wherever one byte changes, or the end is missing, the tables are refused."""
    blob = encode_tables(tables)
    for at in range(0, len(blob), max(1, len(blob) // 97)):
        broken = bytearray(blob)
        broken[at] ^= 0x40
        with pytest.raises(TableFormatError):
            decode_tables(bytes(broken))
    for size in (0, 5, 40, len(blob) - 1):
        with pytest.raises(TableFormatError):
            decode_tables(blob[:size])


def sealed(values: dict[str, object]) -> bytes:
    body = zlib.compress(msgpack.packb(values))
    return b"vyre-dist tables\n" + hashlib.sha256(body).digest() + body


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 99},
        {"probes": 1},
        {"grams": b"\0" * 3},
        {"gram_entries": b"\xff" * 8},
        {"always_entries": b"\xff" * 4},
        {"dfa_cells": b""},
        {"reasons": []},
        {"surplus": 1},
        {"bitmap": None},
        {"multiplier": "7"},
        {"stride": True},
        {"reasons": "none"},
    ],
)
def test_other_versions_and_inconsistent_tables(
    tables: PackTables, change: dict[str, object]
) -> None:
    """Another schema, missing fields, and numbers that point outside are refused in spite of a good
    checksum.
    """
    blob = encode_tables(tables)
    values = msgpack.unpackb(zlib.decompress(blob[len(b"vyre-dist tables\n") + 32 :]))
    with pytest.raises(TableFormatError) as caught:
        decode_tables(sealed({**values, **change}))
    assert caught.value.what == "compiled tables"


def test_empty_pack() -> None:
    """No rules at all are tables too."""
    back = decode_tables(encode_tables(compile_tables([]).tables))
    assert execute(back, b"anything") == TextResult([], [], 0)
