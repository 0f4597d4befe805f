"""Stored records as bytes: msgpack maps of plain types, read back with suspicion.

Every field is checked for type and range on reading, because the bytes may come from a shared
server. Whether a valid record answers a question is decided in store.py.

`schema` is always the first field, so that a version can tell a later one's record from damage.
Fields that this version does not know are kept, and written back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgpack

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.record import LoserTiming, Measured, Provenance, StoredRecord
from vyre_dist.dispatch.keys import MAX_ADAPTER_ID_CHARS, AutotuneKey, AutotuneRecord, SpecCacheKey
from vyre_dist.dispatch.race import VariantTiming
from vyre_dist.errors import UsageError, VyreError

T = TypeVar("T")

SCHEMA_VERSION = 2
# Far above the largest record that the limits of record.py admit in ASCII, far below what could
# hurt.
MAX_RECORD_BYTES = 64 * 1024
# The unpacker reserves what an array announces, at each depth: so many are a few hundred kilobytes.
_MAX_ENTRIES = 128

_REQUIRED = ("schema", "key", "adapter", "record")
# The first schema had these and no others, all of them required.
_FIRST = (*_REQUIRED, "spec", "timing", "losers", "threshold_pct", "versions", "host", "date")
_KNOWN = (
    *_FIRST,
    "pack",
    "workload",
    "choice",
    "gain",
    "measured",
    "fence",
    "failed_until",
    "reason",
)


class InvalidRecordError(VyreError):
    """Bytes that are not a record of this schema; `reason` says what is wrong with them."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not an autotune record of schema {SCHEMA_VERSION}: {reason}")
        self.reason = reason


class OutOfRangeError(InvalidRecordError):
    """A record of this schema with a value that none can have, as a gain of nothing."""


class NewerSchemaError(InvalidRecordError):
    """A record that a later version wrote: it is to be left alone."""


def encode(stored: StoredRecord) -> bytes:
    """The bytes of `stored`; equal records give equal bytes, and so do all but their defaults.

    Raises UsageError for a record above MAX_RECORD_BYTES, or with an unknown field that is known.
    """
    spec, record, timing, fence = stored.spec, stored.record, stored.timing, stored.fence
    fields: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "key": stored.key.key_hex,
        "adapter": stored.key.adapter_id,
        "record": [
            list(record.workgroup_size),
            record.unroll,
            list(record.tile),
            record.recorded_at,
        ],
    }
    optional = {
        "spec": spec
        and [spec.shader_hash, spec.binding_sig, list(spec.workgroup_size), spec.spec_hash],
        "timing": timing and [timing.compile_ns, timing.dispatch_ns],
        "losers": [
            [loser.name, loser.timing.compile_ns, loser.timing.dispatch_ns]
            for loser in stored.losers
        ],
        "versions": [list(pair) for pair in stored.provenance.versions],
        "host": stored.provenance.host,
        "date": stored.provenance.date,
        "pack": stored.provenance.pack,
        "workload": stored.workload,
        "choice": stored.choice.plain(),
        "gain": stored.gain and _plain_gain(stored.gain),
        "measured": [[other.choice.plain(), _plain_gain(other.gain)] for other in stored.measured],
        "fence": fence and [fence.run_id, fence.counter],
        "failed_until": stored.failed_until,
        "reason": stored.reason,
    }
    fields |= {name: value for name, value in optional.items() if value}
    if stored.threshold_pct is not None:
        fields["threshold_pct"] = stored.threshold_pct
    for name, packed in stored.extra:
        if name in _KNOWN:
            raise UsageError(f"extra holds the field {name!r}, which this version knows")
        fields[name] = _unpack(packed)
    payload: bytes = msgpack.packb(fields, use_bin_type=True)
    if len(payload) > MAX_RECORD_BYTES:
        raise UsageError(
            f"the record takes {len(payload)} bytes, at most {MAX_RECORD_BYTES} are allowed; "
            "keep fewer losers or shorter names"
        )
    return payload


def decode(payload: bytes) -> StoredRecord:
    """The record in `payload`, of this schema or an earlier one.

    Raises NewerSchemaError for a later one, OutOfRangeError for a value that no record can have,
    and InvalidRecordError for anything else.
    """
    if len(payload) > MAX_RECORD_BYTES:
        raise InvalidRecordError(f"{len(payload)} bytes, at most {MAX_RECORD_BYTES} are allowed")
    _refuse_newer(payload)
    fields = _unpack(payload)
    if not isinstance(fields, dict) or not all(isinstance(name, str) for name in fields):
        raise InvalidRecordError(f"expected a map of names, found {fields!r:.300}")
    schema = fields.get("schema")
    if type(schema) is not int or not 1 <= schema <= SCHEMA_VERSION:
        raise InvalidRecordError(f"schema {schema!r:.40}")
    expected = _FIRST if schema == 1 else _REQUIRED
    missing = [name for name in expected if name not in fields]
    unknown = [name for name in fields if name not in _FIRST] if schema == 1 else []
    if missing or unknown:
        raise InvalidRecordError(f"fields missing: {missing}, too many: {unknown!r:.200}")
    try:
        stored = _build(fields)
        if 2 * len(payload) > MAX_RECORD_BYTES:
            encode(stored)  # numbers that were written short may be too long as we write them
        return stored
    except UsageError as error:
        raise OutOfRangeError(str(error)) from None
    except (TypeError, ValueError) as error:
        raise InvalidRecordError(f"wrong shape: {error}") from None


def _refuse_newer(payload: bytes) -> None:
    """Raise NewerSchemaError for what begins as a later version's record does.

    No more of it is read: what the rest may be is that version's business.
    """
    unpacker = msgpack.Unpacker(raw=False, max_buffer_size=MAX_RECORD_BYTES + 1)
    unpacker.feed(payload)
    try:
        unpacker.read_map_header()
        # a name is told by its bytes first: what else stands there may be anything
        at = unpacker.tell()
        if payload[at : at + 7] != b"\xa6schema":
            return
        unpacker.skip()
        schema = unpacker.unpack()
    except (ValueError, TypeError, msgpack.exceptions.UnpackException):
        return
    if type(schema) is int and schema > SCHEMA_VERSION:
        raise NewerSchemaError(f"a later version wrote it, of schema {schema}")


def _unpack(payload: bytes) -> Any:
    try:
        return msgpack.unpackb(
            payload,
            raw=False,
            use_list=True,
            strict_map_key=False,
            object_pairs_hook=_unique,
            max_str_len=MAX_RECORD_BYTES,
            max_array_len=_MAX_ENTRIES,
            max_map_len=_MAX_ENTRIES,
            max_bin_len=MAX_RECORD_BYTES,
            max_ext_len=MAX_RECORD_BYTES,
        )
    # The unpacker's own errors are ValueErrors but for its few UnpackExceptions.
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException) as error:
        raise InvalidRecordError(f"not msgpack within limits ({type(error).__name__})") from None


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field stands twice")
    return fields


def _build(fields: dict[str, Any]) -> StoredRecord:
    """Shapes are checked by unpacking, ranges by the dataclasses themselves."""
    workgroup, unroll, tile, recorded_at = _list(fields["record"])
    return StoredRecord(
        key=AutotuneKey(_text(fields["key"]), _text(fields["adapter"])),
        record=AutotuneRecord(_dim3(workgroup), unroll, _dim3(tile), recorded_at),
        spec=_optional(fields.get("spec"), _spec),
        timing=_optional(fields.get("timing"), lambda value: VariantTiming(*_list(value))),
        losers=tuple(_loser(loser) for loser in _list(fields.get("losers", []))),
        threshold_pct=fields.get("threshold_pct"),
        provenance=Provenance(
            tuple(_pair(pair) for pair in _list(fields.get("versions", []))),
            fields.get("host", ""),
            fields.get("date", ""),
            fields.get("pack", ""),
        ),
        workload=_text(fields.get("workload", "")),
        choice=Choice.from_plain(fields.get("choice", {})),
        gain=_optional(fields.get("gain"), _gain),
        measured=tuple(_measured(other) for other in _list(fields.get("measured", []))),
        fence=_optional(fields.get("fence"), lambda value: Fence(*_list(value))),
        failed_until=fields.get("failed_until", 0),
        reason=fields.get("reason", ""),
        extra=tuple(
            (name, msgpack.packb(value, use_bin_type=True))
            for name, value in sorted(fields.items())
            if name not in _KNOWN
        ),
    )


def _optional(value: Any, build: Callable[[Any], T]) -> T | None:
    return None if value is None else build(value)


def _spec(value: Any) -> SpecCacheKey:
    shader_hash, binding_sig, workgroup, spec_hash = _list(value)
    return SpecCacheKey(shader_hash, binding_sig, _dim3(workgroup), spec_hash)


def _loser(value: Any) -> LoserTiming:
    name, compile_ns, dispatch_ns = _list(value)
    return LoserTiming(name, VariantTiming(compile_ns, dispatch_ns))


def _gain(value: Any) -> Gain:
    ratio, low, high, pairs = _list(value)
    return Gain(ratio, low, high, pairs)


def _plain_gain(gain: Gain) -> list[float | int]:
    return [gain.ratio, gain.low, gain.high, gain.pairs]


def _measured(value: Any) -> Measured:
    choice, gain = _list(value)
    return Measured(Choice.from_plain(choice), _gain(gain))


def _pair(value: Any) -> tuple[Any, Any]:
    name, version = _list(value)
    return (name, version)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 4 * MAX_ADAPTER_ID_CHARS:
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"expected an array, found {type(value).__name__}")
    return value


def _dim3(value: Any) -> tuple[int, int, int]:
    x, y, z = _list(value)
    return (x, y, z)
