"""Columns in UTF-16 code units: what editors count, for any bytes, in memory, in files and in
pieces.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples

from vyre_dist import RulePack, Scanner
from vyre_dist.engine.columns import TextColumns
from vyre_dist.engine.document import BytesDocument, Document, MemoryDocument
from vyre_dist.engine.salvage import salvaged
from vyre_dist.engine.shards import cut
from vyre_dist.engine.tasks import Piece, ScanTask

PIECES = [
    b"a",
    b"\t",
    b"\r",
    b"\r\n",
    b"\n",
    b"\0",
    "é".encode(),
    "€".encode(),
    "𝄞".encode(),
    "\ufffd".encode(),
    "\ufeff".encode(),
    "e\u0301".encode(),
    b"\xff",
    b"\x80",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f",
    b"\xf0\x9f\x92",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=14).map(b"".join)


def characters(line: bytes) -> list[tuple[int, int, int]]:
    """(first byte, byte after, code units) of a line's characters, found one by one from the
    decoded text.
    """
    out, at = [], 0
    while at < len(line):
        widths = range(1, min(4, len(line) - at) + 1)
        valid = [w for w in widths if len(_strict(line[at : at + w])) == 1]
        # what is no character: the longest beginning of one, or a byte
        broken = [w for w in widths if line[at : at + w].decode("utf-8", "replace") == "\ufffd"]
        width = valid[0] if valid else max(broken)
        text = _strict(line[at : at + width]) or "\ufffd"
        out.append((at, at + width, 2 if text > "\uffff" else 1))
        at += width
    return out


def _strict(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""


def column(data: bytes, offset: int, end: bool) -> int:
    """The column of an offset, by walking its line; of an end, that after a character that reaches
    beyond it.
    """
    line_start = data.rfind(b"\n", 0, offset) + 1
    line_end = data.find(b"\n", line_start)
    line = data[line_start : line_end + 1 or len(data)]
    skip = 3 if line_start == 0 and data.startswith(b"\xef\xbb\xbf") else 0
    place = offset - line_start - skip
    units = 0
    for first, after, width in characters(line[skip:]):
        if after <= place or (end and first < place):
            units += width
    return units + 1


def test_the_oracle_reads_text_as_decode_does() -> None:
    """The characters found one by one are those of the whole line's text."""
    rng = random.Random(1)
    for _ in range(2000):
        line = b"".join(rng.choice(PIECES) for _ in range(8)).replace(b"\n", b"")
        parts = characters(line)
        assert len(parts) == len(line.decode("utf-8", "replace"))
        assert [a for a, _, _ in parts[1:]] == [b for _, b, _ in parts[:-1]]


@settings(max_examples=examples(400), deadline=None)
@given(
    TEXTS,
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=6),
    st.sampled_from([3, 1 << 20]),
)
def test_columns_are_those_of_the_decoded_line(
    data: bytes, places: list[tuple[int, int]], chunk: int
) -> None:
    """For any bytes and ascending matches that cut characters or span lines, in any chunks."""
    spans = sorted((min(a, len(data)), min(a + n, len(data))) for a, n in places)
    kinds: list[Document] = [BytesDocument(data, "p"), MemoryDocument(memoryview(data), "p")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vyre_dist.engine.columns._CHUNK", chunk)
        for document in kinds:
            columns = TextColumns(document)
            for start, end in spans:
                found = columns.of(data.rfind(b"\n", 0, start) + 1, start, data[start:end])
                first, after = column(data, start, False), column(data, end, True)
                assert found == (data.count(b"\n", start, end), first, after), (start, end)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"tok_1", (1, 1, 1, 6)),
        (b"\ttok_1", (1, 2, 1, 7)),
        ("é tok_1".encode(), (1, 3, 1, 8)),
        ("𝄞 tok_1".encode(), (1, 4, 1, 9)),
        ("e\u0301 tok_1".encode(), (1, 4, 1, 9)),
        (b"\xff\xfe tok_1", (1, 4, 1, 9)),
        (b"\xe2\x82 tok_1", (1, 3, 1, 8)),
        (b"\xef\xbb\xbftok_1", (1, 1, 1, 6)),
        (b"x\r\n\xef\xbb\xbftok_1\r\n", (2, 2, 2, 7)),
        (b"a\rb tok_1\r", (1, 5, 1, 10)),
        (b"a\r\n\ntok_1\r\n", (3, 1, 3, 6)),
    ],
)
@pytest.mark.parametrize("shard_bytes", [1, 3, 1 << 20])
def test_a_finding_says_where_it_is_in_the_text(
    tmp_path: Path, data: bytes, expected: tuple[int, ...], shard_bytes: int
) -> None:
    """Lines are those of `line`: a line feed ends one, a carriage return is a character of it."""
    scanner = Scanner({"tok": r"tok_\d"}, shard_bytes=shard_bytes)
    (tmp_path / "f").write_bytes(data)
    for found in (scanner.scan(data), scanner.scan_paths(tmp_path / "f")):
        (f,) = found
        assert (f.line, f.start_column_utf16, f.end_line, f.end_column_utf16) == expected


@pytest.mark.parametrize(
    ("regex", "data", "expected"),
    [
        ("(?s)key:.*?END", "ü key: 𝄞\r\nü\n𝄞é END x".encode(), (1, 3, 3, 8)),
        (r"a\n", b"xa\nb", (1, 2, 2, 1)),
        (r"\n", b"x\r\n", (1, 3, 2, 1)),
        (r"\r\n", b"x\r\ny", (1, 2, 2, 1)),
        (r"(?s)b.*", "ab\n𝄞".encode(), (1, 2, 2, 3)),
    ],
)
def test_a_match_may_end_on_another_line(
    regex: str, data: bytes, expected: tuple[int, ...]
) -> None:
    """Its end is the place after its last character: column 1 of the next line behind a line
    feed.
    """
    for shard_bytes in (1, 1 << 20):
        f = Scanner({"r": regex}, shard_bytes=shard_bytes).scan(data)[0]
        assert (f.line, f.start_column_utf16, f.end_line, f.end_column_utf16) == expected


@pytest.mark.parametrize("shard_bytes", [5, 64, 600])
def test_what_is_saved_of_a_changed_document_is_right_or_not_known(shard_bytes: int) -> None:
    """Where the pieces can't be joined, their own findings have the lines of the document, and
    columns, or 0.
    """
    rng = random.Random(shard_bytes)
    data = b"".join(rng.choice([*PIECES, b" tok_1 ", b" tok\n_2 "]) for _ in range(900))
    engine = Scanner({"tok": r"tok\n?_\d"}, shard_bytes=shard_bytes).engine
    whole = {f.start: f for f in Scanner({"tok": r"tok\n?_\d"}).scan(data)}
    document = Piece(0, "p", len(data), 0, len(data), inline=data)
    parts = [
        part
        for piece in cut(document, shard_bytes)
        for part in engine.run(ScanTask((piece,))).parts
    ]
    rows = list(salvaged(parts))
    assert {row.start for row in rows} == set(whole) and len(rows) > 40
    known = 0
    for _, _, start, _, line, _, *_, end_line, first, after in rows:
        f = whole[start]
        assert (line, end_line) == (f.line, f.end_line)
        assert (first, after) in ((f.start_column_utf16, f.end_column_utf16), (0, 0))
        known += first > 0
    assert known > 0.5 * len(rows) if shard_bytes > 100 else known > 0


@pytest.mark.parametrize("shard_bytes", [5, 64, 4096, 1 << 20])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_pieces_and_files_change_no_column(tmp_path: Path, shard_bytes: int, backend: str) -> None:
    """Many findings on long and short lines, in hostile text: the same however the document is
    cut.
    """
    rng = random.Random(shard_bytes)
    parts = [rng.choice([*PIECES, b" tok_1 ", b" tok_2 "]) for _ in range(600)]
    data = b"".join(p for p in parts if p != b"\n" or rng.random() < 0.3)
    pack = RulePack.from_patterns(
        {"tok": r"tok_\d", "byte": r"[\x80-\xff]", "over": r"(?s)2.{1,9}?1"}
    )
    whole = Scanner(pack).scan(data)
    for f in whole:
        assert f.start_column_utf16 == column(data, f.start, False)
        assert f.end_column_utf16 == column(data, f.end, True)
        assert f.end_line == 1 + data.count(b"\n", 0, f.end)
    assert len(whole) > 50
    (tmp_path / "f").write_bytes(data)
    in_pieces = Scanner(pack, backend, shard_bytes=shard_bytes)
    assert in_pieces.scan(data) == whole
    as_file = in_pieces.scan_paths(tmp_path / "f")
    places = [(f.start, f.end_line, f.start_column_utf16, f.end_column_utf16) for f in whole]
    assert [
        (f.start, f.end_line, f.start_column_utf16, f.end_column_utf16) for f in as_file
    ] == places
