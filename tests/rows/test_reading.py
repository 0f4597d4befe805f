"""RowReading on the reference's rows: in every window, the matches that one search through all of
it finds.
"""

from __future__ import annotations

import pytest
from generate import haystacks, patterns
from gpu_support import device_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples

from vyre_dist import regex as rx
from vyre_dist.compiler import PackTables, Route, compile_tables
from vyre_dist.compiler.arena_executor import execute_arena
from vyre_dist.extract import RuleMatcher
from vyre_dist.extract.window import Window, whole
from vyre_dist.kernels.reference import arena_of
from vyre_dist.rows.reading import RowReading, Starts

# of one width, and dense: overlaps, touching matches, alternatives, contexts, letter case, groups
FIXED = [
    "abca",
    "a{4}",
    "aaa[ab]",
    "abc|bca",
    "(?:abc|bab|caa)b",
    r"\babca\b",
    r"abc\B",
    "(?m)^abcx$",
    "(?i)abcab",
    "(ab){2}(?:c|d)",
    "ab.ca",
    r"\Aabcab",
    r"cabca\z",
    "(?s)abca.{3}(a|b)c",
]


# without windows, of one width and of several: places are where matches start
ANYWHERE = [
    "a",
    "ab|ca",
    r"\ba+",
    r"(?m)^[a-c]\w$",
    r"\b[abc][abx]?\b",
    "(?:ab|c)+x",
    r"a.{0,9}b\z",
]


def pieces_of(document: bytes, size: int, overlap: int) -> list[Window]:
    """The document in pieces of `size`, each with the context that it needs."""
    windows = []
    for start in range(0, max(1, len(document)), size):
        base, stop = max(0, start - 1), min(len(document), start + size + overlap)
        end = min(start + size, len(document))
        windows.append(
            Window(
                document[base:stop], base, start - base, end - base, stop == end == len(document)
            )
        )
    return windows


def tables_of(pattern: str, flat: object) -> PackTables:
    return compile_tables([rx.parse(pattern).root], flat).tables  # type: ignore[arg-type]


def check(
    pattern: str, flat: object, windows: list[Window], max_steps: int = 99
) -> tuple[int, int]:
    """Compare in each window; how many matches there were, and in how many windows nothing was
    searched for them.
    """
    root = rx.parse(pattern).root
    matcher = RuleMatcher(rx.to_re2(root), rx.max_width(root), 64)
    tables = tables_of(pattern, flat)
    reading, arena = RowReading.of(tables), arena_of(windows)
    rows = device_rows(execute_arena(tables, arena, tile_bytes=64, max_steps=max_steps))
    found: list[list[tuple[int, int, int]]] = [[] for _ in windows]
    unsearched = 0
    for document, rule, offsets in reading.searches(rows, arena.starts):
        found[document] = reading.matches(matcher, windows[document], rule, offsets)
        unsearched += isinstance(offsets, Starts)
    for window, own in zip(windows, found, strict=True):
        assert own == list(matcher.iter_matches(window)), (pattern, window)
    return sum(map(len, found)), unsearched


@pytest.fixture(scope="module")
def flat() -> object:
    """A model that finds every window cheap."""
    import numpy as np

    from vyre_dist.compiler import GramModel
    from vyre_dist.compiler.gram_model import encode_grams

    return GramModel.from_bytes(
        encode_grams(np.array([1], np.uint32), np.array([1e-9]), np.full(256, 1 / 256))
    )


@pytest.mark.parametrize("pattern", FIXED)
def test_one_width_at_every_offset(flat: object, pattern: str) -> None:
    """Behind 0 to 260 bytes, whole and in pieces, a rule of one width has all its matches, mostly
    without a search.
    """
    assert tables_of(pattern, flat).widths[0] == rx.min_width(rx.parse(pattern).root)
    seen = unsearched = 0
    texts = (
        b"abcabcab",
        b"aaaaaaaab\nabcx\nabcab",
        b"ABCabca abcxbcab",
        b"abababababd bab caab cabca",
        b"ab.caabccabca abca",
        b"abcaxyzbcabcabbbac" * 2,
    )
    for text in texts:
        documents = [b"\n" * offset + text for offset in range(0, 261, 3)]
        if pattern.startswith(r"\A"):
            documents = [text + b"\n" * offset for offset in range(0, 261, 3)]
        windows = [whole(document) for document in documents]
        for size in (5, 17):
            windows += pieces_of(documents[-1], size, rx.min_width(rx.parse(pattern).root) + 1)
        own, direct = check(pattern, flat, windows)
        seen, unsearched = seen + own, unsearched + direct
    assert seen > 50
    assert unsearched > 50


RUNS = [
    r"\b[0-9a-f]{40}\b",
    "x?[0-9a-f]{33,50}y?",
    "(?:[0-9a-f]{31}x|[0-9a-f]{60})",
    "[0-9a-f]{16}(?:[0-9a-f]{8}){3,}",
    "z{0,3}[0-9a-f]{40}(?:-[0-9a-f]{32})?",
    r"(?i)\b[0-9a-f]{41}[^0-9a-f]",
]


@pytest.mark.parametrize("pattern", RUNS)
def test_runs_at_every_offset(flat: object, pattern: str) -> None:
    """A rule that is found by runs has all its matches, in runs of any length, whole and in
    pieces.
    """
    reading = RowReading.of(tables_of(pattern, flat))
    assert list(reading.by_run) == [0]
    seen = 0
    for length in (30, 31, 33, 40, 41, 64, 79, 80, 81, 119, 120, 121, 200):
        run = (b"abba0123" * 25)[:length]
        around = (
            (b"zz", b"x "),
            (b".", b"y" + run + b"-" + run),
            (b"z-", b"-" + run),
            (b"", b"G" + run.upper()),
        )
        for before, after in around:
            documents = [b"\n" * offset + before + run + after for offset in range(0, 67, 3)]
            windows = [whole(document) for document in documents]
            windows += pieces_of(documents[-1], 90, 260)
            seen += check(pattern, flat, windows)[0]
    assert seen > 60


def test_many_runs(flat: object) -> None:
    """Where runs are everywhere, and in one that has no end, the window is searched as a whole."""
    for text in (
        b"0123456789abcdef" * 4000,
        (b"0123456789" * 4 + b" ") * 900,
        b"a" * 39 + b" " + b"b" * 40,
    ):
        windows = [whole(text), *pieces_of(text, 9000, 50)]
        assert check(r"\b[0-9a-f]{40}\b", flat, windows)[0] in (0, 900 + 900, 2)


def test_dense(flat: object) -> None:
    """Thousands of overlapping places in one document are one chain, the same as step by step."""
    for text in (
        b"a" * 5000,
        b"aaab" * 2000,
        b"a" * 70 + b"." + b"a" * 3,
        b"aaaa." * 1000 + b"aaa",
    ):
        windows = [whole(text), *pieces_of(text, 997, 5)]
        counts = [check(pattern, flat, windows) for pattern in ("a{4}", "aaa[ab]", "a{4}|baaa")]
        assert sum(seen for seen, _ in counts) > 50
        assert all(unsearched > 0 for seen, unsearched in counts if seen)


def test_open_rows_are_searched(flat: object) -> None:
    """Where automata are stopped early, the host decides: the matches stay the same."""
    text = b"abca abcabca " * 9
    for max_steps in (1, 2, 3, 4, 5):
        seen, unsearched = check(
            r"\babca", flat, [whole(text), whole(b"abca"), whole(b"xabca")], max_steps
        )
        assert seen > 10
        assert (unsearched == 0) == (max_steps < 4)


@pytest.mark.parametrize("pattern", ANYWHERE)
def test_rules_without_windows(pattern: str) -> None:
    """Rules that are asked at every place have all their matches, in whole documents and in pieces,
    cut off early or not.
    """
    root = rx.parse(pattern).root
    tables = tables_of(pattern, None)
    assert tables.routes.tolist() == [Route.ALWAYS_ON]
    reading = RowReading.of(tables)
    assert not reading.everywhere
    assert bool(reading.widths[0]) == (rx.min_width(root) == rx.max_width(root))
    seen = 0
    for text in (
        b"abc\nabca\ncab b cx",
        b"ababcxabx a aa",
        b"a" * 90 + b".b",
        b"\nab\nca\nbx\nabc\nax",
        b"\nabc\nxab ca bx",
        b"c",
    ):
        documents = [b"-" * offset + text for offset in range(0, 40, 3)]
        windows = [whole(document) for document in documents]
        if (width := rx.max_width(root)) is not None:
            windows += pieces_of(documents[-1], 5, width + 1)
        for max_steps in (1, 2, 99):
            own, unsearched = check(pattern, None, windows, max_steps)
            seen += own
            assert unsearched == 0 or reading.widths[0]
    assert seen > 40


@settings(max_examples=examples(300), deadline=None)
@given(
    likes_windows=st.booleans(),
    pattern=st.one_of(st.sampled_from([*FIXED, *ANYWHERE]), patterns()),
    document=haystacks(60),
    size=st.integers(1, 30),
)
def test_random_rules(
    flat: object, likes_windows: bool, pattern: str, document: bytes, size: int
) -> None:
    """Any rule, of one width or not, in whole documents and in pieces."""
    root = rx.parse(pattern).root
    width = rx.max_width(root)
    windows = [whole(document)]
    if width is not None:
        windows += pieces_of(document, size, width + 1)
    if rx.min_width(root):
        check(pattern, flat if likes_windows else None, windows)
