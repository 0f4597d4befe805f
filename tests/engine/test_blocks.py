"""Large windows are searched block by block: what is found, and how many matches are too long, is
what one search of all would say.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from generate import haystacks, packs
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import compiled, hits, hits_of, is_unbounded
from split_scans import split_at

from vyre_dist import Scanner
from vyre_dist.extract import matcher, overrun
from vyre_dist.extract.overrun import Overrun
from vyre_dist.rules.model import PackData, Rule

if find_spec("hyperscan"):
    from vyre_dist.kernels import cpu
else:
    pytest.skip("without Hyperscan there are no blocks", allow_module_level=True)


def too_long(pattern: str, document: bytes, cap: int) -> int:
    """google-re2's matches that have more bytes than `cap`."""
    regexp, count, pos, last_end = compiled(pattern), 0, 0, -1
    while pos <= len(document) and (match := regexp.search(document, pos)) is not None:
        if match.start() == match.end() == last_end:
            pos = match.end() + 1
            continue
        count += match.end() - match.start() > cap
        pos = last_end = match.end()
    return count


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, str], bytes, int, int, list[int]]:
    return (
        draw(packs()),
        b"".join(draw(st.lists(haystacks(), min_size=1, max_size=4))),
        draw(st.integers(1, 8)),
        draw(st.integers(1, 16)),
        [1 << 20, *draw(st.lists(st.integers(1, 90), max_size=2))],
    )


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases(), ends=st.booleans(), stepwise=st.booleans())
# a match that goes on over blocks in which nothing of it ends
@example(
    case=({"r": "(?s)a[^b]*?b"}, b"za" + b"x" * 99 + b"b" + b"y" * 30, 5, 8, [1 << 20]),
    ends=False,
    stepwise=True,
)
@example(case=({"r": "(?s)a.*"}, b"za" + b"x" * 99, 5, 8, [1 << 20, 60]), ends=True, stepwise=False)
def test_blocks_show_what_the_whole_shows(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    case: tuple[dict[str, str], bytes, int, int, list[int]],
    ends: bool,
    stepwise: bool,
) -> None:
    """Random packs on documents of many blocks, whole and in pieces: the findings are the oracle's,
    and so is the number of matches that are too long.
    """
    patterns, document, cap, block, shards = case
    monkeypatch.setattr(cpu, "_BLOCK_BYTES", block)
    monkeypatch.setattr(cpu, "_OVERLAPS_IN_BLOCK", 1)
    monkeypatch.setattr(overrun, "_COUNTED_NEAR", (2, 1 << 20))
    monkeypatch.setattr(overrun, "_FEW_STARTS", 1 if stepwise else 32 << 10)
    # as where google-re2 has searched in vain for long
    monkeypatch.setattr(matcher, "MOST_WASTED", -1 if stepwise else 8 << 20)
    expected = hits(patterns, document, cap)
    capped = sum(too_long(p, document, cap) for p in patterns.values() if is_unbounded(p))
    path = tmp_path_factory.mktemp("blocks") / "d"
    path.write_bytes(document)
    scanner = Scanner(patterns, "cpu", max_match_bytes=cap)
    backend = scanner.engine.backend
    if ends:  # as after the first MiB of documents that some rule is all over
        backend._every_end = False
        backend._searched.update(dict.fromkeys(backend.matchers, 1 << 30))
    for shard_bytes in shards:
        split_at(scanner, shard_bytes)
        result = scanner.scan_paths(path)
        assert (hits_of(result), result.capped) == (expected, capped), shard_bytes


def test_a_piece_is_copied_in_blocks_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hyperscan gets blocks, which together have few bytes more than the pieces."""
    sizes: list[int] = []
    blocks_of = cpu.blocks_of

    def counted(data: bytes | memoryview, overlap: int) -> object:
        for low, text, owned in blocks_of(data, overlap):
            sizes.append(len(text))
            yield low, text, owned

    monkeypatch.setattr(cpu, "blocks_of", counted)
    monkeypatch.setattr(cpu, "_BLOCK_BYTES", 1 << 21)
    (tmp_path / "f").write_bytes(b"nothing to be found here\n" * 800_000)
    scanner = Scanner({"key": "KEY[0-9]{9}"}, "cpu", shard_bytes=8 << 20)
    assert list(scanner.scan_paths(tmp_path / "f")) == []
    assert max(sizes) <= cpu._BLOCK_BYTES + scanner.engine.compiled.overlap + 1
    assert 20_000_000 <= sum(sizes) < 20_100_000


def test_bytes_that_no_match_holds_decide_where_a_block_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Few of them near the end may be a match's; of all that there are behind a block some are not,
    and google-re2 has no look.
    """
    looked: list[int] = []

    def counted(_self: Overrun, data: bytes | memoryview, _low: int) -> int | None:
        looked.append(len(data))
        return None

    monkeypatch.setattr(Overrun, "middle", None)
    monkeypatch.setattr(Overrun, "_first_at_end", counted)
    monkeypatch.setattr(cpu, "_BLOCK_BYTES", 1 << 21)
    scanner = Scanner({"key": r"key[a-z\n]*(?:#[a-z\n]*){0,300}end"}, "cpu")
    lines = (b"#" + b"x" * 55 + b"key\n") * 110_000
    assert scanner.scan(lines) == [] and looked == []
    assert scanner.scan(lines.replace(b"#", b"x")) == [] and looked != []


def test_a_small_window_is_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """What blocks need is not done for it."""
    monkeypatch.setattr(cpu, "blocks_of", lambda *_: pytest.fail("a small window has no blocks"))
    text = b"id KEY123456789 " + b"nothing\n" * 200_000
    assert [f.start for f in Scanner({"key": "KEY[0-9]{9}"}, "cpu").scan(text)] == [3]


def test_a_keyword_elsewhere_has_the_other_pieces_looked_at_once_more(tmp_path: Path) -> None:
    """A rule that is looked for by its keyword is searched in pieces with one; the others are
    searched for it if there is one in the document, and not at all if there is none.
    """
    rule = Rule("dear", r"\b[a-f0-9]{40}\b", keywords=("sourcegraph",))
    key = b" " + b"0123456789abcdef" * 2 + b"01234567 "
    filler = b"no such thing\n" * 5000
    scanner = Scanner(PackData("p", (rule,)), "cpu", shard_bytes=50_000)
    searched: list[int] = []
    match_ends = scanner.engine.backend._match_ends

    def counted(number: int, data: bytes | memoryview) -> object:
        searched.append(len(data))
        return match_ends(number, data)

    scanner.engine.backend.matchers[0].ends_in = lambda data: counted(0, data)
    for text, found in ((b"", 0), (b" Sourcegraph ", 2)):
        (tmp_path / "f").write_bytes(filler + key + filler + text + filler + key)
        searched.clear()
        assert len(scanner.scan_paths(tmp_path / "f")) == found
        assert len(searched) == (4 if found else 0)
