"""The codec of the autotune store's records: a record is written as it was read, all else is an
InvalidRecordError.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import replace

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.codec import InvalidRecordError, decode, encode
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.record import LoserTiming, Measured, Provenance, StoredRecord
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey
from vyre_dist.dispatch.race import VariantTiming


class StoreCodec:
    """Bytes as a server may answer them."""

    words = (
        b"\x80", b"\x8b", b"\x90", b"\x93", b"\xc0", b"\xc3", b"\xc4\x00", b"\xa0", b"\xa3key",
        b"\xcf" + b"\xff" * 8, b"\xd3" + b"\xff" * 8, b"\xcb\x7f\xf8" + b"\x00" * 6, b"\xa6losers",
        b"\xa62026-0", b"\xa4gain", b"\xa6choice", b"\xa6schema\x03", b"\xca\x7f\xc0\x00\x00",
        b"\xd9\x7f", b"\xa5\xe2\x80\xaexx",
    )  # fmt: skip

    def seeds(self) -> list[bytes]:
        """Full records, of a tuner and of a race; a bare one; one of a failure."""
        spec = SpecCacheKey(1, 2, (3, 1, 1), 2**64 - 1)
        record = AutotuneRecord((64, 1, 1), 4, (0, 0, 0), "2026-11-30")
        full = StoredRecord(
            AutotuneKey.of(spec, "sm_90:H200"),
            record,
            spec,
            VariantTiming(1, 2),
            (LoserTiming("serial", VariantTiming(3, 4)),),
            15,
            Provenance((("nvrtc", "13.0"),), "node-1", "2026-11-30"),
        )
        bare = StoredRecord(AutotuneKey("0" * 32, "cpu"), AutotuneRecord((1, 1, 1), 1))
        choice = Choice.of(lane="serial", threads=512)
        gain = Gain(0.9, 0.8, 1.0, 9)
        tuned = replace(
            full,
            workload="d3-s12",
            choice=choice,
            gain=gain,
            measured=(Measured(Choice.of(threads=64), gain),),
            fence=Fence("a" * 40, 7),
            extra=(("later", b"\x91\x01"),),
        )
        failed = replace(bare, choice=choice, failed_until=1, reason="it can't be launched")
        return [encode(record) for record in (full, bare, tuned, failed)]

    def check(self, data: bytes) -> Hashable:
        """What decodes encodes to something that decodes to the same, and keeps the key's fold."""
        try:
            record = decode(data)
        except InvalidRecordError as error:
            return re.sub(r"\d+|'[^']*'", "", error.reason)[:40]
        assert decode(encode(record)) == record
        if record.spec is not None:
            assert AutotuneKey.of(record.spec, record.key.adapter_id) == record.key
        seen = (record.gain, record.fence, record.threshold_pct, record.spec)
        return tuple(value is None for value in seen), len(record.losers), len(record.extra)
