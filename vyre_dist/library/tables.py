"""What scan_table takes for a table, and its rows: batches, their columns, their paths."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from vyre_dist.document_paths import written_path, written_paths
from vyre_dist.engine.row_paths import NumberedRows, RowPaths
from vyre_dist.errors import UsageError
from vyre_dist.library.row_scan import RowFinding, RowScan

if TYPE_CHECKING:
    import pyarrow as pa

    Table: TypeAlias = pa.Table | pa.RecordBatch | pa.RecordBatchReader | Iterable[Any]
else:
    Table = Any

_TEXTS = (
    "string or binary, large_string or large_binary, string_view or binary_view, fixed-size "
    "binary, or a dictionary of these"
)
_IDS = "strings, binary values or integers, or a dictionary of these"
_TABLES = (
    "a pyarrow Table, RecordBatch or RecordBatchReader, an object with __arrow_c_stream__, or an "
    "iterable of batches"
)


def findings_in_table(
    scan: RowScan, table: object, column: str | None, id_column: str | None, path: str
) -> Iterator[RowFinding]:
    """See Scanner.scan_table."""
    for name, value in (("column", column), ("id_column", id_column)):
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{name} is a column's name, found {type(value).__name__} {value!r}")
    if not isinstance(path, str):
        raise UsageError(f"a table's path is a str, found {type(path).__name__} {path!r:.100}")
    schema, batches = _batches(table)
    if schema is not None:  # what is wrong is told before the first finding is asked for
        _columns(schema, column, id_column)
    return _findings(scan, batches, column, id_column, written_path(path) + "#")


def _findings(
    scan: RowScan,
    batches: Iterable[pa.RecordBatch],
    column: str | None,
    id_column: str | None,
    head: str,
) -> Iterator[RowFinding]:
    from vyre_dist.library.arrow_rows import arenas_of

    first = 0
    for batch in batches:
        at, named_at = _columns(batch.schema, column, id_column)
        ids = None if named_at is None else batch.column(named_at)
        for rows, arena in arenas_of(batch.column(at), scan.most_bytes):
            numbers = (
                [first + row for row in rows]
                if isinstance(rows, list)
                else (range(first + rows[0], first + rows[0] + len(rows)))
            )
            paths: RowPaths = NumberedRows(head, "", numbers)
            if ids is not None:
                paths = _IdRows(ids, rows, paths)
            found = (
                scan.in_document(arena, paths.of(0))
                if isinstance(arena, bytes)
                else scan.in_arena(arena, paths)
            )
            for row, finding in found:
                own = None if ids is None else ids[rows[row]].as_py()
                yield RowFinding(numbers[row], own, finding)
        first += batch.num_rows


class _IdRows:
    """Rows whose paths are in a column; those without one are in `others`."""

    def __init__(self, ids: pa.Array, rows: Sequence[int], others: RowPaths) -> None:
        self._ids, self._rows, self._others = ids, rows, others

    def of(self, row: int) -> str:
        """See RowPaths."""
        own = self._ids[self._rows[row]].as_py()
        return self._others.of(row) if own is None else written_path(_text(own))

    def all(self) -> list[str]:
        """See RowPaths."""
        import pyarrow as pa

        known = self._ids.take(pa.array(self._rows)).to_pylist()
        others = self._others
        return written_paths(
            [others.of(row) if own is None else _text(own) for row, own in enumerate(known)]
        )


def _text(own: str | bytes | int) -> str:
    return os.fsdecode(own) if isinstance(own, bytes) else str(own)


def _columns(
    schema: pa.Schema, column: str | None, id_column: str | None
) -> tuple[int, int | None]:
    """The numbers of the column with the rows, and of that with their ids. Raises UsageError."""
    from vyre_dist.library.arrow_rows import is_id, is_text

    texts = ids = None
    if column is not None:
        texts = _column(schema, "column", column)
        if not is_text(kind := schema.field(texts).type):
            raise UsageError(f"the column {column!r} is {kind}: rows to scan are {_TEXTS}")
    if id_column is not None:
        ids = _column(schema, "id_column", id_column)
        if not is_id(kind := schema.field(ids).type):
            raise UsageError(f"the id column {id_column!r} is {kind}: ids are {_IDS}")
    if texts is not None:
        return texts, ids
    fitting = [i for i, field in enumerate(schema) if is_text(field.type) and i != ids]
    if len(fitting) == 1:
        return fitting[0], ids
    if fitting:
        names = ", ".join(repr(schema.field(i).name) for i in fitting)
        raise UsageError(f"{len(fitting)} columns could be meant, {names}: name one as column")
    raise UsageError(f"no column holds text, found {_named(schema)}: rows to scan are {_TEXTS}")


def _column(schema: pa.Schema, option: str, name: str) -> int:
    found = schema.get_all_field_indices(name)
    if len(found) == 1:
        return int(found[0])
    if found:
        raise UsageError(
            f"{len(found)} columns are called {name!r}: give {option} one name of its own"
        )
    raise UsageError(f"there is no column {name!r} for {option}: the table has {_named(schema)}")


def _named(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name!r} ({field.type})" for field in schema) or "no columns"


def _batches(table: object) -> tuple[pa.Schema | None, Iterable[pa.RecordBatch]]:
    """(the schema, where it is known beforehand; the batches as they are asked for)."""
    import pyarrow as pa

    if isinstance(table, pa.RecordBatch):
        return table.schema, (table,)
    if isinstance(table, pa.Table):
        return table.schema, table.to_reader()
    if isinstance(table, pa.RecordBatchReader):
        return table.schema, table
    if not isinstance(table, pa.ChunkedArray | pa.Array | str | bytes | Mapping):
        if hasattr(table, "__arrow_c_stream__"):
            reader = pa.RecordBatchReader.from_stream(table)
            return reader.schema, reader
        if isinstance(table, Iterable):
            return None, _each(table)
    raise UsageError(f"a table is {_TABLES}, found {type(table).__name__}")


def _each(batches: Iterable[object]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for number, batch in enumerate(batches):
        if isinstance(batch, pa.RecordBatch):
            yield batch
        elif isinstance(batch, pa.Table):
            yield from batch.to_reader()
        else:
            raise UsageError(
                f"batch {number} of the table is a {type(batch).__name__}: batches are pyarrow's "
                "RecordBatches and Tables"
            )
