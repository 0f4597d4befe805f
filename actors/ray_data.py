"""ScanBatches: scans the batches of a Ray Data dataset, for its `map_batches`.

It needs nothing of Ray: Ray Data makes the actors, gives each a copy of the Scanner, and calls this
with pyarrow's tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from vyre_dist.errors import UsageError
from vyre_dist.finding import FindingBatch
from vyre_dist.sinks.parquet import record_batch, schema

if TYPE_CHECKING:
    import pyarrow as pa

    from vyre_dist.finding import Finding


class _RowFinding(Protocol):
    """A RowFinding of the library, which is above this layer."""

    @property
    def row(self) -> int: ...
    @property
    def row_id(self) -> str | bytes | int | None: ...
    @property
    def finding(self) -> Finding: ...


class ScansTables(Protocol):
    """What a Scanner does for ScanBatches."""

    def scan_table(
        self, table: Any, column: str | None = None, *, id_column: str | None = None
    ) -> Iterator[_RowFinding]: ...


class ScanBatches:
    """A callable class: a batch of rows in, a table of their findings out.

        dataset.map_batches(
            ScanBatches, fn_constructor_args=(scanner, "text", "url"),
            batch_format="pyarrow", concurrency=8,
        )

    `scanner`: a Scanner. `column`, `id_column`: see its scan_table; rows of a dataset have no
    numbers of their own, so give the id column where you want to find them again. A finding has the
    columns of the parquet format (docs/output-formats.md), and before them `row`, the row's number
    in its batch, and `row_id`, of the id column's type, null without one.
    """

    def __init__(
        self, scanner: ScansTables, column: str | None = None, id_column: str | None = None
    ) -> None:
        self._scanner = scanner
        self._column = column
        self._id_column = id_column

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The findings of a batch. Raises UsageError for what is no table or lacks the columns."""
        import pyarrow as pa

        if not isinstance(batch, pa.Table):
            raise UsageError(
                f"a batch is a pyarrow Table, found {type(batch).__name__}: give map_batches "
                'batch_format="pyarrow"'
            )
        found = list(self._scanner.scan_table(batch, self._column, id_column=self._id_column))
        kind = pa.null() if self._id_column is None else batch.schema.field(self._id_column).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        records = record_batch(
            FindingBatch.of([one.finding for one in found]), schema(secret_ids=True)
        )
        own = [
            pa.array([one.row for one in found], pa.int64()),
            pa.array([one.row_id for one in found], kind),
        ]
        fields = [pa.field("row", pa.int64(), nullable=False), pa.field("row_id", kind)]
        return pa.Table.from_arrays(
            [*own, *records.columns], schema=pa.schema([*fields, *records.schema])
        )
