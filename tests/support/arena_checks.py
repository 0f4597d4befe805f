"""Arenas and tables at random, and the programs on them against plain Python."""

from __future__ import annotations

import random
from types import SimpleNamespace

import slow_programs

from vyre_dist.compiler import GramModel, PackTables, compile_tables
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import candidates, execute_arena


def random_arena(lab: SimpleNamespace, rng: random.Random, whole: bool = False) -> Arena:
    """Up to seven stretches, empty ones among them, each whole or open at either end."""
    stretches = [lab.random_haystack(rng, 9) for _ in range(rng.randrange(8))]
    flags = [[whole or rng.random() < 0.6 for _ in stretches] for _ in range(2)]
    return Arena.lay_out(stretches, *flags, alignment=rng.choice((2, 2, 4, 16)))


def random_tables(lab: SimpleNamespace, rng: random.Random, model: GramModel) -> PackTables:
    regexes = [
        r for _ in range(4) if (r := lab.parse_or_none(lab.random_pattern(rng, 1))) is not None
    ]
    return compile_tables([regex.root for regex in regexes], model).tables


def check_against_plain_python(
    tables: PackTables, arena: Arena, tile_bytes: int, max_steps: int
) -> None:
    slow = slow_programs.run(tables, arena, tile_bytes, max_steps)
    found = candidates(tables, arena)
    assert sorted(zip(*(column.tolist() for column in found), strict=True)) == slow.candidates
    fast = execute_arena(tables, arena, tile_bytes=tile_bytes, max_steps=max_steps)
    assert fast.confirmed.tolist() == slow.confirmed
    assert fast.for_host.tolist() == slow.for_host
    assert (fast.attempted_tiles, fast.committed_tiles) == (slow.attempted, slow.committed)
