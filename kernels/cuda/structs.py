"""The structs of tables.cuh that only kernels read, as NumPy dtypes: arguments and tables. A test
compares them with the headers.

What the host reads, too, rows and matches, is in vyre_dist/rows/layout.py.
"""

from __future__ import annotations

import numpy as np

from vyre_dist.compiler.runs import MAX_RUNS

BYTE_MAP_PITCH = 260
LIST = 0x8000_0000
BIT_PARALLEL = 0x8000_0000
PAGE_BITS = 12
MOST_ROOM = 0xFFFF

PIVOT_BYTES = 16
BUCKET_DTYPE = np.dtype([("gram", "<u4"), ("leads", "<u4")])
SIDE_DTYPE = np.dtype([("byte_map", "<u4"), ("cells", "<u4"), ("columns", "<u4"), ("start", "<u4")])
DEVICE_ENTRY_DTYPE = np.dtype(
    [
        ("rule", "<u4"),
        ("pivot_offset", "<u4"),
        ("probe_offset", "i1", (6,)),
        ("distance", "<u2"),
        ("probe_class", "<u2", (8,)),
        ("forward", SIDE_DTYPE),
        ("backward", SIDE_DTYPE),
    ]
)
DEVICE_RUN_DTYPE = np.dtype(
    [("rule", "<u4"), ("length", "<u4"), ("byte_class", "<u4"), ("unused", "<u4")]
)
TEST_DTYPE = np.dtype([(name, "<u4") for name in ("scale", "ones")])
TABLES_DTYPE = np.dtype(
    [
        *(
            (name, "<u8")
            for name in (
                "bitmap",
                "buckets",
                "lists",
                "entries",
                "automata",
                "byte_maps",
                "dfa_cells",
                "nfa_words",
                "classes",
                "always_entries",
                "always_masks",
            )
        ),
        *(
            (name, "<u4")
            for name in (
                "bucket_mask",
                "bucket_shift",
                "multiplier",
                "bucket_multiplier",
                "max_steps",
                "nfa_word_count",
                "run_count",
                "test_count",
                "always_count",
                "unused",
            )
        ),
        ("runs", DEVICE_RUN_DTYPE, (MAX_RUNS,)),
        ("tests", TEST_DTYPE, (MAX_RUNS,)),
    ]
)
STRETCH_DTYPE = np.dtype(
    [
        ("data", "<u8"),
        ("first", "<u8"),
        ("arena_bytes", "<u8"),
        ("bytes", "<u4"),
        ("documents", "<u4"),
        ("bounds", "<u8"),
        ("page_documents", "<u8"),
    ]
)
PIECE_DTYPE = np.dtype(
    [
        *((name, "<u8") for name in ("begin", "end", "first", "last")),
        ("block", "<u4"),
        ("unused", "<u4", (3,)),
    ]
)
LISTS_DTYPE = np.dtype(
    [("items", "<u8"), ("lengths", "<u8"), ("capacity", "<u4"), ("parts", "<u4")]
)
OUTPUT_DTYPE = np.dtype(
    [
        ("rows", "<u8"),
        ("counts", "<u8"),
        ("attempted", "<u8"),
        ("committed", "<u8"),
        ("capacity", "<u4"),
        ("tile_bits", "<u4"),
    ]
)

# keywords.cuh
KEYWORD_HASH_BITS = 16
KEYWORD_MULTIPLIER = 0x9E37_79B1
KEYWORD_DTYPE = np.dtype([(name, "<u4") for name in ("offset", "length", "next", "unused")])
KEYWORD_TABLES_DTYPE = np.dtype(
    [
        *((name, "<u8") for name in ("bitmap", "first", "keywords", "bytes")),
        ("flag_words", "<u4"),
        ("unused", "<u4"),
    ]
)

# spans.cuh
SPAN_STEPS = 1 << 16
SPAN_DEPTH = 2048
SPAN_TABLES_DTYPE = np.dtype(
    [
        *((name, "<u8") for name in ("rules", "instructions", "classes", "scratch")),
        ("words", "<u4"),
        ("unused", "<u4"),
    ]
)
