"""The counter tail: read by the contract's words, and written back."""

from __future__ import annotations

from collections.abc import Hashable

from vyre_dist.dispatch.report import (
    COUNTER_TAIL_BYTES,
    encode_counter_tail,
    merge,
    parse_counter_tail,
)


class CounterTail:
    """Output buffers of a fused dispatch."""

    words = (b"\x00" * 4, b"\xff" * 4, b"\x01\x00\x00\x00", b"\x00" * 8, b"\xff" * 8)

    def seeds(self) -> list[bytes]:
        """Tails alone and behind an output."""
        return [b"\x03\x00\x00\x00\x01\x00\x00\x00", b"rows" * 4 + b"\x00" * 8, b""]

    def check(self, data: bytes) -> Hashable:
        """There is a report exactly where the length allows one; it has the last two words."""
        report = parse_counter_tail(data)
        assert parse_counter_tail(memoryview(data)) == report
        if len(data) < COUNTER_TAIL_BYTES or len(data) % 4:
            assert report is None
            return len(data) % 4
        assert report is not None
        committed = int.from_bytes(data[-8:-4], "little")
        rolled_back = int.from_bytes(data[-4:], "little")
        assert (report.committed_tiles, report.rolled_back_tiles) == (committed, rolled_back)
        assert encode_counter_tail(report) == data[-8:]
        attempted = min(committed + rolled_back, 2**32 - 1)
        assert report.attempted_tiles == attempted
        assert report.commit_rate_ppm == (committed * 10**6 // attempted if attempted else 0)
        assert merge([report, report]).attempted_tiles == 2 * (committed + rolled_back)
        return attempted == 0, attempted == 2**32 - 1
