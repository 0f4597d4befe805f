"""The programs over arenas of many documents: NumPy against plain Python, documents against each other, tiles."""

from __future__ import annotations

import random
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
import slow_programs
from hypothesis import given, settings
from hypothesis import strategies as st

from vyre_dist.compiler import GramModel, PackTables, Route, compile_tables
from vyre_dist.compiler import rule_program as rule_program_module
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import NO_PLACE, candidates, execute_arena
from vyre_dist.errors import UsageError
from vyre_dist.regex import parse

randoms = st.randoms(use_true_random=False)


def random_arena(lab: SimpleNamespace, rng: random.Random, whole: bool = False) -> Arena:
    """Up to seven stretches, empty ones among them, each whole or open at either end."""
    stretches = [lab.random_haystack(rng, 9) for _ in range(rng.randrange(8))]
    flags = [[whole or rng.random() < 0.6 for _ in stretches] for _ in range(2)]
    return Arena.pack(stretches, *flags)


def random_tables(lab: SimpleNamespace, rng: random.Random, model: GramModel) -> PackTables:
    regexes = [r for _ in range(4) if (r := lab.parse_or_none(lab.random_pattern(rng, 1))) is not None]
    return compile_tables([regex.root for regex in regexes], model).tables


def check_against_plain_python(tables: PackTables, arena: Arena, tile_bytes: int, max_steps: int) -> None:
    slow = slow_programs.run(tables, arena, tile_bytes, max_steps)
    found = candidates(tables, arena)
    assert sorted(zip(*(column.tolist() for column in found), strict=True)) == slow.candidates
    fast = execute_arena(tables, arena, tile_bytes=tile_bytes, max_steps=max_steps)
    assert fast.confirmed.tolist() == slow.confirmed
    assert fast.for_host.tolist() == slow.for_host
    assert (fast.attempted_tiles, fast.committed_tiles) == (slow.attempted, slow.committed)


@settings(max_examples=250, deadline=None)
@given(rng=randoms)
def test_as_defined(lab: SimpleNamespace, flat_model: GramModel, rng: random.Random) -> None:
    """Candidates, rows and tile counts are those of the definition in plain Python, whatever edges are known."""
    tables = random_tables(lab, rng, flat_model)
    for _ in range(4):
        check_against_plain_python(
            tables, random_arena(lab, rng), 1 << rng.randrange(7), rng.choice((1, 2, 5, 99))
        )


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(8))
def test_many_as_defined(lab: SimpleNamespace, flat_model: GramModel, seed: int) -> None:
    """The same for over a hundred thousand (rule, arena) pairs a run."""
    rng = random.Random(seed)
    for _ in range(500):
        tables = random_tables(lab, rng, flat_model)
        for _ in range(8):
            check_against_plain_python(
                tables, random_arena(lab, rng), 1 << rng.randrange(7), rng.choice((1, 2, 5, 99))
            )


@settings(max_examples=80, deadline=None)
@given(rng=randoms)
def test_bit_parallel_as_defined(lab: SimpleNamespace, flat_model: GramModel, rng: random.Random) -> None:
    """The same with all automata bit-parallel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rule_program_module, "MAX_TABLE_BYTES", 0)
        tables = random_tables(lab, rng, flat_model)
    check_against_plain_python(
        tables, random_arena(lab, rng), 1 << rng.randrange(7), rng.choice((1, 2, 5, 99))
    )


class EveryOther(PackTables):
    """Tables whose programs look at even places only."""

    stride = 2


def with_stride(tables: PackTables, stride: int) -> PackTables:
    """The same tables for another stride; whether their windows suit it does not matter here."""
    values = {f.name: getattr(tables, f.name) for f in fields(PackTables)}
    if "stride" in values:
        return PackTables(**{**values, "stride": stride})
    return tables if stride == 1 else EveryOther(**values)


@settings(max_examples=80, deadline=None)
@given(rng=randoms)
def test_stride_two_as_defined(lab: SimpleNamespace, flat_model: GramModel, rng: random.Random) -> None:
    """With a stride of 2 only even places of the arena are looked at, wherever documents begin."""
    tables = with_stride(random_tables(lab, rng, flat_model), 2)
    arena = random_arena(lab, rng)
    check_against_plain_python(tables, arena, 1 << rng.randrange(7), rng.choice((1, 2, 5, 99)))
    assert not np.any(candidates(tables, arena).places & 1)


def test_long_arenas(flat_model: GramModel) -> None:
    """An arena that is looked at in several goes has the candidates that it has, every one of them, at all offsets."""
    tables = compile_tables([parse("xqzj").root], flat_model).tables
    for offset in range(9):
        text = (b"." * offset + b"xqzj....." * 22_000)[:190_001]
        wanted = [at for at in range(len(text)) if text.startswith(b"xqzj", at)]
        assert candidates(with_stride(tables, 1), Arena.pack([text])).places.tolist() == wanted
        even = candidates(with_stride(tables, 2), Arena.pack([text])).places.tolist()
        assert even == [at for at in wanted if at % 2 == 0]


def test_many_candidates_together_as_one_by_one(flat_model: GramModel) -> None:
    """Hundreds of candidates of long runs, which are run together until few are left, have the plain verdicts."""
    patterns = ["tok_[a-z]{5,40}x", "(?:ab)+c?tok_", r"tok_.*\bend$", "tok_[^x]{0,70}y"]
    tables = compile_tables([parse(pattern).root for pattern in patterns], flat_model).tables
    rng = random.Random(5)
    stretches = [
        b"".join(rng.choice([b"ab", b"tok_", b"aqx", b"end", b" ", b"y", b"abab" * 9]) for _ in range(12))
        for _ in range(80)
    ]
    flags = [[rng.random() < 0.7 for _ in stretches] for _ in range(2)]
    arena = Arena.pack(stretches, *flags)
    assert candidates(tables, arena).places.size > 300
    for max_steps in (3, 30, 1 << 16):
        check_against_plain_python(tables, arena, 64, max_steps)


@settings(max_examples=150, deadline=None)
@given(rng=randoms)
def test_neighbours_do_not_matter(lab: SimpleNamespace, flat_model: GramModel, rng: random.Random) -> None:
    """A document has the same rows, places moved, in an arena of its own as packed among others."""
    tables = random_tables(lab, rng, flat_model)
    arena = random_arena(lab, rng)
    together = execute_arena(tables, arena, tile_bytes=64)
    data = arena.data.tobytes()
    alone: dict[str, list[tuple[int, int, int]]] = {"confirmed": [], "for_host": []}
    for document, (low, high) in enumerate(
        zip(arena.starts[:-1].tolist(), arena.starts[1:].tolist(), strict=True)
    ):
        flags = [bool(arena.at_start[document])], [bool(arena.at_end[document])]
        own = execute_arena(tables, Arena.pack([data[low:high]], *flags), tile_bytes=64)
        for name, rows in alone.items():
            rows += [
                (document, rule, place if place == NO_PLACE else place + low)
                for _, rule, place in getattr(own, name).tolist()
            ]
    assert together.confirmed.tolist() == sorted(alone["confirmed"])
    assert together.for_host.tolist() == sorted(alone["for_host"])


def test_shifted_over_tile_edges(flat_model: GramModel) -> None:
    """At each of 261 offsets, alone or after ragged neighbours, a match is one row in the tile that its pivot is in."""
    tables = compile_tables([parse(r"\btok_[0-9]{4}\b").root], flat_model).tables
    assert tables.routes.tolist() == [Route.AUTOMATA]
    for offset in range(261):
        stretches = [b"x" * (offset % 7), b"", b" " * offset + b"tok_1234", b"5 tok_12345", b"tok_9876"]
        arena = Arena.pack(stretches)
        verdicts = execute_arena(tables, arena, tile_bytes=32)
        rows = verdicts.confirmed.tolist()
        assert [(document, rule) for document, rule, _ in rows] == [(2, 0), (4, 0)]
        pivots = [place for *_, place in rows]
        assert [pivot - int(arena.starts[d]) for pivot, (d, *_) in zip(pivots, rows, strict=True)] == [
            offset + pivots[1] - int(arena.starts[4]),
            pivots[1] - int(arena.starts[4]),
        ]
        assert verdicts.committed_tiles == len({pivot // 32 for pivot in pivots})
        assert verdicts.attempted_tiles >= verdicts.committed_tiles


def test_a_window_over_two_documents_is_no_match(flat_model: GramModel) -> None:
    """A keyword that two neighbours only spell together confirms nothing, and is not left open if both are whole."""
    tables = compile_tables([parse("token").root, parse("to").root], flat_model).tables
    verdicts = execute_arena(tables, Arena.pack([b"a to", b"ken"]), tile_bytes=64)
    assert [row[:2] for row in verdicts.confirmed.tolist()] == [(0, 1)]
    assert not verdicts.for_host.size
    open_ended = Arena.pack([b"a to", b"ken"], [True, False], [False, True])
    assert (0, 0) in [row[:2] for row in execute_arena(tables, open_ended, tile_bytes=64).for_host.tolist()]


@pytest.mark.parametrize(
    ("starts", "flags"), [([0, 4], 1), ([1, 3], 1), ([0, 2, 1, 3], 3), ([0, 3], 2), ([], 0), ([0, 3], 0)]
)
def test_unsound_arenas(starts: list[int], flags: int) -> None:
    """Starts that do not ascend from 0 to the end, or too few or many flags, are refused."""
    with pytest.raises(UsageError):
        Arena(np.zeros(3, np.uint8), np.array(starts, np.int64), np.ones(flags, bool), np.ones(flags, bool))
