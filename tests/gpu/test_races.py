"""What the kernels' lanes leave for each other in memory is ordered by barriers; and the detector
that says so detects.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from emulated_kernels import KernelFaultError
from gpu_device import Gpu
from gpu_support import (
    MANY_EVERYWHERE,
    PATTERNS,
    TUNABLES,
    expected,
    make_tables,
    matches_of,
    random_document,
)

from vyre_dist import RulePack
from vyre_dist.compiler import routed_rule
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import execute_arena
from vyre_dist.kernels.cuda.instances import Instance
from vyre_dist.kernels.cuda.workspace import Workspace, pointer
from vyre_dist.program import compile_pack
from vyre_dist.program.span_tables import build_span_tables
from vyre_dist.program.tunables import Tunables
from vyre_dist.rows.layout import OPEN
from vyre_dist.rules.byte_filters import byte_filters_of

TABLES = make_tables(PATTERNS)

EXCHANGE = """
__shared__ unsigned words[64];
words[threadIdx.x] = in[threadIdx.x];
{}
out[threadIdx.x] = words[{}];
"""


@pytest.mark.parametrize("tunables", [TUNABLES[0], TUNABLES[3]], ids=str)
@pytest.mark.parametrize("patterns", [PATTERNS, MANY_EVERYWHERE], ids=["few", "many"])
def test_programs(racing_gpu: Gpu, patterns: list[str], tunables: Tunables) -> None:
    """The programs' kernels have no race."""
    tables = make_tables(patterns)
    rng = random.Random(2)
    arena = Arena.lay_out([random_document(rng, 60) for _ in range(40)])
    want = expected(execute_arena(tables, arena, tile_bytes=tunables.tile_bytes, max_steps=256))
    for way, got in racing_gpu.every_way(racing_gpu.programs(tables, tunables), arena).items():
        assert got == want, way


def test_bit_parallel(racing_gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor have those automata whose tables are in shared memory."""
    monkeypatch.setattr(routed_rule, "MAX_TABLE_BYTES", 0)
    tables = make_tables(PATTERNS)
    assert tables.nfa_words.size > 500
    rng = random.Random(7)
    arena = Arena.lay_out([random_document(rng, 60) for _ in range(40)])
    want = expected(execute_arena(tables, arena, tile_bytes=TUNABLES[3].tile_bytes, max_steps=256))
    for way, got in racing_gpu.every_way(racing_gpu.programs(tables, TUNABLES[3]), arena).items():
        assert got == want, way


def test_several_rounds(racing_gpu: Gpu) -> None:
    """Nor has what a block does in one round with what it does in the next."""
    arena = Arena.lay_out([b"token=deadbeef" + b" " * 4000] * 150)
    want = expected(execute_arena(TABLES, arena, tile_bytes=TUNABLES[3].tile_bytes, max_steps=256))
    for way, got in racing_gpu.every_way(racing_gpu.programs(TABLES, TUNABLES[3]), arena).items():
        assert got == want, way


def test_spans(racing_gpu: Gpu) -> None:
    """Nor has the search for matches."""
    from vyre_dist.kernels.cuda.arenas import DeviceArena
    from vyre_dist.kernels.cuda.spans import SpanSearch

    pack = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})
    spans = build_span_tables(compile_pack(pack.data), TABLES, byte_filters_of(pack.data))
    rng = random.Random(3)
    arena = Arena.lay_out([random_document(rng, 60) for _ in range(20)])
    finder = SpanSearch(racing_gpu.device, TUNABLES[3], spans)
    there, space = DeviceArena(), Workspace()
    there.upload(arena, racing_gpu.stream)
    rows = racing_gpu.programs(TABLES, TUNABLES[3]).run_fused(there, space, racing_gpu.stream).rows
    finder.launch(there, space, racing_gpu.stream)
    got, want = finder.collect(space, rows.size, racing_gpu.stream), matches_of(spans, arena, rows)
    done = want["status"] != OPEN
    assert done.sum() > 100
    assert np.array_equal(got[done], want[done])


@pytest.mark.parametrize(
    ("grid", "body", "races"),
    [
        (1, EXCHANGE.format("__syncthreads();", "63 - threadIdx.x"), False),
        (1, EXCHANGE.format("__syncwarp();", "63 - threadIdx.x"), True),
        (1, EXCHANGE.format("__syncwarp();", "threadIdx.x ^ 1"), False),
        (1, EXCHANGE.format("__ballot_sync(~0u, true);", "threadIdx.x ^ 1"), True),
        (1, EXCHANGE.format("__shfl_sync(~0u, 1, 0);", "threadIdx.x ^ 1"), True),
        (1, EXCHANGE.format("", "threadIdx.x"), False),
        (
            1,
            "out[threadIdx.x] = in[0];\nif (threadIdx.x == 9) const_cast<unsigned*>(in)[0] = 1;",
            True,
        ),
        (1, "out[0] = 1;", True),
        (2, "if (threadIdx.x == 0) out[blockIdx.x] = 1;", False),
        (2, "if (threadIdx.x == 0) out[0] = 1;", True),
        (2, "atomicAdd(out, 1u);", False),
        (2, "atomicAdd(out, 1u);\nif (threadIdx.x == 0) out[0] = 1;", True),
        (2, "reinterpret_cast<unsigned char*>(out)[64 * blockIdx.x + threadIdx.x] = 1;", False),
    ],
)
def test_detection(racing_gpu: Gpu, grid: int, body: str, races: bool) -> None:
    """Accesses by two lanes, one a write, race unless a barrier or a __syncwarp is between them or
    both are atomic.
    """
    import cupy

    parameters = "unsigned* out, const unsigned* in"
    source = (
        f'#include "tables.cuh"\nextern "C" __global__ void test({parameters}) {{\n{body}\n}}\n'
    )
    kernel = racing_gpu.device.kernel(Instance("test", source, 64, 1, 0))
    out, given = (cupy.empty(64, np.uint32) for _ in range(2))
    for array in (out, given):
        array.set(np.zeros(64, np.uint32), stream=racing_gpu.stream)
    kernel(racing_gpu.stream, pointer(out), pointer(given), grid=grid)
    if races:
        with pytest.raises(KernelFaultError, match=r"races with thread .*test\.cpp:\d+"):
            racing_gpu.stream.synchronize()
    else:
        racing_gpu.stream.synchronize()
