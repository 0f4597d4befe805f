"""The programs over arenas of many documents: NumPy against plain Python, documents against each
other, tiles.
"""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import slow_programs
from hypothesis import given, settings
from hypothesis import strategies as st

from vyre_dist.compiler import GramModel, PackTables, Route, compile_tables
from vyre_dist.compiler import routed_rule as routed_rule_module
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import (
    NO_POSITION,
    bitmap_positions,
    candidates,
    execute_arena,
    gram_candidates,
)
from vyre_dist.compiler.runs import MAX_RUNS
from vyre_dist.errors import UsageError
from vyre_dist.regex import parse

randoms = st.randoms(use_true_random=False)


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


@settings(max_examples=250, deadline=None)
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


RUNS = [r"\b[a-f0-9]{40}\b", "[0-9]{33}x?", "(?i)x?[0-9a-f]{64}", "[0-9.]{31}"]


@settings(max_examples=150, deadline=None)
@given(rng=randoms)
def test_runs_as_defined(rng: random.Random) -> None:
    """Rules that are looked for by runs of one class give the rows of the definition, wherever the
    runs lie.
    """
    tables = compile_tables([parse(pattern).root for pattern in RUNS]).tables
    assert tables.runs.size == len(RUNS)
    pieces = [
        b"0" * 31,
        b"01" * 15,
        b"a" * 17,
        b"f0" * 20,
        b"F.0" * 11,
        b"-",
        b" ",
        b"0",
        b"g",
        b"\n" * 9,
    ]
    stretches = [b"".join(rng.choices(pieces, k=rng.randrange(8))) for _ in range(rng.randrange(6))]
    flags = [[rng.random() < 0.7 for _ in stretches] for _ in range(2)]
    check_against_plain_python(
        tables, Arena.lay_out(stretches, *flags, alignment=rng.choice((2, 16))), 64, 99
    )


def test_more_runs_than_are_looked_for() -> None:
    """The host looks for the rules beyond them in all documents, with the reason."""
    patterns = [f"[0-9a-f]{{{31 + n}}}" for n in range(MAX_RUNS + 3)]
    compiled = compile_tables([parse(pattern).root for pattern in patterns])
    assert compiled.tables.runs["rule"].tolist() == list(range(MAX_RUNS))
    assert ["runs of bytes already" in program.reason for program in compiled.rules] == (
        [False] * MAX_RUNS + [True] * 3
    )
    arena = Arena.lay_out([b"0" * 31, b"."])
    found = {
        row[:2] for row in execute_arena(compiled.tables, arena, tile_bytes=64).for_host.tolist()
    }
    assert found == {(0, 0)} | {(document, MAX_RUNS + n) for document in range(2) for n in range(3)}


def test_runs_hold_every_match(lab: SimpleNamespace) -> None:
    """At each of 261 offsets a match of a rule that is looked for by runs is left to the host, in
    its document alone.
    """
    tables = compile_tables([parse(pattern).root for pattern in RUNS]).tables
    oracles = [lab.re2_of(parse(pattern)) for pattern in RUNS]
    seen = 0
    for text in (
        b"0123456789abcdef" * 3,
        b"0123abcd" * 5,
        b"0" * 31,
        b"Q" * 33 + b"7",
        b"x" + b"1" * 64,
        b"1" * 30,
    ):
        for filler in (b"-", b"\n", b"Z"):
            documents = [filler * offset + text + filler * (offset % 3) for offset in range(261)]
            result = execute_arena(tables, Arena.lay_out(documents, alignment=2), tile_bytes=64)
            known = {row[:2] for row in result.for_host.tolist()}
            for document, data in enumerate(documents):
                found = {rule for rule, oracle in enumerate(oracles) if oracle.search(data)}
                assert {(document, rule) for rule in found} <= known, (data, filler)
                seen += len(found)
    assert seen > 2000


ALWAYS = {
    r"(?m)^[a-z]{9}$": [b"abcdefghi", b"\nabcdefghi\n", b"abcdefghij\nabcdefgh"],
    "[a-f]{2}": [b"ab", b"abcdef", b"a-b-cf"],
    r"\b\d\d?\b": [b"1", b"12", b"123 45", b"_1 2"],
    r"\A[01]x?": [b"0", b"1x", b" 0x"],
    r"[01]\z": [b"0", b"010", b"0 "],
    r"\B[0-9]+\B": [b"a0b", b"0000", b"x12"],
    "(?:ab|cd|e)+": [b"abcde", b"ee", b"acbd"],
}


def test_always_on_at_every_offset(flat_model: GramModel, lab: SimpleNamespace) -> None:
    """A rule without windows has a row at each position where a match can begin, at 261 offsets and
    at edges.
    """
    tables = compile_tables([parse(pattern).root for pattern in ALWAYS]).tables
    assert set(tables.routes.tolist()) == {Route.ALWAYS_ON}
    assert tables.always_entries.tolist() == list(range(tables.entries.size))
    assert not tables.entries["distance"].any() and not tables.grams.size
    seen = 0
    for rule, (pattern, texts) in enumerate(ALWAYS.items()):
        root = parse(pattern).root
        for text in texts:
            documents = [b"-" * offset + text + b"\n" * (offset % 3) for offset in range(261)]
            arena = Arena.lay_out(documents, alignment=2)
            result = execute_arena(tables, arena, tile_bytes=64)
            assert not result.for_host.size
            found = result.confirmed[result.confirmed["rule"] == rule]
            positions = found["position"].astype(np.int64) - arena.starts[found["document"]]
            rows = list(zip(found["document"].tolist(), positions.tolist(), strict=True))
            near = [
                (document, start)
                for document, data in enumerate(documents)
                for start in range(max(0, document - 2), len(data))
                if lab.match_ends(root, data, {start})
            ]
            assert [row for row in rows if row[1] >= row[0] - 2] == near
            assert len(rows) == len(near)  # nothing begins in the dashes before
            seen += len(near)
    assert seen > 5000


@settings(max_examples=120, deadline=None)
@given(rng=randoms)
def test_always_on_as_defined(lab: SimpleNamespace, rng: random.Random) -> None:
    """With the shipped model, so mostly without windows, the same candidates, rows and tiles as in
    plain Python.
    """
    regexes = [
        r for _ in range(4) if (r := lab.parse_or_none(lab.random_pattern(rng, 1))) is not None
    ]
    roots = [
        *(regex.root for regex in regexes),
        *(parse(p).root for p in rng.sample(list(ALWAYS), 2)),
    ]
    tables = compile_tables(roots).tables
    assert tables.always_entries.size
    check_against_plain_python(
        tables, random_arena(lab, rng), 1 << rng.randrange(7), rng.choice((1, 2, 5, 99))
    )


def test_always_on_in_large_arenas(flat_model: GramModel) -> None:
    """Documents of more than the positions that are looked at together are read to their ends, and
    no further.
    """
    tables = compile_tables([parse("(?m)^x$").root]).tables
    assert tables.routes.tolist() == [Route.ALWAYS_ON]
    text = b"y" * ((1 << 16) - 2) + b"\nx"
    documents = [text, b"y" + text, text + b"\ny", b"x"]
    arena = Arena.lay_out(documents)
    result = execute_arena(tables, arena, tile_bytes=64)
    positions = [position - int(arena.starts[d]) for d, _, position in result.confirmed.tolist()]
    assert positions == [(1 << 16) - 1, 1 << 16, (1 << 16) - 1, 0]
    assert not result.for_host.size


@pytest.mark.parametrize("pattern", [".+", r"(?s).", r"\w", "a*", r"\b"])
def test_what_is_nearly_everywhere_is_the_hosts(pattern: str) -> None:
    """Rules that may begin at most positions, or match the empty string, are searched for in every
    document by the host.
    """
    compiled = compile_tables([parse(pattern).root])
    assert compiled.rules[0].route is Route.HOST and compiled.rules[0].reason
    result = execute_arena(compiled.tables, Arena.lay_out([b"abc", b""]), tile_bytes=64)
    assert result.for_host.tolist() == [(0, 0, NO_POSITION), (1, 0, NO_POSITION)]


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


@settings(max_examples=150, deadline=None)
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


UNSOUND = {
    "beyond the data": ([0], [5], 1),
    "at an odd position": ([1], [3], 1),
    "out of order": ([2, 0], [4, 2], 2),
    "overlapping": ([0, 2], [3, 4], 2),
    "ends before it starts": ([2], [0], 1),
    "an end too many": ([0], [2, 4], 1),
    "a flag too many": ([0], [4], 2),
}


@pytest.mark.parametrize("fault", UNSOUND)
def test_unsound_arenas(fault: str) -> None:
    """Documents that overlap, are out of order, lie outside or begin at odd positions are refused,
    as are wrong lengths.
    """
    starts, ends, flags = UNSOUND[fault]
    spans = [np.array(positions, np.int64) for positions in (starts, ends)]
    with pytest.raises(UsageError):
        Arena(np.zeros(4, np.uint8), *spans, np.ones(flags, bool), np.ones(flags, bool))


def test_packing() -> None:
    """Documents are found at their positions, gaps and empty documents included; no bytes at all
    are an arena too.
    """
    for alignment in (2, 16):
        arena = Arena.lay_out([b"abc", b"", b"defghi", b"", b"j"], alignment=alignment)
        data = arena.data.tobytes()
        spans = list(zip(arena.starts.tolist(), arena.ends.tolist(), strict=True))
        assert [data[low:high] for low, high in spans] == [b"abc", b"", b"defghi", b"", b"j"]
        assert all(low % alignment == 0 for low, _ in spans)
        holder = [
            next((i for i, (a, b) in enumerate(spans) if a <= at < b), -1)
            for at in range(len(data))
        ]
        assert arena.document_at(np.arange(len(data))).tolist() == holder
    assert Arena.lay_out([]).documents == 0
    assert Arena.lay_out([b""]).data.size == 0


def test_part_of_an_arena() -> None:
    """Some documents of an arena are an arena of the same documents, flags included."""
    texts = [b"ab", b"", b"c" * 40, b"d"]
    arena = Arena.lay_out(texts, [True, True, False, True], [True, False, True, True])
    for low in range(5):
        for high in range(low, 5):
            part = arena.part(low, high)
            own = [part.data[s:e].tobytes() for s, e in zip(part.starts, part.ends, strict=True)]
            assert own == texts[low:high]
            assert part.at_start.tolist() == arena.at_start[low:high].tolist()
            assert part.at_end.tolist() == arena.at_end[low:high].tolist()
