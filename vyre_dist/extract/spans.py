"""Spans: the fixed-size records that programs put out, one for each raw match.

As bytes they need no NumPy, which takes longer to import than a small scan to run; the array
functions are for backends that compute with arrays anyway.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import starmap
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    SPAN_DTYPE: np.dtype[np.void]
    Spans: TypeAlias = npt.NDArray[np.void]

CAPPED = 1
"""Flag of a span: a longer match was seen and cut at the rule's `max_match_bytes`."""

DROPPED = 2
"""Flag of a row that is no match: from its start to its end the rule's matches may be others than
google-re2's, since one that is longer than `max_match_bytes` starts there, or may do so
(too_long.py).
"""

REJECTED = 4
"""Flag of a match that the pack's filters have ruled out: it takes its place in the chain of
matches, and is no finding.
"""

SpanRow: TypeAlias = tuple[int, int, int, int, int]
"""(window, rule, start, length, flags)"""

# 24 bytes, little-endian on every machine, a multiple of the counter tail's 4-byte words
_FIELDS = [
    ("window", "<u4"),
    ("rule", "<u4"),
    ("start", "<u8"),
    ("length", "<u4"),
    ("flags", "<u4"),
]
_RECORD = struct.Struct("<IIQII")


def pack_spans(rows: Iterable[SpanRow]) -> bytes:
    """The records of `rows`."""
    return b"".join(starmap(_RECORD.pack, rows))


def unpack_spans(data: bytes | memoryview) -> Iterator[SpanRow]:
    """The rows in `data`. ValueError unless its length is a multiple of 24."""
    if len(data) % _RECORD.size:
        raise ValueError(f"{len(data)} bytes are no whole number of spans of {_RECORD.size} bytes")
    return _RECORD.iter_unpack(data)


def empty_spans() -> Spans:
    """No spans at all."""
    import numpy as np

    return np.empty(0, __getattr__("SPAN_DTYPE"))


def spans_from_rows(rows: list[SpanRow]) -> Spans:
    """`rows` as an array of SPAN_DTYPE."""
    import numpy as np

    return np.array(rows, __getattr__("SPAN_DTYPE")) if rows else empty_spans()


def spans_from_bytes(data: bytes | memoryview) -> Spans:
    """The records in `data`, without a copy. ValueError unless its length is a multiple of 24."""
    import numpy as np

    return np.frombuffer(data, __getattr__("SPAN_DTYPE"))


def __getattr__(name: str) -> Any:
    """SPAN_DTYPE, NumPy's description of a record, and Spans, an array of them."""
    if name not in ("SPAN_DTYPE", "Spans"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import numpy as np
    import numpy.typing as npt

    return np.dtype(_FIELDS) if name == "SPAN_DTYPE" else npt.NDArray[np.void]
