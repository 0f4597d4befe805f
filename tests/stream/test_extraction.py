"""From confirmed rows to findings in worker processes: the findings are the Scanner's. The rows are
the reference's here.
"""

from __future__ import annotations

import multiprocessing
import random
from multiprocessing.shared_memory import SharedMemory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gpu_support import PATTERNS, device_rows, matches_of, random_document
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples

from vyre_dist import RulePack, Scanner
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import execute_arena
from vyre_dist.program import compile_pack
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.program.span_tables import build_span_tables
from vyre_dist.rows.layout import FOUND, ROW_DTYPE, SETTLED_DTYPE
from vyre_dist.rows.reading import RowReading
from vyre_dist.rows.settling import settle
from vyre_dist.rules.byte_filters import byte_filters_of
from vyre_dist.stream import ArenaBatch, ExtractionPool, ExtractionWorkerError
from vyre_dist.stream.extraction import Extractor, RowJob
from vyre_dist.stream.row_jobs import jobs_of


@pytest.mark.parametrize("elsewhere", [False, True])
def test_findings_are_the_scanners(elsewhere: bool) -> None:
    """Rows of an arena, in the workers' shared memory or outside of it, become the findings of a
    scan of its documents.
    """
    rng = random.Random(4)
    pack = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})
    documents = [random_document(rng, 30) for _ in range(80)]
    paths = [f"dir/{n}.txt" for n in range(len(documents))]
    want = Scanner(pack, backend="cpu").scan_batch(list(zip(paths, documents, strict=True)))
    compiled = compile_pack(pack.data)
    tables = load_tables(compiled)
    packed = Arena.lay_out(documents)
    memory = SharedMemory(create=True, size=packed.data.size + 4096)
    try:
        shared = np.ndarray((packed.data.size,), np.uint8, memory.buf)
        shared[:] = 0 if elsewhere else packed.data
        arena = (
            packed
            if elsewhere
            else Arena(shared, packed.starts, packed.ends, packed.at_start, packed.at_end)
        )
        reading = RowReading.of(tables)
        slot: Any = None
        batch = ArenaBatch(arena, paths, range(len(paths)), slot)
        rows = device_rows(execute_arena(tables, arena, tile_bytes=4096))
        jobs = jobs_of(reading, rows, batch, shared, most_jobs=5)
        assert len(jobs) == 5
        with ExtractionPool(pack.data, compiled, reading, workers=2) as pool:
            found = [row for each in pool.submit(memory.name, jobs) for row in each.result()[0]]
        del shared, arena, batch
    finally:
        memory.close()
        memory.unlink()
    assert len(found) > 100
    rules = [rule.id for rule in pack.rules]
    got = [
        (
            row.document,
            rules[row.rule],
            row.start,
            row.end,
            row.line,
            row.column,
            row.match,
            row.secret,
        )
        for row in found
    ]
    expected = [
        (n, f.rule_id, f.start, f.end, f.line, f.column, f.match, f.secret)
        for n, own in enumerate(want)
        for f in own
    ]
    assert sorted(got) == sorted(expected)


FILTERED = """
[[rules]]
id = "key"
regex = '''(?i)[\\w.-]{0,9}?(?:key|token)[ \\t\\w.-]{0,5}(?:=|:=)[ \'=]{0,2}([\\w.=-]{4,9}|[a-z0-9]{6,})(?:[\'\\s;]|$)'''
entropy = 2.0
[[rules.allowlists]]
regexes = ["^[a-z.]+$"]
stopwords = ["abc1"]
[[rules]]
id = "second"
regex = 'x(\\d+)?y=(\\w{2,6})'
secretGroup = 2
[[rules]]
id = "neighbours"
regex = 'aab|abca?b'
[[rules]]
id = "long"
regex = 'begin[^!]{3,}!'
[[rules]]
id = "lines"
regex = '(?m)^name: *(\\S{2,})$'
keywords = ["name"]
"""
TEXTS = [
    "key=",
    "token :='",
    "abcdef1'",
    "abc123 ",
    "k.x",
    " ",
    "\n",
    ";",
    "aab",
    "abcab",
    "aabcab",
    "begin",
    "!",
    "x12y=",
]
TEXTS += [
    "xy=abc",
    "name: v1\n",
    "my.key = 'zz12ab'\n",
    "." * 200,
    "\xe9",
    "=",
    "key=ab.cd.ef;",
    "xy",
    "12",
]


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The pack FILTERED, compiled, and what scans it."""
    file = tmp_path_factory.mktemp("pack") / "filtered.toml"
    file.write_text(FILTERED)
    pack = RulePack.load(file)
    compiled = compile_pack(pack.data)
    tables = load_tables(compiled)
    return SimpleNamespace(
        pack=pack,
        compiled=compiled,
        tables=tables,
        spans=build_span_tables(compiled, tables, byte_filters_of(pack.data)),
        extractor=Extractor.of(pack.data, compiled, RowReading.of(tables)),
        scanner=Scanner(pack, backend="cpu"),
    )


@settings(max_examples=examples(300), deadline=None)
@given(pieces=st.lists(st.lists(st.sampled_from(TEXTS), max_size=25), min_size=1, max_size=4))
def test_searched_on_the_device(filtered: SimpleNamespace, pieces: list[list[str]]) -> None:
    """Where the device has searched, screened and overlapping matches included, findings are the
    Scanner's.
    """
    pack, tables, extractor = filtered.pack, filtered.tables, filtered.extractor
    documents = ["".join(own).encode("latin-1") for own in pieces]
    arena = Arena.lay_out(documents)
    rows = device_rows(execute_arena(tables, arena, tile_bytes=4096))
    matches = matches_of(filtered.spans, arena, rows)
    paths = [f"{n}" for n in range(len(documents))]
    slot: Any = None
    batch = ArenaBatch(arena, paths, range(len(paths)), slot)
    jobs = jobs_of(extractor.reading, rows, batch, arena.data, 2, matches)
    found = [row for job in jobs for row in extractor.run(memoryview(arena.data), job)[0]]
    want = filtered.scanner.scan_batch(list(zip(paths, documents, strict=True)))
    rules = [rule.id for rule in pack.rules]
    got = sorted(
        (
            row.document,
            rules[row.rule],
            row.start,
            row.end,
            row.line,
            row.column,
            row.match,
            row.secret,
        )
        for row in found
    )
    assert got == sorted(
        (n, f.rule_id, f.start, f.end, f.line, f.column, f.match, f.secret)
        for n, own in enumerate(want)
        for f in own
    )


def test_the_device_settles_most() -> None:
    """On ordinary text nearly no row is left for google-re2, and screened matches are dropped."""
    pack = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})
    compiled = compile_pack(pack.data)
    tables = load_tables(compiled)
    spans = build_span_tables(compiled, tables, byte_filters_of(pack.data))
    rng = random.Random(6)
    arena = Arena.lay_out([random_document(rng, 40) for _ in range(120)])
    rows = device_rows(execute_arena(tables, arena, tile_bytes=4096))
    programmed = np.array([program is not None for program in spans.programs])
    rows = rows[programmed[rows["rule"] & 0xFFFF]]
    matches = matches_of(spans, arena, rows)
    left, settled, _ = settle(rows, matches)
    assert rows.size > 300
    assert (matches["status"] == FOUND).sum() > 250
    assert left.size < rows.size // 10
    assert len(settled) > 200


def test_a_refused_job_is_raised() -> None:
    """An arena that is not there is an error of the job, not of the pool: the next job is done."""
    pack = RulePack.from_patterns({"a": "abcd"})
    compiled = compile_pack(pack.data)
    reading = RowReading.of(load_tables(compiled))
    none = np.zeros(1, np.int64)
    job = RowJob(
        np.zeros(1, ROW_DTYPE), np.zeros(0, SETTLED_DTYPE), none, none + 4, none, ["x"], [0]
    )
    with ExtractionPool(pack.data, compiled, reading, workers=1) as pool:
        (lost,) = pool.submit("vyre-dist-no-such-arena", [job])
        with pytest.raises(
            ExtractionWorkerError, match=r"FileNotFoundError: .*no-such-arena.*_attach"
        ):
            lost.result()
        memory = SharedMemory(create=True, size=4096)
        try:
            memory.buf[:4] = b"abcd"
            pool.forget(["vyre-dist-no-such-arena"])
            (found,) = pool.submit(memory.name, [job])
            assert [row.match for row in found.result()[0]] == [b"abcd"]
            assert found.done()
        finally:
            memory.close()
            memory.unlink()


def test_long_jobs_and_answers_cross() -> None:
    """Jobs and answers that are longer than a pipe holds do not wait for each other."""
    pack = RulePack.from_patterns({"a": "abcd"})
    compiled = compile_pack(pack.data)
    reading = RowReading.of(load_tables(compiled))
    documents = [b"abcd " * 4000] * 4
    arena = Arena.lay_out(documents)
    memory = SharedMemory(create=True, size=arena.data.size)
    try:
        np.ndarray(arena.data.shape, np.uint8, memory.buf)[:] = arena.data
        rows = device_rows(execute_arena(load_tables(compiled), arena, tile_bytes=4096))
        slot: Any = None
        batch = ArenaBatch(arena, ["x" * 100_000] * 4, range(4), slot)
        jobs = jobs_of(reading, rows, batch, arena.data, most_jobs=4)
        with ExtractionPool(pack.data, compiled, reading, workers=1) as pool:
            for each in pool.submit(memory.name, jobs * 5):
                assert len(each.result()[0]) == 4000
    finally:
        memory.close()
        memory.unlink()


def test_a_worker_that_ends() -> None:
    """Jobs of a worker that ends are errors that say so; when none is left, that is said."""
    pack = RulePack.from_patterns({"a": "abcd"})
    compiled = compile_pack(pack.data)
    reading = RowReading.of(load_tables(compiled))
    with ExtractionPool(pack.data, compiled, reading, workers=1) as pool:
        pool.warm_up()
        (process,) = [
            child for child in multiprocessing.active_children() if "vyre-extraction" in child.name
        ]
        process.kill()
        none = np.zeros(1, np.int64)
        job = RowJob(
            np.zeros(1, ROW_DTYPE), np.zeros(0, SETTLED_DTYPE), none, none + 4, none, ["x"], [0]
        )
        (lost,) = pool.submit("anything", [job])
        with pytest.raises(ExtractionWorkerError, match="was ended by signal 9"):
            lost.result()
        with pytest.raises(ExtractionWorkerError, match="start a new pool"):
            pool.submit("anything", [job])
