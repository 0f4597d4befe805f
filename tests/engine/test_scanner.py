"""Scanner's and the engine's front: what they take, what they refuse, in which order they answer,
and the wire.
"""

from __future__ import annotations

import os
import random
from itertools import pairwise
from pathlib import Path

import pytest
from generate import haystacks, packs
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import hits, hits_of

from vyre_dist import EngineConfig, RulePack, Scanner, UsageError
from vyre_dist.engine import MAX_SHARD_BYTES, ScanEngine
from vyre_dist.engine.document import BytesDocument
from vyre_dist.engine.files import FileDocument
from vyre_dist.engine.lines import LineCounter, NewlineSums
from vyre_dist.engine.shards import cut, pack_shards
from vyre_dist.engine.task_codec import (
    WireError,
    decode_result,
    decode_task,
    encode_result,
    encode_task,
)
from vyre_dist.engine.tasks import (
    PartResult,
    Piece,
    ScanTask,
    StitchTask,
)
from vyre_dist.rules.diagnostics import PackError


def test_what_a_document_may_be() -> None:
    """Bytes-like documents are the same document; paths come with them, or are made up."""
    scanner = Scanner({"r": "b+"})
    expected = hits({"r": "b+"}, b"abba")
    for data in (b"abba", bytearray(b"abba"), memoryview(b"xabba")[1:]):
        assert hits_of(scanner.scan(data)) == expected
    [one, two] = scanner.scan_batch([b"abba", ("dir/name", b"b")])
    assert (one[0].path, two[0].path) == ("<batch 0>", "dir/name")
    assert scanner.scan_batch([]) == []


def test_a_pack_may_be_given_as_pack_data_or_patterns() -> None:
    """All three forms of a pack are the same pack."""
    pack = RulePack.from_patterns({"r": "b"})
    found = [Scanner(form).scan(b"ab") for form in (pack, pack.data, {"r": "b"})]
    assert found[0] == found[1] == found[2] != []


BAD_CONFIGS = [
    ({"shard_bytes": 0}, "shard size of 0 bytes"),
    ({"shard_bytes": MAX_SHARD_BYTES + 1}, "allowed are 1 to"),
    ({"max_match_bytes": 0}, "max_match_bytes of 0"),
    ({"speculation": "sometimes"}, "auto, force, disable"),
    ({"backend": "abacus"}, "auto, cpu"),
]


@pytest.mark.parametrize(("options", "message"), BAD_CONFIGS)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    """What can't be done is refused with what is allowed."""
    with pytest.raises(UsageError) as caught:
        Scanner({"r": "a"}, **options)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_bad_patterns_are_refused() -> None:
    """A pattern that does not parse is refused with its rule's name and the place."""
    with pytest.raises(PackError) as caught:
        Scanner({"fine": "a", "wrong": "a(b"})
    assert "wrong" in str(caught.value)
    assert "fine" not in str(caught.value)


def test_scan_paths_orders_counts_and_lists(tmp_path: Path) -> None:
    """Findings come by document, in the walk's order, however files share shards; counts are of all
    of them.
    """
    rng = random.Random(5)
    sizes = [0, 1, 7, 8, 9, 50, 100, 3, 3, 3, 64]
    for i, size in enumerate(sizes):
        (tmp_path / f"{i:02}").write_bytes(bytes(rng.choice(b"ab\n") for _ in range(size)))
    expected = None
    for shard_bytes in (1 << 20, 64, 8, 3, 1):
        result = Scanner({"x": "a+", "y": "[^a]b"}, shard_bytes=shard_bytes).scan_paths(
            [tmp_path, tmp_path / "gone"]
        )
        assert (result.documents, result.bytes) == (len(sizes), sum(sizes))
        assert [p.reason for p in result.problems] == ["not-found"]
        assert not result.complete
        expected = expected or list(result)
        assert list(result) == expected
    assert expected
    assert len({f.path for f in expected}) > 5


def test_a_path_that_is_no_utf8(tmp_path: Path) -> None:
    """File names are bytes; any of them can be scanned."""
    name = os.fsencode(tmp_path) + b"/\xff\xfe"
    with open(name, "wb") as f:
        f.write(b"abba" * 20)
    for shard_bytes in (1 << 20, 9):
        result = Scanner({"r": "b+"}, shard_bytes=shard_bytes).scan_paths(os.fsdecode(name))
        assert len(result) == 20
        assert os.fsencode(result[0].path) == name


@given(data=haystacks(60), shard_bytes=st.integers(1, 30), documents=st.integers(1, 5))
def test_shards_leave_nothing_out(data: bytes, shard_bytes: int, documents: int) -> None:
    """Pieces cover each document without gaps or overlaps, and no shard is larger than asked."""
    whole = [Piece(i, f"{i}", len(data) + i, 0, len(data) + i) for i in range(documents)]
    shards = list(pack_shards(whole, shard_bytes, 4))
    assert all(
        len(shard) <= 4 and sum(p.end - p.start for p in shard) <= shard_bytes for shard in shards
    )
    for document in whole:
        pieces = [p for shard in shards for p in shard if p.document == document.document]
        assert pieces == cut(document, shard_bytes)
        at = 0
        for piece in pieces:
            assert (piece.start, piece.size) == (at, document.size)
            at = piece.end
        assert at == document.size


@settings(max_examples=60)
@given(
    patterns=packs(),
    documents=st.lists(haystacks(), min_size=1, max_size=3),
    shard_bytes=st.integers(1, 40),
)
def test_tasks_and_results_survive_the_wire(
    patterns: dict[str, str], documents: list[bytes], shard_bytes: int
) -> None:
    """Encoded and decoded at each step, a scan gives the same results."""
    engine = ScanEngine(
        RulePack.from_patterns(patterns).data, EngineConfig(shard_bytes=shard_bytes)
    )
    pieces = [Piece(i, f"d{i}\udcff", len(d), 0, len(d), inline=d) for i, d in enumerate(documents)]
    parts: dict[int, list[PartResult]] = {}
    rows = []
    for shard in pack_shards(pieces, shard_bytes):
        task = ScanTask(tuple(shard))
        assert decode_task(encode_task(task)) == task
        result = engine.run(task)
        over = decode_result(encode_result(result))
        assert over == result
        rows += over.findings
        for part in over.parts:
            parts.setdefault(part.document, []).append(part)
    for number, found in parts.items():
        random.Random(0).shuffle(found)  # workers finish in any order
        stitch = StitchTask(pieces[number], tuple(found))
        assert decode_task(encode_task(stitch)) == stitch
        rows += decode_result(encode_result(engine.run(stitch))).findings
    for number, document in enumerate(documents):
        mine = [
            (row.start, row.end, row.groups, row.line, row.column)
            for row in rows
            if row.document == number
        ]
        assert sorted(mine, key=repr) == sorted(
            [(h.start, h.end, h.groups, h.line, h.column) for h in hits(patterns, document)],
            key=repr,
        )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x80",
        b"\x90",
        b"\x91\x07",
        b"\x92\x01\xa4what",
        random.Random(40).randbytes(40),
    ],
)
def test_strange_bytes_are_a_wire_error(data: bytes) -> None:
    """What is no task or result says so, and what to look at."""
    for decode in (decode_task, decode_result):
        with pytest.raises(WireError, match="same version"):
            decode(data)


@settings(max_examples=examples(200))
@given(
    data=st.lists(st.sampled_from([b"\n", b"a", b"bb"]), max_size=40).map(b"".join),
    picks=st.lists(st.integers(0, 80), max_size=12),
    points=st.lists(st.integers(0, 80), max_size=4),
)
def test_lines_and_columns(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, picks: list[int], points: list[int]
) -> None:
    """Whatever offsets are asked for, and whatever newlines are known, line, column and line start
    are right.
    """
    path = tmp_path_factory.mktemp("l") / "f"
    path.write_bytes(data)
    starts = sorted({0, *[min(p, len(data)) for p in points]})
    blocks = list(pairwise([*starts, len(data)]))

    def newlines_of(number: int) -> int:
        return data.count(b"\n", *blocks[number])

    with pytest.MonkeyPatch.context() as patch, FileDocument(str(path), "f", len(data)) as file:
        patch.setattr("vyre_dist.engine.lines._CHUNK", 5)
        patch.setattr("vyre_dist.engine.lines._FIRST_STEP", 2)
        for document in (BytesDocument(data, "f"), file):
            for sums in (None, NewlineSums(starts, newlines_of)):
                lines = LineCounter(document, sums)
                for offset in sorted(min(pick, len(data)) for pick in picks):
                    before = data[:offset].split(b"\n")
                    assert lines.at(offset) == (
                        len(before),
                        len(before[-1]) + 1,
                        offset - len(before[-1]),
                    )
