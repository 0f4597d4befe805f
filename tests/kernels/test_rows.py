r"""Rows of an arena are documents of their own: what the cpu backends find in them, with Hyperscan
and without, is what google-re2 finds in each row alone.
"""

from __future__ import annotations

import random
from importlib.util import find_spec
from pathlib import Path

import edges
import pytest
from generate import haystacks, packs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import hits

from vyre_dist.extract import Span
from vyre_dist.extract.row_arena import RowArena, stretches, sums_of
from vyre_dist.kernels.cpu_without_hyperscan import Re2CpuBackend
from vyre_dist.kernels.host_backend import HostBackend
from vyre_dist.program import ArtifactCache, compile_pack
from vyre_dist.rules import RulePack

needs_hyperscan = pytest.mark.skipif(find_spec("hyperscan") is None, reason="needs hyperscan")

EDGES = {**edges.EDGES, "after a line": r"(?m)b\n^", "empty": r"\A\z", "anything": "x*"}
ROWS = [
    b"",
    b"ab",
    b"abb",
    b"b",
    b";b",
    b"b;",
    b"xab",
    b"abx",
    b" ab ",
    b"ab\n",
    b"\nab",
    b"b\nab\nb",
    b"b\n",
    b"\n",
    b"\n\n",
    b"a",
    b"aab\nb\n",
]


def backends(patterns: dict[str, str]) -> list[HostBackend]:
    compiled = compile_pack(RulePack.from_patterns(patterns).data)
    made: list[HostBackend] = [Re2CpuBackend(compiled, ArtifactCache(None))]
    if find_spec("hyperscan"):
        from vyre_dist.kernels.cpu import CpuBackend

        made.append(CpuBackend(compiled, ArtifactCache(None)))
    return made


def expected(patterns: dict[str, str], rows: list[bytes]) -> dict[int, list[Span]]:
    names = list(patterns)
    found = {
        number: sorted(Span(h.start, names.index(h.rule), h.end) for h in hits(patterns, row))
        for number, row in enumerate(rows)
    }
    return {number: spans for number, spans in found.items() if spans}


def found_by(backend: HostBackend, rows: list[bytes]) -> dict[int, list[Span]]:
    return {row: sorted(own) for row, own in backend.scan_rows(RowArena.of(rows)).spans.items()}


@pytest.mark.parametrize("name", EDGES)
def test_a_rows_edges_are_a_texts(name: str) -> None:
    r"""`^`, `$`, `\A`, `\z`, `\b` and `\B` hold at a row's edges, and nothing goes over them,
    whichever rows are beside it.
    """
    patterns = {name: EDGES[name]}
    rng = random.Random(3)
    for backend in backends(patterns):
        for _ in range(20):
            rows = rng.choices(ROWS, k=rng.choice((1, 2, 3, 40)))
            assert found_by(backend, rows) == expected(patterns, rows)


def test_all_edges_together() -> None:
    """So they do for all rules of a pack in one search."""
    rows = random.Random(4).choices(ROWS, k=300)
    for backend in backends(EDGES):
        assert found_by(backend, rows) == expected(EDGES, rows)


@settings(max_examples=examples(150))
@given(packs(), st.lists(haystacks(), min_size=1, max_size=40))
@example({"r": r"(?m)a\n^|\z"}, [b"a\n", b"a\n"])
@example({"r": r"\\A\z"}, [b"\\A", b"\\A;"])
@example({"r": r"(?m:^)\nb|b$"}, [b"\nb", b"b"])
def test_any_pack_finds_in_rows_what_it_finds_in_each(
    patterns: dict[str, str], rows: list[bytes]
) -> None:
    """Whatever the rules and the rows."""
    want = expected(patterns, rows)
    for backend in backends(patterns):
        assert found_by(backend, rows) == want, backend


@needs_hyperscan
def test_a_rule_by_keyword_is_found_in_each_row(tmp_path: Path) -> None:
    """A rule without a literal is looked for by its keywords, in all rows that have one."""
    from vyre_dist.kernels.cpu import CpuBackend

    file = tmp_path / "pack.toml"
    file.write_text(
        "[[rules]]\nid = 'loose'\nregex = '''[a-z]+[0-9]{2,4}\\z'''\nkeywords = ['word', 'Token']\n"
    )
    pack = RulePack.load(file)
    backend = CpuBackend(compile_pack(pack.data), ArtifactCache(None))
    assert backend._candidates.by_keyword
    rows = [b"word12", b"ab12", b"TOKEN ab123", b"", b"word", b"word12 "] * 20
    found = found_by(backend, rows)
    assert {row % 6 for row in found} == {0, 2}
    assert len(found) == 40


@needs_hyperscan
def test_a_rule_that_hyperscan_refuses_is_looked_for_row_by_row() -> None:
    """So is one that matches the empty string; the others are found in the arena."""
    from vyre_dist.kernels.cpu import CpuBackend

    refused = {"embedded": r"(?m)b\n^a", "empty": "z*", "plain": "ab"}
    compiled = compile_pack(RulePack.from_patterns(refused).data)
    backend = CpuBackend(compiled, ArtifactCache(None))
    assert backend._row_candidates._databases.always == (0, 1)
    rows = random.Random(5).choices([*ROWS, b"b\na"], k=200)
    assert found_by(backend, rows) == expected(refused, rows)


@needs_hyperscan
def test_databases_for_rows_are_kept(tmp_path: Path) -> None:
    """A second engine compiles none, and finds the same; a damaged one is made anew."""
    from vyre_dist.kernels.cpu import CpuBackend

    compiled = compile_pack(RulePack.from_patterns(EDGES).data)
    cache = ArtifactCache(str(tmp_path))
    want = expected(EDGES, ROWS)
    assert found_by(CpuBackend(compiled, cache), ROWS) == want
    [kept] = (tmp_path / "hyperscan-rows").iterdir()
    before = kept.stat().st_mtime_ns
    assert found_by(CpuBackend(compiled, cache), ROWS) == want
    assert kept.stat().st_mtime_ns == before
    kept.write_bytes(kept.read_bytes()[:-1])
    assert found_by(CpuBackend(compiled, cache), ROWS) == want
    assert kept.stat().st_mtime_ns != before


@pytest.mark.parametrize("rows", [5, 16, 300, 1200])
def test_a_rule_that_is_everywhere_is_found_everywhere(rows: int) -> None:
    """Where there are more hits than it pays to hear of, parts of an arena are searched, or its
    rows one by one.
    """
    patterns = {"each": "[a-z]", "some": r"a\z", "rest": "q(?s:.)*z"}
    texts = [b"abcdefgh" * (1 + number % 30) + b"a" * (number % 3) for number in range(rows)]
    texts[rows // 2] = b"qz"
    for backend in backends(patterns):
        assert found_by(backend, texts) == expected(patterns, texts)


@needs_hyperscan
def test_a_row_whose_rule_is_loose_costs_the_others_nothing() -> None:
    """Only the rows that the search names are looked at: a rule's regex runs in no other."""
    from vyre_dist.kernels.cpu import CpuBackend

    compiled = compile_pack(RulePack.from_patterns({"r": "key=[0-9]+"}).data)
    backend = CpuBackend(compiled, ArtifactCache(None))
    looked_at: list[bytes] = []
    confirm = backend._confirm

    def counting(window, *more):  # type: ignore[no-untyped-def]
        looked_at.append(window.data)
        return confirm(window, *more)

    backend._confirm = counting  # type: ignore[method-assign]
    rows = [b"nothing here"] * 10000 + [b"key=5"] + [b"nothing"] * 10000
    assert found_by(backend, rows) == {10000: [Span(0, 0, 5)]}
    assert looked_at == [b"key=5"]


@given(st.lists(st.binary(max_size=9), max_size=40), st.integers(1, 30))
def test_arenas_are_cut_at_rows(rows: list[bytes], most: int) -> None:
    """Stretches hold all rows, in order, and fit, but for a row that is too large by itself."""
    sums = sums_of(map(len, rows))
    taken = list(stretches(sums, most))
    assert [row for low, high in taken for row in range(low, high)] == list(range(len(rows)))
    for low, high in taken:
        arena = RowArena.of(rows[low:high])
        assert len(arena.data) <= most or high == low + 1
        assert [window.data for window in arena] == rows[low:high]
    arena = RowArena.of(rows)
    assert arena.data == b"".join(row + b"\n" for row in rows)
    for low in range(len(rows) + 1):
        part = arena[low : low + 3]
        assert part.data == RowArena.of(rows[low : low + 3]).data
        assert [window.data for window in part] == rows[low : low + 3]
