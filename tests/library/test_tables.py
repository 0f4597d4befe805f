"""scan_table: columns of Arrow data, however they are stored, give what each value gives alone."""

from __future__ import annotations

import itertools
import random
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from vyre_dist import Finding, RowFinding, RulePack, Scanner, UsageError

PATTERNS = {
    "key": r"key_[0-9]{4}",
    "first": r"\Akey",
    "last": r"[0-9]\z",
    "line": r"(?m)^b+$",
    "empty": r"\A\z",
}
TEXTS = ["key_1234", None, "", " key_12345\nkey_5678 ", "bb", "a\nbb\n", "é key_0000 é", "no", "1"]
LONG = "a value that no view holds in itself, key_4321"
SCANNER = Scanner(PATTERNS)


def values(number: int) -> list[str | None]:
    return random.Random(number).choices([*TEXTS, LONG], k=number)


def alone(texts: list[str | None], name: str = "<table>") -> list[tuple[int, Finding]]:
    return [
        (row, finding)
        for row, text in enumerate(texts)
        if text is not None
        for finding in SCANNER.scan(text, f"{name}#{row}")
    ]


def rows_and_findings(found: Iterator[RowFinding]) -> list[tuple[int, Finding]]:
    return [(one.row, one.finding) for one in found]


def stored(texts: list[str | None], kind: str) -> Any:
    array = pa.array(texts, pa.string())
    if kind.startswith("dictionary"):
        of = kind.split(" ")[1]
        return pa.DictionaryArray.from_arrays(
            array.dictionary_encode().indices,
            stored(array.dictionary_encode().dictionary.to_pylist(), of),
        )
    if kind == "string_view":
        return pa.array(texts, pa.string_view())
    if kind == "binary_view":
        return pa.array([t if t is None else t.encode() for t in texts], pa.binary_view())
    return array.cast(pa.type_for_alias(kind))


KINDS = [
    "string",
    "binary",
    "large_string",
    "large_binary",
    "string_view",
    "binary_view",
    "dictionary string",
    "dictionary large_binary",
    "dictionary string_view",
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_column(kind: str) -> None:
    """As one array, as a slice of one, with nulls, and in chunks of any size."""
    texts = values(500)
    array = stored(texts, kind)
    want = alone(texts)
    assert rows_and_findings(SCANNER.scan_table(pa.table({"t": array}))) == want
    padded = stored(["key_9999", None, *texts, "key_9999"], kind)
    sliced = padded.slice(2, len(texts))
    assert sliced.offset == 2
    assert rows_and_findings(SCANNER.scan_table(pa.record_batch({"t": sliced}))) == want
    cuts = [0, 0, 1, 7, 250, 250, 500]
    chunks = [array.slice(low, high - low) for low, high in itertools.pairwise(cuts)]
    chunked = pa.chunked_array(chunks, array.type)
    assert rows_and_findings(SCANNER.scan_table(pa.table({"t": chunked}))) == want
    none = pa.table({"t": array.slice(0, 0)})
    assert list(SCANNER.scan_table(none)) == []
    nulls = pa.table({"t": stored([None] * 5, kind)})
    assert list(SCANNER.scan_table(nulls)) == []


def test_values_of_one_size() -> None:
    """Fixed-size binary values are rows, too."""
    array = pa.array([b"key_1234", None, b"12345678"], pa.binary(8))
    want = alone(["key_1234", None, "12345678"])
    assert rows_and_findings(SCANNER.scan_table(pa.table({"t": array}))) == want
    assert rows_and_findings(SCANNER.scan_table(pa.table({"t": array.slice(1)}))) == alone(
        [None, "12345678"]
    )


def test_a_null_may_hold_bytes_and_a_dictionary_a_null() -> None:
    """What lies under a null is no row, nor is a value that its dictionary says is null."""
    data, offsets = b"key_1234key_5678", np.array([0, 8, 16], np.int32)
    validity = pa.py_buffer(bytes([0b10]))
    array = pa.Array.from_buffers(
        pa.string(), 2, [validity, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
    assert array.to_pylist() == [None, "key_5678"]
    want = alone([None, "key_5678"])
    assert rows_and_findings(SCANNER.scan_table(pa.table({"t": array}))) == want
    coded = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int8()), array)
    assert rows_and_findings(SCANNER.scan_table(pa.table({"t": coded}))) == alone(
        [None, "key_5678", None]
    )


def test_many_rows_and_large_ones() -> None:
    """More rows than an arena takes, and rows that are too large for one."""
    texts = values(12_000)
    texts[6_000] = "key_1234 " * 1000 + "x" * 2_700_000
    found = rows_and_findings(SCANNER.scan_table(pa.table({"t": texts})))
    assert sum(row == 6_000 for row, _ in found) == 1000 + 1
    texts[6_000] = None
    assert [one for one in found if one[0] != 6_000] == alone(texts)


def test_a_dictionary_is_written_out_piece_by_piece() -> None:
    """A value of a megabyte in ten thousand rows takes no ten gigabytes."""
    coded = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(45, np.int32)), pa.array(["b" * 1_000_000 + "\nb"])
    )
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    most = 0
    for row, _, _finding in SCANNER.scan_table(pa.table({"t": coded})):
        if row % 15 == 0:
            most = max(most, pa.total_allocated_bytes() - before)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert row == 44
    assert max(most, held) < 30_000_000


# --- tables


def batches(texts: list[str | None]) -> list[pa.RecordBatch]:
    return [
        pa.record_batch({"t": pa.array(texts[at : at + 70], pa.string())})
        for at in range(0, len(texts), 70)
    ]


class OtherLibrary:
    """What another library's frame looks like to Arrow."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


TABLES: dict[str, Callable[[list[pa.RecordBatch]], object]] = {
    "table": pa.Table.from_batches,
    "reader": lambda b: pa.RecordBatchReader.from_batches(b[0].schema, b),
    "list": lambda b: b,
    "generator": iter,
    "tables": lambda b: [pa.Table.from_batches(b[:2]), *b[2:]],
    "stream": lambda b: OtherLibrary(pa.Table.from_batches(b)),
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_of_table(kind: str) -> None:
    """Row numbers go on from batch to batch."""
    texts = values(500)
    table = TABLES[kind](batches(texts))
    assert rows_and_findings(SCANNER.scan_table(table)) == alone(texts)


def test_batches_are_taken_as_findings_are_asked_for() -> None:
    """The first finding is there before the second batch is."""
    taken: list[int] = []

    def giving() -> Iterator[pa.RecordBatch]:
        for number in range(5):
            taken.append(number)
            yield pa.record_batch({"t": ["key_1234"]})

    found = SCANNER.scan_table(giving())
    assert taken == []
    assert next(found).row == 0
    assert taken == [0]
    assert [one.row for one in found][-1] == 4


def test_a_column_is_named_or_the_only_one() -> None:
    """Others may be anything, and may be beside it."""
    table = pa.table({"n": [1, 2], "t": ["key_1234", "x"], "u": [b"x", b"key_5678"]})
    for column, rows in (("t", {0}), ("u", {1})):
        assert {one.row for one in SCANNER.scan_table(table, column)} == rows
    assert {one.row for one in SCANNER.scan_table(table.drop_columns("u"))} == {0}
    assert {one.row for one in SCANNER.scan_table(table, id_column="u")} == {0}


@pytest.mark.parametrize(
    "ids",
    [
        pa.array(["a/b.py", None, "c!d", "./e"]),
        pa.array([b"a/b.py", None, b"c!d", b"\xff"], pa.binary()),
        pa.array([7, None, -1, 2**40]),
        pa.array(["x", None, "x", "y"]).dictionary_encode(),
    ],
)
@pytest.mark.parametrize("path_rule", [False, True])
def test_ids_name_rows(ids: Any, path_rule: bool, tmp_path: Path) -> None:
    """The id is given as it is, and as the finding's path, which rules see; without one it is the
    table's path and the row's number.
    """
    file = tmp_path / "pack.toml"
    rules = "[[rules]]\nid = 'py'\nregex = '''[0-9]$'''\npath = '''py$|[x7]$'''\n"
    file.write_text(rules + "[[rules]]\nid = 'p'\npath = '''e$|y$|d#1'''\n" * path_rule)
    scanner = Scanner(RulePack.load(file), no_cache=True)
    table = pa.table({"t": ["1", "2", "3", "4"], "name": ids})
    found = list(scanner.scan_table(table, "t", id_column="name", path="./d"))
    want = []
    for row, own in enumerate(ids.to_pylist()):
        text = own.decode("utf-8", "surrogateescape") if isinstance(own, bytes) else str(own)
        path = f"d#{row}" if own is None else text
        want += [RowFinding(row, own, f) for f in scanner.scan(str(row + 1), path)]
    assert found == want
    assert want


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_backends_agree(backend: str) -> None:
    """One without a search over arenas gives the same."""
    texts = values(200)
    found = Scanner(PATTERNS, backend).scan_table(pa.table({"t": texts}))
    assert rows_and_findings(found) == alone(texts)


ARRAY = pa.array(["a"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.scan_table(5), "found int"),
        (lambda s: s.scan_table("t.parquet"), "found str"),
        (lambda s: s.scan_table({"t": ["a"]}), "found dict"),
        (lambda s: s.scan_table(ARRAY), "found StringArray"),
        (lambda s: s.scan_table(pa.chunked_array([ARRAY])), "found ChunkedArray"),
        (lambda s: list(s.scan_table([{"t": "a"}])), "batch 0 of the table is a dict"),
        (lambda s: s.scan_table(pa.table({"t": ARRAY}), 5), "column is a column's name, found int"),
        (lambda s: s.scan_table(pa.table({"t": ARRAY}), path=b"p"), "path is a str, found bytes"),
        (lambda s: s.scan_table(pa.table({"t": ARRAY}), "x"), "no column 'x' for column.*'t'"),
        (
            lambda s: s.scan_table(pa.table({"t": [1]}), "t"),
            "'t' is int64: rows to scan are string",
        ),
        (lambda s: s.scan_table(pa.table({"t": [1]})), r"no column holds text.*'t' \(int64\)"),
        (lambda s: s.scan_table(pa.table({})), "no columns"),
        (lambda s: s.scan_table(pa.table({"t": ARRAY, "u": ARRAY})), "2 columns .*'t', 'u'"),
        (
            lambda s: s.scan_table(pa.table([ARRAY, ARRAY], ["t", "t"]), "t"),
            "2 columns are called 't'",
        ),
        (
            lambda s: s.scan_table(pa.table({"t": ARRAY}), id_column="x"),
            "no column 'x' for id_column",
        ),
        (
            lambda s: s.scan_table(pa.table({"t": ARRAY, "f": [0.5]}), id_column="f"),
            "id column 'f' is double: ids are strings",
        ),
        (
            lambda s: list(s.scan_table([pa.table({"t": ARRAY}), pa.table({"t": [1]})], "t")),
            "'t' is int64",
        ),
    ],
)
def test_what_is_no_table_is_refused_with_the_cure(
    call: Callable[[Scanner], object], message: str
) -> None:
    """The message says what was found and what may be; at once, where the schema is known."""
    with pytest.raises(UsageError, match=message):
        call(SCANNER)
