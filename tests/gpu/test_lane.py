"""Lane on a device whose memory is full."""

from __future__ import annotations

import pytest
from gpu_device import Gpu, fill_device
from gpu_support import PATTERNS, TUNABLES, make_tables

from vyre_dist import RulePack
from vyre_dist.compiler.arena import Arena
from vyre_dist.program import compile_pack

PACK = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})


@pytest.mark.gpu
def test_out_of_memory_halves_the_arena(real_gpu: Gpu) -> None:
    """With too little device memory for an arena a lane goes on in halves, and gives the same rows
    and matches.
    """
    import cupy

    from vyre_dist.kernels.cuda.errors import DeviceMemoryError
    from vyre_dist.kernels.cuda.lane import Lane
    from vyre_dist.kernels.cuda.spans import SpanSearch
    from vyre_dist.program.span_tables import build_span_tables

    compiled = compile_pack(PACK.data)
    tables = make_tables(PATTERNS)
    spans = SpanSearch(real_gpu.device, TUNABLES[0], build_span_tables(compiled, tables))
    programs = real_gpu.programs(tables, TUNABLES[0])
    filler = b"int x;\n" * 1_000_000
    arena = Arena.lay_out(
        [filler + b"my.key = 'abcdef-0123456'\ntoken=deadbeef\n" for _ in range(40)]
    )

    def scanned(lane: Lane, arena: Arena) -> list[tuple[object, ...]]:
        lane.start(arena)
        rows = lane.finish()
        assert rows.matches is not None
        pairs = zip(rows.rows.tolist(), rows.matches.tolist(), strict=True)
        return sorted({(*row, *match[:4], tuple(match[4])) for row, match in pairs})

    want = scanned(Lane(programs, 0, spans), arena)
    assert len(want) >= 80
    lane = Lane(programs, 0, spans)
    hog = fill_device(real_gpu.device, spans.scratch_bytes + (100 << 20))
    try:
        assert scanned(lane, arena) == want
        lane.start(Arena.lay_out([b"." * (160 << 20)]))
        with pytest.raises(DeviceMemoryError, match="of 160 MiB"):
            lane.finish()
    finally:
        hog.clear()
        cupy.get_default_memory_pool().free_all_blocks()
    assert scanned(lane, arena) == want
