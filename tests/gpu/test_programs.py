"""The programs on the GPU against the reference: rows, tiles and the prefilter's bits, over every
instance.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from gpu_device import Gpu
from gpu_support import (
    MANY_EVERYWHERE,
    PATTERNS,
    TUNABLES,
    expected,
    found,
    make_tables,
    random_document,
)
from random_patterns import flat_model, parse_or_none, random_haystack, random_pattern

from vyre_dist.compiler import compile_tables, routed_rule
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import bitmap_positions, execute_arena
from vyre_dist.compiler.gram_model import default_model
from vyre_dist.compiler.hashing import make_bitmap
from vyre_dist.kernels.cuda.arenas import DeviceArena
from vyre_dist.kernels.cuda.workspace import Workspace
from vyre_dist.program.tunables import Tunables

TABLES = make_tables(PATTERNS)
MAX_STEPS = 256


def check(gpu: Gpu, arena: Arena, tunables: Tunables, **options: int) -> int:
    """All ways give the reference's rows and tiles; how many rows there are."""
    want = expected(
        execute_arena(TABLES, arena, tile_bytes=tunables.tile_bytes, max_steps=MAX_STEPS)
    )
    programs = gpu.programs(TABLES, tunables, MAX_STEPS, **options)
    for way, got in gpu.every_way(programs, arena).items():
        assert got == want, way
    return len(want[0]) + len(want[1])


@pytest.mark.parametrize("tunables", TUNABLES, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_random_arenas(gpu: Gpu, tunables: Tunables, seed: int) -> None:
    """Arenas of random documents, open and whole, give the reference's rows and tiles in every
    instance.
    """
    rng = random.Random(seed)
    rows = 0
    for count in (1, 7, 300):
        documents = [random_document(rng, 12) for _ in range(count)]
        flags = [[rng.random() < 0.7 for _ in documents] for _ in range(2)]
        arena = Arena.lay_out(documents, *flags, alignment=rng.choice((2, 4, 16)))
        rows += check(gpu, arena, tunables)
    assert rows > 20


@pytest.mark.parametrize("seed", range(4))
def test_random_packs(gpu: Gpu, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random patterns, some with bit-parallel automata, give the reference's rows whatever the
    limit of steps.
    """
    tunables = Tunables(threads=64, unroll=1, tile_bytes=512, bitmap_bits=14, blocks_per_sm=1)
    rows = parallel = always = widths = 0
    for number in range(gpu.amount(100, 30)):
        rng = random.Random(1000 * seed + number)
        with monkeypatch.context() as patch:
            if rng.random() < 0.4:
                patch.setattr(routed_rule, "MAX_TABLE_BYTES", 0)
            regexes = [
                r for _ in range(4) if (r := parse_or_none(random_pattern(rng, 1))) is not None
            ]
            roots = [regex.root for regex in regexes]
            tables = compile_tables(roots, rng.choice((flat_model(), default_model()))).tables
        documents = [random_haystack(rng, 30) for _ in range(rng.randrange(1, 20))]
        flags = [[rng.random() < 0.6 for _ in documents] for _ in range(2)]
        arena = Arena.lay_out(documents, *flags, alignment=rng.choice((2, 4, 16)))
        max_steps = rng.choice((1, 2, 5, 99))
        want = expected(execute_arena(tables, arena, tile_bytes=512, max_steps=max_steps))
        for way, got in gpu.every_way(gpu.programs(tables, tunables, max_steps), arena).items():
            assert got == want, (number, way)
        rows += len(want[0])
        parallel += bool(tables.automata["is_nfa"].any() and want[0])
        always += tables.always_entries.size > 0
        widths += bool(tables.widths.any())
    assert rows > 20
    assert parallel
    assert always
    assert widths


def test_every_offset(gpu: Gpu) -> None:
    """A document shifted through 261 offsets, in itself and in the arena, over the edges of
    vectors, units and tiles.
    """
    text = b" ".join(
        piece
        for piece in (b"token=deadbeef", b"key='0123456789'", b"0123456789abcdef" * 3, b"abcxy zz")
    )
    tunables = Tunables(threads=64, unroll=1, tile_bytes=512, bitmap_bits=14, blocks_per_sm=1)
    documents = [b"." * shift + text for shift in range(261)]
    assert check(gpu, Arena.lay_out(documents, alignment=2), tunables) > 261
    for shift in range(0, 261, gpu.amount(2, 6)):
        arena = Arena.lay_out([b"-" * shift, text], alignment=2)
        assert check(gpu, arena, tunables) > 3


def test_runs_of_all_lengths(gpu: Gpu) -> None:
    """Many rules that are looked for by runs of one class, and a run that is longer than a
    document's rest is told.
    """
    long = "(?:[0-9a-f]{33}){30}" * 67
    tables = make_tables([*(f"[0-9a-f]{{{40 + n}}}" for n in range(12)), "[0-9]{35}", long])
    assert tables.runs.size == 14
    text = bytes(random.Random(1).choices(b"0123456789abcdef", k=66_400))
    documents = [
        b"zz " + text + b" zz",
        *(b"- " + text[:size] + b"g" for size in (30, 39, 40, 45, 51, 60, 300)),
    ]
    arena = Arena.lay_out([*documents, b"7" * 35])
    want = expected(execute_arena(tables, arena, tile_bytes=4096, max_steps=1024))
    assert len({rule for _, rule, _ in want[1]}) == 14
    for way, got in gpu.every_way(gpu.programs(tables, TUNABLES[3], 1024), arena).items():
        assert got == want, way


def test_ragged_ends(gpu: Gpu) -> None:
    """Arenas of every length from 0 to 80 bytes, and around a unit's size, are read to their last
    byte and no further.
    """
    text = (b"zz token=deadbeef abcxxy s.abcdef " * 200)[:4200]
    for size in [*range(81), 511, 512, 513, 2047, 2048, 2049, 4095, 4096, 4097]:
        check(gpu, Arena.lay_out([text[-size:] if size else b""]), TUNABLES[0])


def test_tiny_documents(gpu: Gpu) -> None:
    """Very many documents of no to four bytes: none sees its neighbour's."""
    rng = random.Random(5)
    documents = [
        rng.choice([b"", b"z", b"zz", b"zzz", b"zzzz", b"abcy", b"abc", b"y"])
        for _ in range(gpu.amount(100_000, 5_000))
    ]
    assert check(gpu, Arena.lay_out(documents, alignment=2), TUNABLES[0]) > gpu.amount(
        20_000, 1_000
    )


def test_no_documents(gpu: Gpu) -> None:
    """An arena without documents, and one of empty documents, give nothing."""
    for documents in ([], [b""], [b"", b""]):
        assert check(gpu, Arena.lay_out(documents), TUNABLES[0]) == 0


def test_small_stretches(gpu: Gpu) -> None:
    """What lies across launches' stretches is found once, whichever stretch it begins in."""
    rng = random.Random(9)
    arena = Arena.lay_out([random_document(rng, 4000), random_document(rng, 4000)])
    assert arena.data.size > 40_000
    assert check(gpu, arena, TUNABLES[0], stretch_bytes=4096) > 1000


def test_several_rounds(gpu: Gpu) -> None:
    """In an arena of more than all blocks look at in one round, every round's rows are found."""
    filler = b"int x;\n" * gpu.amount(4_000, 80)
    arena = Arena.lay_out([filler + b"token=deadbeef abcxxy " + filler] * 400)
    assert check(gpu, arena, TUNABLES[0]) >= 3 * 400


def test_everything_hits(gpu: Gpu) -> None:
    """Where every place hits and every candidate is confirmed, lists and rows outgrow their room
    and nothing is lost.
    """
    arena = Arena.lay_out(
        [b"z" * gpu.amount(1_000_001, 70_001), b"abcy" * gpu.amount(50_000, 1_000)]
    )
    assert check(gpu, arena, TUNABLES[0]) > Workspace().row_capacity


def test_many_rules_without_windows(gpu: Gpu) -> None:
    """Of more such entries than the kernel asks for at once, each finds its places, in small
    stretches too.
    """
    tables = make_tables(MANY_EVERYWHERE)
    assert tables.always_entries.size > 32
    rng = random.Random(13)
    pieces = [
        *(f"{chr(97 + n)}{n % 10}".encode() for n in range(26)),
        b" ",
        b".",
        b"\n",
        b"xy",
        b"ay7",
        b"q.",
    ]
    documents = [b"".join(rng.choices(pieces, k=rng.randrange(1000))) for _ in range(30)]
    flags = [[rng.random() < 0.7 for _ in documents] for _ in range(2)]
    arena = Arena.lay_out(documents, *flags, alignment=2)
    want = expected(execute_arena(tables, arena, tile_bytes=4096, max_steps=MAX_STEPS))
    assert len({rule for _, rule, _ in want[0]}) > 25
    tunables = Tunables(threads=256, unroll=1, tile_bytes=4096, bitmap_bits=14, blocks_per_sm=1)
    for stretch_bytes in (4096, 1 << 30):
        programs = gpu.programs(tables, tunables, MAX_STEPS, stretch_bytes=stretch_bytes)
        for way, got in gpu.every_way(programs, arena).items():
            assert got == want, way


def test_prefilter_bits(gpu: Gpu) -> None:
    """The hits that are listed are the reference's, bit for bit, for bitmaps of every size."""
    from dataclasses import replace

    rng = random.Random(11)
    arena = Arena.lay_out([random_document(rng, 3000) for _ in range(5)])
    there, space = DeviceArena(), Workspace()
    there.upload(arena, gpu.stream)
    for bits in (10, 14, 18, 19, 20):
        programs = gpu.programs(TABLES, replace(TUNABLES[3], bitmap_bits=bits, blocks_per_sm=1))
        lists = programs.list_hits(there, 0, space, gpu.stream)
        assert lists is not None
        count = int(space.reserve("found", np.uint32, 1).get(stream=gpu.stream)[0])
        hits = (
            space.reserve("hits", np.uint8, 0)[: 4 * count].get(stream=gpu.stream).view(np.uint32)
        )
        windows = np.sort(hits[hits >> np.uint32(31) == 0])
        tables = replace(TABLES, bitmap=make_bitmap(TABLES.grams, TABLES.multiplier, bits))
        assert np.array_equal(windows, bitmap_positions(tables, arena.data).astype(np.uint32))


@pytest.mark.gpu
def test_beyond_four_gibibytes(real_gpu: Gpu) -> None:
    """In an arena of more than 2^32 bytes, what was planted around 2^30, 2^31 and 2^32 is found, at
    its place.
    """

    if real_gpu.device.free_bytes() < 6 << 30:
        pytest.skip("less than 6 GiB of device memory are free")
    size = (4 << 30) + (64 << 20)
    data = np.full(size, ord("."), np.uint8)
    secret = np.frombuffer(b" token=deadbeef ", np.uint8)
    plants = [0, 1000, size - secret.size]
    for edge in (1 << 30, 1 << 31, 3 << 30, 1 << 32):
        plants += [edge - 9 + shift for shift in (-3000, 0, 3000)]
    for at in plants:
        data[at : at + secret.size] = secret
    cut = (2 << 30) + 12345678
    whole = np.ones(2, bool)
    arena = Arena(data, np.array([0, cut]), np.array([cut - 1, size]), whole, whole)
    there, space = DeviceArena(), Workspace()
    there.upload(arena, real_gpu.stream)
    # the second rule has no window: it looks at every place
    programs = real_gpu.programs(make_tables([PATTERNS[0], "en"]), TUNABLES[0])
    rows = found(programs.run_fused(there, space, real_gpu.stream))
    assert rows == found(programs.run_serial(there, space, real_gpu.stream))
    confirmed, for_host = rows[:2]
    assert not for_host
    for rule in (0, 1):
        own = [row for row in confirmed if row[1] == rule]
        for at, (document, _, place) in zip(sorted(plants), own, strict=True):
            assert document == (at >= cut)
            assert at < place < at + secret.size
            assert rule == 0 or place == at + 4
