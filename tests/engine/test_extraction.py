"""From confirmed rows to findings in worker processes: the findings are the Scanner's. The rows are the reference's here."""

from __future__ import annotations

import random
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
import pytest
from gpu_support import PATTERNS, device_rows, random_document

from vyre_dist import RulePack, Scanner
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import execute_arena
from vyre_dist.engine.extraction import ExtractionPool, RowJob
from vyre_dist.engine.gpu_stream import ArenaBatch, jobs_of
from vyre_dist.kernels.cuda.reading import RowReading
from vyre_dist.kernels.cuda.structs import ROW_DTYPE
from vyre_dist.program import compile_pack
from vyre_dist.program.pack_tables import load_tables


@pytest.mark.parametrize("elsewhere", [False, True])
def test_findings_are_the_scanners(elsewhere: bool) -> None:
    """Rows of an arena, in the workers' shared memory or outside of it, become the findings of a scan of its documents."""
    rng = random.Random(4)
    pack = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})
    documents = [random_document(rng, 30) for _ in range(80)]
    paths = [f"dir/{n}.txt" for n in range(len(documents))]
    want = Scanner(pack, backend="cpu").scan_batch(list(zip(paths, documents, strict=True)))
    compiled = compile_pack(pack.data)
    tables = load_tables(compiled)
    packed = Arena.pack(documents)
    memory = SharedMemory(create=True, size=packed.data.size + 4096)
    try:
        shared = np.ndarray((packed.data.size,), np.uint8, memory.buf)
        shared[:] = 0 if elsewhere else packed.data
        arena = (
            packed if elsewhere else Arena(shared, packed.starts, packed.ends, packed.at_start, packed.at_end)
        )
        reading = RowReading.of(tables)
        slot: Any = None
        batch = ArenaBatch(arena, paths, range(len(paths)), slot)
        rows = device_rows(execute_arena(tables, arena, tile_bytes=4096))
        jobs = jobs_of(reading, rows, batch, shared, pieces=5)
        assert len(jobs) == 5
        with ExtractionPool(pack.data, compiled, reading, workers=2) as pool:
            found = [row for future in pool.submit(memory.name, jobs) for row in future.result()[0]]
        del shared, arena, batch
    finally:
        memory.close()
        memory.unlink()
    assert len(found) > 100
    rules = [rule.id for rule in pack.rules]
    got = [(row[0], rules[row[1]], *row[2:8]) for row in found]
    expected = [
        (n, f.rule_id, f.start, f.end, f.line, f.column, f.match, f.secret)
        for n, own in enumerate(want)
        for f in own
    ]
    assert sorted(got) == sorted(expected)


def test_a_refused_job_is_raised() -> None:
    """An arena that is not there is an error of the job, not of the pool: the next job is done."""
    pack = RulePack.from_patterns({"a": "abcd"})
    compiled = compile_pack(pack.data)
    reading = RowReading.of(load_tables(compiled))
    none = np.zeros(1, np.int64)
    job = RowJob(np.zeros(1, ROW_DTYPE), none, none + 4, none, ["x"], [0])
    with ExtractionPool(pack.data, compiled, reading, workers=1) as pool:
        (future,) = pool.submit("vyre-dist-no-such-arena", [job])
        with pytest.raises(FileNotFoundError):
            future.result()
        pool.warm_up()
