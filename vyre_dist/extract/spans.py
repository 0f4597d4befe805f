"""Span: one raw match of one rule, before any filter; and how spans look as bytes.

Spans travel as objects where a backend and its caller share a process. Bytes are for what crosses
to another one, or goes through the contract of the dispatch core. Neither needs NumPy, which takes
longer to import than a small scan to run.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

CAPPED = 1
"""Flag of a span: a longer match was seen and cut at the rule's `max_match_bytes`."""

DROPPED = 2
"""Flag of a span that is no match: from its start to its end the rule's matches may be others than
google-re2's, since one that is longer than `max_match_bytes` starts there, or may do so
(too_long.py).
"""

REJECTED = 4
"""Flag of a match that the pack's filters have ruled out: it takes its place in the chain of
matches, and is no finding.
"""


class Span(NamedTuple):
    """The match [start, end) of rule number `rule`, in bytes from the start of its window or
    document; `flags` are CAPPED, DROPPED, REJECTED or 0. Spans sort into report order.

    A NamedTuple, not a dataclass: dense text has one for every few bytes, and it takes a third of
    the time.
    """

    start: int
    rule: int
    end: int
    flags: int = 0


# window, rule (u32 each), start (u64), length, flags (u32 each): little-endian on every machine, 24
# bytes, a multiple of the counter tail's 4-byte words
_RECORD = struct.Struct("<IIQII")


def encode_spans(spans: Mapping[int, Iterable[Span]], base: int = 0) -> bytes:
    """One record of 24 bytes for each of `spans`, which are given by the number of their window.
    `base`: where their offsets count from, in what the records' offsets count from.
    """
    pack = _RECORD.pack
    return b"".join(
        [
            pack(window, rule, base + start, end - start, flags)
            for window, own in spans.items()
            for start, rule, end, flags in own
        ]
    )


def decode_spans(data: bytes | memoryview) -> dict[int, list[Span]]:
    """The inverse of encode_spans. Raises ValueError for what is no whole number of records."""
    if len(data) % _RECORD.size:
        raise ValueError(f"{len(data)} bytes are no whole number of spans of {_RECORD.size} bytes")
    spans: dict[int, list[Span]] = {}
    made = Span._make  # takes half the time of a call of Span
    for window, rule, start, length, flags in _RECORD.iter_unpack(data):
        spans.setdefault(window, []).append(made((start, rule, start + length, flags)))
    return spans
