"""GpuStream and the adaptive programs: batches overlap, and what comes out is what a Scanner
finds.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpu_device import Gpu
from gpu_support import PATTERNS, TUNABLES, found, make_tables, random_document

from vyre_dist import RulePack, Scanner
from vyre_dist.compiler.arena import Arena
from vyre_dist.dispatch.backend import SpeculationMode
from vyre_dist.errors import UsageError
from vyre_dist.program import ArtifactCache, compile_pack

PACK = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})


def test_batches_overlap_and_agree(gpu: Gpu) -> None:
    """Documents through three small slots give the Scanner's findings, batch by batch, in order."""
    from vyre_dist.engine.extraction_pool import ExtractionPool
    from vyre_dist.engine.gpu_stream import GpuStream
    from vyre_dist.kernels.cuda.device_pack import DevicePack

    rng = random.Random(21)
    count, slot_bytes = gpu.amount(400, 30), gpu.amount(1 << 20, 1 << 16)
    documents = [(n, f"d{n}", random_document(rng, 2000)) for n in range(count)]
    want = Scanner(PACK, backend="cpu").scan_batch([(path, data) for _, path, data in documents])
    compiled = compile_pack(PACK.data)
    device_pack = DevicePack(compiled, ArtifactCache(None))
    with (
        ExtractionPool(PACK.data, compiled, device_pack.reading, workers=2) as pool,
        GpuStream(device_pack, PACK.data, pool, slots=3, slot_bytes=slot_bytes) as stream,
    ):
        batches = list(stream.scan(documents))
        totals = stream.totals
        big = [(0, "big", b"x" * (slot_bytes + 1))]
        with pytest.raises(UsageError, match=f"big has {slot_bytes + 1} bytes"):
            list(stream.scan(big))
    assert len(batches) > 4
    assert [number for batch, _ in batches for number in batch.numbers] == list(range(count))
    rules = [rule.id for rule in PACK.rules]
    got = [(row[0], rules[row[1]], row[2], row[3]) for _, rows in batches for row in rows]
    expected = [(n, f.rule_id, f.start, f.end) for n, own in enumerate(want) for f in own]
    assert len(expected) > 12 * count
    assert sorted(got) == sorted(expected)
    assert totals.documents == count
    assert totals.bytes == sum(len(data) for _, _, data in documents)
    assert totals.report.committed_tiles > 0


@pytest.mark.gpu
def test_out_of_memory_halves_the_arena(real_gpu: Gpu) -> None:
    """With too little device memory for an arena a lane goes on in halves, and gives the same rows
    and matches.
    """
    import cupy

    from vyre_dist.kernels.cuda.errors import DeviceMemoryError
    from vyre_dist.kernels.cuda.lane import Lane
    from vyre_dist.kernels.cuda.spans import Spans
    from vyre_dist.program.pack_spans import make_spans

    compiled = compile_pack(PACK.data)
    tables = make_tables(PATTERNS)
    spans = Spans(real_gpu.device, make_spans(compiled, tables))
    programs = real_gpu.programs(tables, TUNABLES[0])
    filler = b"int x;\n" * 1_000_000
    arena = Arena.pack([filler + b"my.key = 'abcdef-0123456'\ntoken=deadbeef\n" for _ in range(40)])

    def scanned(lane: Lane, arena: Arena) -> list[tuple[object, ...]]:
        lane.start(arena)
        rows = lane.finish()
        assert rows.matches is not None
        pairs = zip(rows.rows.tolist(), rows.matches.tolist(), strict=True)
        return sorted({(*row, *match[:4], tuple(match[4])) for row, match in pairs})

    want = scanned(Lane(programs, 0, spans), arena)
    assert len(want) >= 80
    cupy.get_default_memory_pool().free_all_blocks()
    lane = Lane(programs, 0, spans)
    hog = [cupy.empty(real_gpu.device.free_bytes() - spans.scratch_bytes - (100 << 20), np.uint8)]
    try:
        assert scanned(lane, arena) == want
        lane.start(Arena.pack([b"." * (160 << 20)]))
        with pytest.raises(DeviceMemoryError, match="of 160 MiB"):
            lane.finish()
    finally:
        hog.clear()
        cupy.get_default_memory_pool().free_all_blocks()
    assert scanned(lane, arena) == want


def test_paths_count(gpu: Gpu, tmp_path: Path) -> None:
    """A global allowlist's paths are left out and counted; a rule that looks at paths only has its
    findings.
    """
    del gpu
    from vyre_dist.engine.extraction_pool import ExtractionPool
    from vyre_dist.engine.gpu_stream import GpuStream
    from vyre_dist.kernels.cuda.device_pack import DevicePack

    file = tmp_path / "pack.toml"
    file.write_text(
        '[[rules]]\nid = "token"\nregex = "tok_[a-z]{6}"\n[[rules]]\nid = "key-file"\npath = "\\\\.pem$"\n'
        '[[allowlists]]\npaths = ["^vendor/"]\n'
    )
    pack = RulePack.load(file)
    compiled = compile_pack(pack.data)
    device_pack = DevicePack(compiled, ArtifactCache(None))
    documents = [(0, "vendor/a", b"tok_abcdef"), (1, "b", b"tok_abcdef"), (2, "c.pem", b"nothing")]
    with (
        ExtractionPool(pack.data, compiled, device_pack.reading, workers=1) as pool,
        GpuStream(device_pack, pack.data, pool, slots=2, slot_bytes=1 << 20) as stream,
    ):
        rows = [row for _, own in stream.scan(documents) for row in own]
        assert stream.totals.skipped == 1
        files = []
        for number, path, text in documents:
            (tmp_path / str(number)).write_bytes(text)
            files.append((number, path, str(tmp_path / str(number))))
        files.append((3, "gone.pem", str(tmp_path / "gone")))
        from_files = [row for _, own in stream.scan_files(files) for row in own]
        assert [(number, reason) for number, reason, _ in stream.problems] == [(3, "vanished")]
    for each in (rows, from_files):
        assert sorted((row[0], pack.rules[row[1]].id) for row in each) == [
            (1, "token"),
            (2, "key-file"),
        ]


def test_adaptive_agrees(gpu: Gpu) -> None:
    """Whatever path the speculator takes, the rows are the fused programs'; a class of density is
    raced once.
    """
    from vyre_dist.kernels.cuda.adaptive import RACES, AdaptivePrograms
    from vyre_dist.kernels.cuda.arenas import DeviceArena
    from vyre_dist.kernels.cuda.workspace import Workspace

    rng = random.Random(8)
    programs = gpu.programs(make_tables(PATTERNS), TUNABLES[0])
    adaptive = AdaptivePrograms(programs, gpu.stream, "test", probe_every=4)
    there = DeviceArena()
    there.upload(
        Arena.pack([random_document(rng, 400) for _ in range(gpu.amount(20, 6))]), gpu.stream
    )
    want = found(programs.run_fused(there, Workspace(), gpu.stream))
    for turn in range(3 * (RACES + 1) + 1):
        for mode in (SpeculationMode.AUTO, SpeculationMode.FORCE, SpeculationMode.DISABLE):
            rows = adaptive.run(there, mode)
            assert found(rows)[:2] == want[:2]
            assert len(np.unique(rows.rows)) > 20
        assert len(adaptive.paths) == turn + 1
    # the first arena shows the density, then both paths are raced in turn
    assert adaptive.paths[1 : 2 * (RACES + 1) + 1] == [True, False] * (RACES + 1)
    assert not adaptive._classes[adaptive._density].racing
    empty = DeviceArena()
    empty.upload(Arena.pack([b"." * 5000]), gpu.stream)
    for _ in range(10):
        assert adaptive.run(empty).rows.size == 0


def test_densities_that_alternate(emulated_gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each class is raced also where no two arenas of it follow each other; then the dearer path is
    left.
    """
    from vyre_dist.kernels.cuda import adaptive as module
    from vyre_dist.kernels.cuda.arenas import DeviceArena

    made: list[module._Class] = []
    plain = module._Class
    monkeypatch.setattr(module, "_Class", lambda every: made.append(plain(every)) or made[-1])
    programs = emulated_gpu.programs(make_tables(["token=[0-9a-f]{8}"]), TUNABLES[3])
    real, now = programs.run_fused, [0]

    def dear(*arguments: Any) -> Any:
        now[0] += 10**9
        return real(*arguments)

    def clock() -> int:
        now[0] += 1000
        return now[0]

    monkeypatch.setattr(programs, "run_fused", dear)
    monkeypatch.setattr(time, "perf_counter_ns", clock)
    adaptive = module.AdaptivePrograms(programs, emulated_gpu.stream, "test")
    arenas = []
    for text in (b"." * 5000 + b"token=deadbeef", b"token=deadbeef " * 300):
        arenas.append(DeviceArena())
        arenas[-1].upload(Arena.pack([text]), emulated_gpu.stream)
    for turn in range(100):
        adaptive.run(arenas[turn % 2])
    assert sum(adaptive.paths) < 20
    assert not any(adaptive.paths[30:60])
    assert made == list(
        adaptive._classes.values()
    )  # none is made in vain: that takes time in each run


def test_a_class_that_is_only_passed_through(emulated_gpu: Gpu) -> None:
    """Where a class comes only after one that is settled, its race is given up, and what it keeps
    does not grow.
    """
    from vyre_dist.kernels.cuda.adaptive import _MOST_TURNS, AdaptivePrograms
    from vyre_dist.kernels.cuda.arenas import DeviceArena

    programs = emulated_gpu.programs(make_tables(["token=[0-9a-f]{8}"]), TUNABLES[3])
    adaptive = AdaptivePrograms(programs, emulated_gpu.stream, "test")
    often, seldom = DeviceArena(), DeviceArena()
    often.upload(Arena.pack([b"." * 400]), emulated_gpu.stream)
    seldom.upload(Arena.pack([b"token=deadbeef " * 30]), emulated_gpu.stream)
    for turn in range(6 * _MOST_TURNS):
        adaptive.run(seldom if turn % 5 == 4 else often)
    assert len(adaptive._classes) == 2
    assert not any(each.racing for each in adaptive._classes.values())
    assert all(
        len(times) <= _MOST_TURNS
        for each in adaptive._classes.values()
        for times in each._times.values()
    )
