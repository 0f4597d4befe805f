"""The search for matches on the device is the reference's, row by row."""

from __future__ import annotations

import random

import numpy as np
import pytest
from gpu_device import Gpu
from gpu_support import PATTERNS, TUNABLES, matches_of, random_document

from vyre_dist.compiler import Arena, compile_tables
from vyre_dist.compiler.span_program import compile_span_program
from vyre_dist.program.span_tables import tables_of_programs
from vyre_dist.regex import parse
from vyre_dist.rows.layout import FILTERED, FOUND, OPEN
from vyre_dist.rules.byte_filters import ByteFilter

MORE = [
    r"(?:(zz)|z)(z*?)(?:end|\b)",
    r"key[\s\S]{0,300}?=(\w{3,})",
    r"abc(?:x|y)*?(?:abc|cde)?",
    r"the [\s\S]{900,}fox",
    r"quick(?:[^q]|\n)*!",
]
BYTE_FILTERS = [
    ByteFilter(0, -1, 0),
    ByteFilter(0, 11, 0),
    ByteFilter(1, 5, int.from_bytes(b"\xff" * 16, "little")),
    ByteFilter(1, 300, 0),
]


@pytest.mark.parametrize("seed", range(6))
def test_matches_are_the_references(gpu: Gpu, seed: int) -> None:
    """Spans, groups and byte_filters of every row, at shifted offsets, with documents that are cut,
    small and large.
    """
    from vyre_dist.kernels.cuda.arenas import DeviceArena
    from vyre_dist.kernels.cuda.programs import Workspace
    from vyre_dist.kernels.cuda.spans import SpanSearch

    rng = random.Random(seed)
    patterns = PATTERNS + MORE
    roots = [parse(pattern).root for pattern in patterns]
    tables = compile_tables(roots).tables
    programs = [compile_span_program(root) for root in roots]
    byte_filters = [BYTE_FILTERS[rng.randrange(4 if p and p.groups else 2)] for p in programs]
    backs = [0 if back == 0xFFFF_FFFF else back for back in tables.backs.tolist()]
    known = [
        p if back != 0xFFFF_FFFF else None
        for p, back in zip(programs, tables.backs.tolist(), strict=True)
    ]
    spans = tables_of_programs(known, byte_filters, backs)
    documents = [
        b"." * rng.randrange(40) + random_document(rng, 60) for _ in range(gpu.amount(150, 90))
    ]
    documents += [
        random_document(rng, 4000),
        b"the quick " + b"x" * 1500 + b" fox!",
        b"key" + b"\n" * 250 + b"=abcd",
    ]
    whole = [rng.random() < 0.9 for _ in documents]
    arena = Arena.lay_out(documents, whole, [rng.random() < 0.9 for _ in documents])
    tunables = TUNABLES[seed % len(TUNABLES)]
    own = gpu.programs(tables, tunables)
    finder, there, space = SpanSearch(gpu.device, tunables, spans), DeviceArena(), Workspace()
    there.upload(arena, gpu.stream)
    rows = own.run_fused(there, space, gpu.stream).rows
    finder.launch(there, space, gpu.stream)
    got = finder.collect(space, rows.size, gpu.stream)
    want = matches_of(spans, arena, rows)
    assert (got["status"] == want["status"]).all()
    done = want["status"] != OPEN
    assert np.array_equal(got[done], want[done])
    assert {FOUND, FILTERED, OPEN} <= set(got["status"].tolist())
    assert (want["group_offsets"] >= 0).any()
    assert rows.size > 500
