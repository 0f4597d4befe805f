"""Rules without windows over arenas: those looked for by runs, always, and by the host."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
from arena_checks import check_against_plain_python, random_arena
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples

from vyre_dist.compiler import GramModel, Route, compile_tables
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import (
    NO_POSITION,
    execute_arena,
)
from vyre_dist.compiler.runs import MAX_RUNS
from vyre_dist.regex import parse

randoms = st.randoms(use_true_random=False)


RUNS = [r"\b[a-f0-9]{40}\b", "[0-9]{33}x?", "(?i)x?[0-9a-f]{64}", "[0-9.]{31}"]


@settings(max_examples=examples(150), deadline=None)
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
    """A rule without windows has a row at each position where a match can begin, over two edges of
    tiles.
    """
    tables = compile_tables([parse(pattern).root for pattern in ALWAYS]).tables
    assert set(tables.routes.tolist()) == {Route.ALWAYS_ON}
    assert tables.always_entries.tolist() == list(range(tables.entries.size))
    assert not tables.entries["distance"].any() and not tables.grams.size
    seen = 0
    for rule, (pattern, texts) in enumerate(ALWAYS.items()):
        root = parse(pattern).root
        for text in texts:
            documents = [b"-" * offset + text + b"\n" * (offset % 3) for offset in range(131)]
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
    assert seen > 2000


@settings(max_examples=examples(120), deadline=None)
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
