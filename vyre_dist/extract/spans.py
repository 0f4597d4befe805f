"""Spans: the fixed-size records that programs put out, one for each raw match."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

# 24 bytes, little-endian on every machine, a multiple of the counter tail's 4-byte words
SPAN_DTYPE = np.dtype(
    [("window", "<u4"), ("rule", "<u4"), ("start", "<u8"), ("length", "<u4"), ("flags", "<u4")]
)

CAPPED = 1
"""Flag of a span: a longer match was seen and cut at the rule's `max_match_bytes`."""

DROPPED = 2
"""Flag of a row that is no match: one longer than `max_match_bytes` starts there, and nothing that fits does."""

Spans: TypeAlias = npt.NDArray[np.void]


def empty_spans() -> Spans:
    """No spans at all."""
    return np.empty(0, SPAN_DTYPE)


def spans_from_rows(rows: list[tuple[int, int, int, int, int]]) -> Spans:
    """(window, rule, start, length, flags) rows as an array of SPAN_DTYPE."""
    return np.array(rows, SPAN_DTYPE) if rows else empty_spans()


def spans_from_bytes(data: bytes | memoryview) -> Spans:
    """The records in `data`, without a copy. ValueError unless its length is a multiple of 24."""
    return np.frombuffer(data, SPAN_DTYPE)
