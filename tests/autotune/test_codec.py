"""The bytes of records: round trip, and suspicion towards everything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.autotune.codec import MAX_RECORD_BYTES, InvalidRecordError, decode, encode
from vyre_dist.autotune.record import LoserTiming, Provenance, StoredRecord
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey
from vyre_dist.dispatch.race import VariantTiming
from vyre_dist.errors import UsageError

Make = Callable[..., StoredRecord]

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
dim3 = st.tuples(u32, u32, u32)
text = st.text(st.characters(codec="utf-8"), max_size=20).filter(str.isprintable)
name = text.filter(bool)
date = st.dates().map(lambda day: day.isoformat()) | st.just("")
timings = st.builds(VariantTiming, u64, u64)
specs = st.builds(SpecCacheKey, u64, u64, dim3, u64)


@st.composite
def stored_records(draw: st.DrawFn) -> StoredRecord:
    spec = draw(specs)
    versions = tuple(sorted(draw(st.dictionaries(name, text, max_size=5)).items()))
    return StoredRecord(
        key=AutotuneKey.of(spec, draw(name)),
        record=draw(st.builds(AutotuneRecord, dim3, u32, dim3, date)),
        spec=draw(st.sampled_from([spec, None])),
        timing=draw(st.none() | timings),
        losers=tuple(draw(st.lists(st.builds(LoserTiming, name, timings), max_size=4))),
        threshold_pct=draw(st.none() | st.integers(0, 100)),
        provenance=Provenance(versions, draw(text), draw(date)),
    )


@given(stored_records())
def test_round_trip(record: StoredRecord) -> None:
    """Every record comes back equal, and equal records are equal bytes."""
    payload = encode(record)
    assert decode(payload) == record
    assert encode(decode(payload)) == payload


@given(stored_records(), st.data())
def test_damaged_bytes_are_a_record_or_invalid(record: StoredRecord, data: st.DataObject) -> None:
    """Bytes changed, cut or added never raise anything but InvalidRecordError."""
    payload = bytearray(encode(record))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payload)))
        payload[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        found = decode(bytes(payload))
    except InvalidRecordError:
        return
    assert isinstance(found, StoredRecord)
    assert found.spec is None or AutotuneKey.of(found.spec, found.key.adapter_id) == found.key


@given(st.binary(max_size=200))
def test_noise_is_invalid(noise: bytes) -> None:
    """Random bytes are no record."""
    with pytest.raises(InvalidRecordError):
        decode(noise)


def fields_of(record: StoredRecord) -> dict[str, Any]:
    fields: dict[str, Any] = msgpack.unpackb(encode(record))
    return fields


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", 2),
        ("schema", True),
        ("schema", 1.0),
        ("schema", None),
        ("key", "0" * 32),
        ("key", b"0" * 32),
        ("key", None),
        ("adapter", ""),
        ("adapter", "a\x00b"),
        ("adapter", 7),
        ("spec", [1, 2, [64, 1, 1]]),
        ("spec", [1, 2, [64, 1, 1], 4]),
        ("spec", {"shader_hash": 1}),
        ("spec", False),
        ("spec", [-1, 2, [64, 1, 1], 3]),
        ("record", None),
        ("record", [[64, 1, 1], 4, [0, 0, 0]]),
        ("record", [[64, 1], 4, [0, 0, 0], ""]),
        ("record", [[64, 1, 2**32], 4, [0, 0, 0], ""]),
        ("record", [[64, 1, 1], True, [0, 0, 0], ""]),
        ("record", [[64, 1, 1], 4.0, [0, 0, 0], ""]),
        ("record", [[64, 1, 1], 4, [0, 0, 0], "yesterday"]),
        ("record", [["64", 1, 1], 4, [0, 0, 0], ""]),
        ("timing", [1]),
        ("timing", [1, -2]),
        ("timing", "12"),
        ("timing", 0),
        ("losers", None),
        ("losers", [["x", 1]]),
        ("losers", [["", 1, 2]]),
        ("losers", ["abc"]),
        ("losers", [["x", 1, 2]] * 65),
        ("threshold_pct", 101),
        ("threshold_pct", -1),
        ("threshold_pct", 15.0),
        ("versions", [["b", "1"], ["a", "1"]]),
        ("versions", [["a", "1"], ["a", "2"]]),
        ("versions", [["a", 1]]),
        ("versions", {"a": "1"}),
        ("versions", [[f"{i:02}", ""] for i in range(33)]),
        ("host", None),
        ("host", "a\nb"),
        ("host", "h" * 129),
        ("date", "2026-02-30"),
        ("date", 20260502),
        ("extra", 1),
    ],
)
def test_wrong_fields_are_invalid(make_record: Make, field: str, value: object) -> None:
    """A field of the wrong type, range or number makes the whole record invalid."""
    with pytest.raises(InvalidRecordError) as caught:
        decode(msgpack.packb(fields_of(make_record()) | {field: value}))
    assert caught.value.reason


def test_missing_fields_are_invalid(make_record: Make) -> None:
    """Every field is required."""
    fields = fields_of(make_record())
    for field in fields:
        with pytest.raises(InvalidRecordError):
            decode(msgpack.packb({k: v for k, v in fields.items() if k != field}))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        msgpack.packb(None),
        msgpack.packb([1, 2]),
        msgpack.packb({1: 2}),
        msgpack.packb({b"": 1, "schema": 1}),
        msgpack.packb(msgpack.ExtType(5, b"x")),
        msgpack.packb(msgpack.Timestamp(1)),
        b"\x91" * 2000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xa2\xff\xfe",
        b"\x82\xa1a\x01\xa1a\x02",
        b"\xc1",
        b"\x80" + bytes(MAX_RECORD_BYTES),
    ],
)
def test_hostile_msgpack_is_invalid(payload: bytes) -> None:
    """Extension types, deep nesting, announced gigabytes, doubled or mixed keys, bad UTF-8: all are
    invalid.
    """
    with pytest.raises(InvalidRecordError):
        decode(payload)


plain = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | text | st.binary(max_size=2)
keys = (
    st.sampled_from(["schema", "key", "record", b""])
    | text
    | st.binary(max_size=2)
    | st.integers(0, 9)
)


@given(st.dictionaries(keys, plain | st.lists(plain, max_size=3), max_size=11))
def test_maps_with_keys_of_any_kind_are_invalid(fields: dict[Any, Any]) -> None:
    """Text, bytes and numbers as keys, also together, raise nothing but InvalidRecordError."""
    with pytest.raises(InvalidRecordError):
        decode(msgpack.packb(fields))


def test_trailing_bytes_are_invalid(make_record: Make) -> None:
    """A valid record followed by anything is not a record."""
    with pytest.raises(InvalidRecordError):
        decode(encode(make_record()) + b"\x00")


def test_spec_must_fold_to_the_key(make_record: Make) -> None:
    """A record filed under a key that its own spec does not fold to cannot be made, nor decoded."""
    record = make_record(1)
    with pytest.raises(UsageError, match="folds to"):
        replace(record, key=make_record(2).key)
    with pytest.raises(InvalidRecordError, match="folds to"):
        decode(msgpack.packb(fields_of(record) | {"key": make_record(2).key.key_hex}))


def test_provenance_of_this_host() -> None:
    """Provenance.here sorts versions and fills in host and date."""
    here = Provenance.here({"nvrtc": "12.4", "driver": "550"})
    assert here.versions == (("driver", "550"), ("nvrtc", "12.4"))
    assert len(here.date) == 10
