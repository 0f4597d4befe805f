"""Stored records as bytes: msgpack maps of plain types, read back with suspicion.

Every field is checked for type and range on reading, because the bytes may come from a shared
server. Whether a valid record answers a question is decided in store.py.
"""

from __future__ import annotations

from typing import Any

import msgpack

from vyre_dist.autotune.record import (
    MAX_LOSERS,
    MAX_VERSIONS,
    LoserTiming,
    Provenance,
    StoredRecord,
)
from vyre_dist.dispatch.keys import MAX_ADAPTER_ID_CHARS, AutotuneKey, AutotuneRecord, SpecCacheKey
from vyre_dist.dispatch.race import VariantTiming
from vyre_dist.errors import UsageError, VyreError

SCHEMA_VERSION = 1
# Far above the largest record that the limits of record.py admit in ASCII, far below what could
# hurt.
MAX_RECORD_BYTES = 64 * 1024

_FIELDS = (
    "schema",
    "key",
    "adapter",
    "spec",
    "record",
    "timing",
    "losers",
    "threshold_pct",
    "versions",
    "host",
    "date",
)


class InvalidRecordError(VyreError):
    """Bytes that are not a record of this schema; `reason` says what is wrong with them."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not an autotune record of schema {SCHEMA_VERSION}: {reason}")
        self.reason = reason


def encode(stored: StoredRecord) -> bytes:
    """The bytes of `stored`; equal records give equal bytes.

    Raises UsageError for a record above MAX_RECORD_BYTES.
    """
    spec, record, timing = stored.spec, stored.record, stored.timing
    values = (
        SCHEMA_VERSION,
        stored.key.key_hex,
        stored.key.adapter_id,
        spec and [spec.shader_hash, spec.binding_sig, list(spec.workgroup_size), spec.spec_hash],
        [list(record.workgroup_size), record.unroll, list(record.tile), record.recorded_at],
        timing and [timing.compile_ns, timing.dispatch_ns],
        [
            [loser.name, loser.timing.compile_ns, loser.timing.dispatch_ns]
            for loser in stored.losers
        ],
        stored.threshold_pct,
        [list(pair) for pair in stored.provenance.versions],
        stored.provenance.host,
        stored.provenance.date,
    )
    payload: bytes = msgpack.packb(dict(zip(_FIELDS, values, strict=True)), use_bin_type=True)
    if len(payload) > MAX_RECORD_BYTES:
        raise UsageError(
            f"the record takes {len(payload)} bytes, at most {MAX_RECORD_BYTES} are allowed; "
            "keep fewer losers or shorter names"
        )
    return payload


def decode(payload: bytes) -> StoredRecord:
    """The record in `payload`. Raises InvalidRecordError for anything else."""
    if len(payload) > MAX_RECORD_BYTES:
        raise InvalidRecordError(f"{len(payload)} bytes, at most {MAX_RECORD_BYTES} are allowed")
    fields = _unpack(payload)
    if not isinstance(fields, dict) or fields.keys() != set(_FIELDS):
        # Sorted by repr: the unpacker lets an empty bytes key through, which does not compare with
        # text.
        found = (
            ", ".join(sorted(map(repr, fields)))
            if isinstance(fields, dict)
            else type(fields).__name__
        )
        raise InvalidRecordError(f"expected a map of {', '.join(_FIELDS)}, found {found:.300}")
    if type(fields["schema"]) is not int or fields["schema"] != SCHEMA_VERSION:
        raise InvalidRecordError(f"schema {fields['schema']!r:.40}")
    try:
        return _build(fields)
    except UsageError as error:
        raise InvalidRecordError(str(error)) from None
    except (TypeError, ValueError) as error:
        raise InvalidRecordError(f"wrong shape: {error}") from None


def _unpack(payload: bytes) -> Any:
    try:
        return msgpack.unpackb(
            payload,
            raw=False,
            use_list=True,
            strict_map_key=True,
            object_pairs_hook=_unique,
            max_str_len=4 * MAX_ADAPTER_ID_CHARS,
            max_array_len=max(MAX_LOSERS, MAX_VERSIONS),
            max_map_len=len(_FIELDS),
            max_bin_len=0,
            max_ext_len=0,
        )
    # The unpacker's own errors are ValueErrors but for its few UnpackExceptions.
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise InvalidRecordError(f"not msgpack within limits ({type(error).__name__})") from None


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field stands twice")
    return fields


def _build(fields: dict[str, Any]) -> StoredRecord:
    """Shapes are checked by unpacking, ranges by the dataclasses themselves."""
    spec = None
    if fields["spec"] is not None:
        shader_hash, binding_sig, workgroup, spec_hash = _list(fields["spec"])
        spec = SpecCacheKey(shader_hash, binding_sig, _dim3(workgroup), spec_hash)
    workgroup, unroll, tile, recorded_at = _list(fields["record"])
    timing = None if fields["timing"] is None else VariantTiming(*_list(fields["timing"]))
    losers = []
    for loser in _list(fields["losers"]):
        name, compile_ns, dispatch_ns = _list(loser)
        losers.append(LoserTiming(name, VariantTiming(compile_ns, dispatch_ns)))
    versions = []
    for pair in _list(fields["versions"]):
        name, version = _list(pair)
        versions.append((name, version))
    return StoredRecord(
        key=AutotuneKey(fields["key"], fields["adapter"]),
        record=AutotuneRecord(_dim3(workgroup), unroll, _dim3(tile), recorded_at),
        spec=spec,
        timing=timing,
        losers=tuple(losers),
        threshold_pct=fields["threshold_pct"],
        provenance=Provenance(tuple(versions), fields["host"], fields["date"]),
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"expected an array, found {type(value).__name__}")
    return value


def _dim3(value: Any) -> tuple[int, int, int]:
    x, y, z = _list(value)
    return (x, y, z)
