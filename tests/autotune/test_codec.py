"""The bytes of records: round trip, and suspicion towards everything else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.codec import (
    MAX_RECORD_BYTES,
    InvalidRecordError,
    NewerSchemaError,
    OutOfRangeError,
    decode,
    encode,
)
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.record import LoserTiming, Measured, Provenance, StoredRecord
from vyre_dist.autotune.record_lines import read_lines, write_lines
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
names = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True)
choices = st.dictionaries(names, st.integers(-(2**63), 2**63 - 1) | text, max_size=3).map(
    Choice.from_plain
)
gains = st.builds(
    lambda ratios, pairs: Gain(ratios[1], ratios[0], ratios[2], pairs),
    st.lists(st.floats(0.05, 20), min_size=3, max_size=3).map(sorted),
    st.integers(5, 2**32 - 1),
)
fences = st.builds(
    Fence, st.text("0123456789abcdef", min_size=8, max_size=64), st.integers(0, 2**53)
)
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
        provenance=Provenance(versions, draw(text), draw(date), draw(text)),
        workload=draw(st.from_regex(r"([a-z0-9][a-z0-9._+-]{0,63})?", fullmatch=True)),
        choice=draw(choices),
        gain=draw(st.none() | gains),
        measured=tuple(draw(st.lists(st.builds(Measured, choices, gains), max_size=3))),
        fence=draw(st.none() | fences),
        failed_until=draw(st.integers(0, 2**40)),
        reason=draw(text),
    )


@given(stored_records())
def test_round_trip(record: StoredRecord) -> None:
    """Every record comes back equal, and equal records are equal bytes."""
    payload = encode(record)
    assert decode(payload) == record
    assert encode(decode(payload)) == payload


@given(stored_records())
def test_all_of_a_record_is_in_a_line(
    tmp_path_factory: pytest.TempPathFactory, record: StoredRecord
) -> None:
    """Every field, with what a later version of the schema has put into it."""
    later = {"engine": {"name": "x", "parts": [1, 2.5, None]}, "raw": b"\x00\xff"}
    extra = tuple((name, msgpack.packb(value)) for name, value in sorted(later.items()))
    path = tmp_path_factory.getbasetemp() / "lines.jsonl"
    whole = replace(record, extra=extra)
    write_lines(path, [whole])
    assert read_lines(path) == (whole,)
    write_lines(path, [record])
    assert read_lines(path) == (record,)


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
        ("schema", 3),
        ("schema", 0),
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
        ("threshold_pct", 135),
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
        ("workload", "A"),
        ("workload", "x" * 65),
        ("workload", None),
        ("choice", []),
        ("choice", {1: 2}),
        ("choice", {"Lane": 1}),
        ("choice", {"lane": True}),
        ("choice", {"lane": 1.0}),
        ("choice", {"lane": 2**63}),
        ("choice", {"lane": "x" * 65}),
        ("choice", {"lane": b"x"}),
        ("choice", {f"n{i}": i for i in range(33)}),
        ("gain", [0, 0, 0, 9]),
        ("gain", [0.9, 0.8, 1.0, 4]),
        ("gain", [0.9, 0.95, 1.0, 9]),
        ("gain", [0.9, 0.8, 0.85, 9]),
        ("gain", [0.04, 0.03, 0.05, 9]),
        ("gain", [1.0, 1.0, 21.0, 9]),
        ("gain", [math.nan, math.nan, math.nan, 9]),
        ("gain", [1.0, 0.9, math.inf, 9]),
        ("gain", [1.0, 0.9, 1.1, 9.0]),
        ("gain", [True, True, True, 9]),
        ("gain", [1.0, 0.9, 1.1]),
        ("measured", [[{"lane": "serial"}, [0, 0, 0, 9]]]),
        ("measured", [[{"lane": "serial"}]]),
        ("fence", ["xyz", 1]),
        ("fence", ["0" * 40, -1]),
        ("fence", ["0" * 40, 2**53 + 1]),
        ("fence", ["0" * 40]),
        ("failed_until", -1),
        ("failed_until", 1.5),
        ("failed_until", 2**41),
        ("reason", "a\nb"),
    ],
)
def test_wrong_fields_are_invalid(make_record: Make, field: str, value: object) -> None:
    """A field of the wrong type, range or number makes the whole record invalid."""
    with pytest.raises(InvalidRecordError) as caught:
        decode(msgpack.packb(fields_of(make_record()) | {field: value}))
    assert caught.value.reason


def test_missing_fields_have_defaults_but_for_four(make_record: Make) -> None:
    """Without schema, key, adapter or record it is none; without any other field it is one."""
    fields = fields_of(make_record())
    for field in fields:
        rest = msgpack.packb({k: v for k, v in fields.items() if k != field})
        if field in ("schema", "key", "adapter", "record"):
            with pytest.raises(InvalidRecordError):
                decode(rest)
        else:
            assert decode(rest).key == make_record().key


def first_schema(record: StoredRecord) -> dict[str, Any]:
    """The fields of `record` as the first schema had them: all that it knew, and no others."""
    return fields_of(record) | {"schema": 1}


def test_the_first_schema_is_read(make_record: Make) -> None:
    """Its records are those of this schema without what it did not know; all its fields are
    needed, and no others are among them.
    """
    old = first_schema(make_record())
    assert decode(msgpack.packb(old)) == make_record()
    for field in old:
        with pytest.raises(InvalidRecordError):
            decode(msgpack.packb({k: v for k, v in old.items() if k != field}))
    with pytest.raises(InvalidRecordError):
        decode(msgpack.packb(old | {"workload": "w"}))


@given(st.dictionaries(st.text(max_size=9), st.integers() | st.binary(max_size=9)), st.binary())
def test_a_later_schema_is_told_from_damage(rest: dict[str, Any], tail: bytes) -> None:
    """Whatever follows in it; unless the schema is not its first field."""
    fields = {"schema": 3} | {k: v for k, v in rest.items() if k != "schema"}
    try:
        payload = msgpack.packb(fields) + tail
    except OverflowError:
        return
    with pytest.raises(NewerSchemaError):
        decode(payload)


unknown_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | text | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


@given(stored_records(), st.dictionaries(st.text("xyz", min_size=1), unknown_values, max_size=4))
def test_unknown_fields_are_kept(record: StoredRecord, unknown: dict[str, Any]) -> None:
    """They come back from a record that was read and written again, and change nothing else."""
    packed = msgpack.packb(fields_of(record) | unknown)
    found = decode(packed)
    assert replace(found, extra=()) == record
    again: dict[str, Any] = msgpack.unpackb(encode(found), strict_map_key=False)
    assert msgpack.packb({name: again[name] for name in unknown}) == msgpack.packb(unknown)


def test_a_record_that_could_not_be_written_again_is_out_of_range(make_record: Make) -> None:
    """Numbers of half the width are read as whole ones; else it would fail at its first copy."""
    row = b"\xdc\x00\x80" + b"\xca\x3f\x80\x00\x00" * 128
    for rows, fits in ((50, True), (70, False)):
        payload = bytearray(msgpack.packb(fields_of(make_record()) | {"later": 0}))
        payload[-1:] = b"\xdc" + rows.to_bytes(2, "big") + row * rows
        assert len(payload) <= MAX_RECORD_BYTES
        if fits:
            assert len(encode(decode(bytes(payload)))) > len(payload)
        else:
            with pytest.raises(OutOfRangeError):
                decode(bytes(payload))


def test_what_no_record_can_have_is_out_of_range(make_record: Make) -> None:
    """A gain of nothing, which would win for ever, is told from bytes of another shape."""
    with pytest.raises(OutOfRangeError):
        decode(msgpack.packb(fields_of(make_record()) | {"gain": [0.0, 0.0, 0.0, 9]}))
    with pytest.raises(InvalidRecordError) as caught:
        decode(msgpack.packb(fields_of(make_record()) | {"gain": 7}))
    assert not isinstance(caught.value, OutOfRangeError)


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
