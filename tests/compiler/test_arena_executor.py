"""The programs over arenas of many documents: NumPy against plain Python, documents against each
other, tiles.
"""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from arena_checks import check_against_plain_python, random_arena, random_tables
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples

from vyre_dist.compiler import GramModel, Route, compile_tables
from vyre_dist.compiler import routed_rule as routed_rule_module
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import (
    NO_POSITION,
    bitmap_positions,
    candidates,
    execute_arena,
    gram_candidates,
)
from vyre_dist.regex import parse

randoms = st.randoms(use_true_random=False)


@settings(max_examples=examples(250), deadline=None)
@given(rng=randoms)
def test_as_defined(lab: SimpleNamespace, flat_model: GramModel, rng: random.Random) -> None:
    """Candidates, rows and tile counts are those of the definition in plain Python, whatever edges
    are known.
    """
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
def test_bit_parallel_as_defined(
    lab: SimpleNamespace, flat_model: GramModel, rng: random.Random
) -> None:
    """The same with all automata bit-parallel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routed_rule_module, "MAX_TABLE_BYTES", 0)
        tables = random_tables(lab, rng, flat_model)
    check_against_plain_python(
        tables, random_arena(lab, rng), 1 << rng.randrange(7), rng.choice((1, 2, 5, 99))
    )


@settings(max_examples=80, deadline=None)
@given(rng=randoms)
def test_another_stride_as_defined(
    lab: SimpleNamespace, flat_model: GramModel, rng: random.Random
) -> None:
    """With another stride than the tables were made for, other positions are looked at, as
    defined."""
    tables = random_tables(lab, rng, flat_model)
    for stride in (1, 2):
        other = replace(tables, stride=stride)
        arena = random_arena(lab, rng)
        check_against_plain_python(other, arena, 1 << rng.randrange(7), rng.choice((1, 2, 5, 99)))
        found = candidates(other, arena)
        by_window = ~np.isin(found.entries, other.always_entries)
        assert not np.any(found.positions[by_window] % stride)


def test_long_arenas(flat_model: GramModel) -> None:
    """An arena that is looked at in several goes has the candidates that it has, every one of them,
    at all offsets.
    """
    tables = replace(compile_tables([parse("xqzj").root], flat_model).tables, stride=1)
    window = min(tables.grams.tolist()).to_bytes(4, "little")
    for offset in range(9):
        text = (b"." * offset + window + b".....") * (190_001 // (9 + offset))
        arena = Arena.lay_out([text])
        grams = {int(gram) for gram in tables.grams}
        wanted = {
            at
            for at in range(len(text) - 3)
            if int.from_bytes(text[at : at + 4], "little") | 0x20202020 in grams
        }
        assert len(wanted) >= text.count(window) > 5000
        assert (
            set(
                gram_candidates(
                    tables, arena, bitmap_positions(tables, arena.data)
                ).positions.tolist()
            )
            == wanted
        )
        even = gram_candidates(
            tables, arena, bitmap_positions(replace(tables, stride=2), arena.data)
        )
        assert set(even.positions.tolist()) == {at for at in wanted if at % 2 == 0}


def test_many_candidates_together_as_one_by_one(flat_model: GramModel) -> None:
    """Hundreds of candidates of long runs, which are run together until few are left, have the
    plain result.
    """
    patterns = ["tok_[a-z]{5,40}x", "(?:ab)+c?tok_", r"tok_.*\bend$", "tok_[^x]{0,70}y"]
    tables = compile_tables([parse(pattern).root for pattern in patterns], flat_model).tables
    rng = random.Random(5)
    stretches = [
        b"".join(
            rng.choice([b"ab", b"tok_", b"aqx", b"end", b" ", b"y", b"abab" * 9]) for _ in range(12)
        )
        for _ in range(80)
    ]
    flags = [[rng.random() < 0.7 for _ in stretches] for _ in range(2)]
    arena = Arena.lay_out(stretches, *flags)
    assert candidates(tables, arena).positions.size > 300
    for max_steps in (3, 30, 1 << 16):
        check_against_plain_python(tables, arena, 64, max_steps)


@settings(max_examples=examples(150), deadline=None)
@given(rng=randoms)
def test_neighbours_do_not_matter(
    lab: SimpleNamespace, flat_model: GramModel, rng: random.Random
) -> None:
    """A document has the same rows, positions moved, in an arena of its own as packed among
    others."""
    tables = random_tables(lab, rng, flat_model)
    arena = random_arena(lab, rng)
    together = execute_arena(tables, arena, tile_bytes=64)
    data = arena.data.tobytes()
    alone: dict[str, list[tuple[int, int, int]]] = {"confirmed": [], "for_host": []}
    for document, (low, high) in enumerate(
        zip(arena.starts.tolist(), arena.ends.tolist(), strict=True)
    ):
        flags = [bool(arena.at_start[document])], [bool(arena.at_end[document])]
        own = execute_arena(tables, Arena.lay_out([data[low:high]], *flags), tile_bytes=64)
        for name, rows in alone.items():
            rows += [
                (document, rule, position if position == NO_POSITION else position + low)
                for _, rule, position in getattr(own, name).tolist()
            ]
    assert together.confirmed.tolist() == sorted(alone["confirmed"])
    assert together.for_host.tolist() == sorted(alone["for_host"])


@pytest.mark.parametrize("pattern", [r"\btok_[0-9]{4}\b", r"\btok_[0-9]{4,5}\b"])
def test_shifted_over_tile_edges(flat_model: GramModel, pattern: str) -> None:
    """At each of 261 offsets, alone or after ragged neighbours, a match is one row, in the tile
    that its pivot is in.

    The row's position is that pivot, or, where all matches have one width, the match's start.
    """
    tables = compile_tables([parse(pattern).root], flat_model).tables
    assert tables.routes.tolist() == [Route.AUTOMATA]
    assert tables.widths.tolist() == [0 if "," in pattern else 8]
    (distance,) = set(tables.entries["distance"].tolist())
    if tables.widths[0]:
        assert distance > 0
    for offset in range(261):
        stretches = [
            b"x" * (offset % 7),
            b"",
            b" " * offset + b"tok_1234",
            b"5 tok_123456",
            b"tok_9876",
        ]
        arena = Arena.lay_out(stretches, alignment=2)
        result = execute_arena(tables, arena, tile_bytes=32)
        rows = result.confirmed.tolist()
        assert [(document, rule) for document, rule, _ in rows] == [(2, 0), (4, 0)]
        pivots = [position for *_, position in rows]
        assert [
            pivot - int(arena.starts[d]) for pivot, (d, *_) in zip(pivots, rows, strict=True)
        ] == [
            offset + pivots[1] - int(arena.starts[4]),
            pivots[1] - int(arena.starts[4]),
        ]
        if distance:
            assert pivots == [int(arena.starts[2]) + offset, int(arena.starts[4])]
        assert result.committed_tiles == len({(pivot + distance) // 32 for pivot in pivots})
        assert result.attempted_tiles >= result.committed_tiles


def test_a_window_over_two_documents_is_no_match(flat_model: GramModel) -> None:
    """A keyword that two neighbours only spell together confirms nothing, and is not left open if
    both are whole.
    """
    tables = compile_tables([parse("token").root, parse("to").root], flat_model).tables
    for alignment in (2, 16):
        arena = Arena.lay_out([b"a to", b"ken", b" token"], alignment=alignment)
        result = execute_arena(tables, arena, tile_bytes=64)
        assert [row[:2] for row in result.confirmed.tolist()] == [(0, 1), (2, 0), (2, 1)]
        assert not result.for_host.size
