"""A device that is busy with another process's work: what is on its way takes its time, and nothing
is lost.
"""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from gpu_device import Gpu
from gpu_support import PATTERNS, TUNABLES, expected, make_tables, random_document

from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import execute_arena

# copies and kernels until nobody listens any more
BUSY = """
import sys, cupy, numpy
text = numpy.frombuffer(cupy.cuda.alloc_pinned_memory(1 << 28), numpy.uint8)
streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(4)]
there = [cupy.empty(1 << 28, numpy.uint8) for _ in streams]
while True:
    for stream, array in zip(streams, there):
        with stream:
            array.set(text, stream=stream)
            array += 1
    for stream in streams:
        stream.synchronize()
    sys.stdout.write(".")
    sys.stdout.flush()
"""


@pytest.mark.gpu
def test_first_scans_beside_another_process(real_gpu: Gpu) -> None:
    """Programs that were put there a moment ago give the reference's rows, whatever else keeps the
    device busy.
    """
    tables, tunables = make_tables(PATTERNS), TUNABLES[0]
    rng = random.Random(3)
    arena = Arena.lay_out([random_document(rng, 60) for _ in range(40)])
    want = expected(execute_arena(tables, arena, tile_bytes=tunables.tile_bytes, max_steps=256))
    assert len(want[0]) > 100
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        try:
            for _ in range(40):
                assert other.stdout.read(1) == b"."  # it is at work
                for way, got in real_gpu.every_way(
                    real_gpu.programs(tables, tunables), arena
                ).items():
                    assert got == want, way
        finally:
            other.kill()
