"""The parquet format: findings as a Parquet table that keeps bytes as bytes. It needs pyarrow.

The columns are in docs/output-formats.md. The summary is in the file's key-value metadata.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from vyre_dist.finding import Finding, FindingBatch
from vyre_dist.sinks.output import Output
from vyre_dist.sinks.summary import RunSummary
from vyre_dist.sinks.text import lossy_path, summary_record

FORMAT_VERSION = "1"
ROW_GROUP_ROWS = 1 << 16
ROW_GROUP_BYTES = 64 << 20


def schema(secret_ids: bool = False) -> Any:
    """The table's pyarrow schema."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("rule_id", pa.string(), nullable=False),
            pa.field("path", pa.string(), nullable=False),
            pa.field("path_bytes", pa.binary(), nullable=False),
            pa.field("line", pa.int64(), nullable=False),
            pa.field("column", pa.int64(), nullable=False),
            pa.field("start", pa.int64(), nullable=False),
            pa.field("end", pa.int64(), nullable=False),
            pa.field("match", pa.binary(), nullable=False),
            pa.field("secret", pa.binary(), nullable=False),
            pa.field("groups", pa.list_(pa.binary()), nullable=False),
            pa.field("entropy", pa.float64(), nullable=False),
            pa.field("description", pa.string(), nullable=False),
            pa.field("tags", pa.list_(pa.string()), nullable=False),
            pa.field("fingerprint", pa.string(), nullable=False),
            *([pa.field("secret_id", pa.string())] if secret_ids else []),
        ],
        metadata={"vyre_dist.format": FORMAT_VERSION},
    )


def record_batch(batch: FindingBatch, columns_of: Any) -> Any:
    """The findings as a RecordBatch. `columns_of`: what `schema` gives."""
    import numpy as np
    import pyarrow as pa

    from vyre_dist.sinks.arrow_text import integers, strings

    b, types = batch, dict(zip(columns_of.names, columns_of.types, strict=True))
    rule = pa.array(b.rule, pa.int32())
    names = dict.fromkeys(b.path)
    number = {path: i for i, path in enumerate(names)}
    path = pa.array([number[path] for path in b.path], pa.int32())
    match = pa.array(b.match, pa.binary())
    secret = match if b.secret is b.match else pa.array(b.secret, pa.binary())
    columns = {
        "rule_id": pa.array([r.id for r in b.rules], pa.string()).take(rule),
        "path": pa.array([lossy_path(p)[0] for p in names], pa.string()).take(path),
        "path_bytes": pa.array([os.fsencode(p) for p in names], pa.binary()).take(path),
        "line": pa.array(integers(b.line)),
        "column": pa.array(integers(b.column)),
        "start": pa.array(integers(b.start)),
        "end": pa.array(integers(b.end)),
        "match": match,
        "secret": secret,
        "groups": b.groups,
        "entropy": pa.array(np.asarray(b.entropy, np.float64)),
        "description": pa.array([r.description for r in b.rules], pa.string()).take(rule),
        "tags": pa.array([r.tags for r in b.rules], pa.list_(pa.string())).take(rule),
        "fingerprint": strings(b.fingerprint),
    }
    if "secret_id" in types:
        columns["secret_id"] = [None] * len(b) if b.secret_id is None else b.secret_id
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, types[name])
        for name, column in columns.items()
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=columns_of)


class ParquetSink:
    """Writes row groups of at most 65 536 findings or about 64 MiB, whichever comes first."""

    def __init__(self, output: Output, secret_ids: bool = False) -> None:
        import pyarrow.parquet as pq

        self._output = output
        self._schema = schema(secret_ids)
        self._writer: Any = pq.ParquetWriter(output.stream, self._schema, compression="zstd")
        self._batches: list[Any] = []
        self._rows = self._held = 0

    def write(self, findings: Sequence[Finding]) -> None:
        """Add the findings; whole row groups are written out."""
        batch = FindingBatch.of(findings)
        record = record_batch(batch, self._schema)
        held = _held(batch, record)
        begin = before = 0
        while begin < len(held):
            full = bisect_left(held, before + ROW_GROUP_BYTES - self._held, begin) + 1
            end = min(full, begin + ROW_GROUP_ROWS - self._rows, len(held))
            self._batches.append(record.slice(begin, end - begin))
            self._rows += end - begin
            self._held += held[end - 1] - before
            begin, before = end, held[end - 1]
            if self._rows >= ROW_GROUP_ROWS or self._held >= ROW_GROUP_BYTES:
                self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._batches:
            table = pa.Table.from_batches(self._batches, self._schema)
            self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        self._batches, self._rows, self._held = [], 0, 0

    def close(self, summary: RunSummary) -> None:
        """Write the last row group and the footer with the summary, and publish the file."""
        self._flush()
        self._writer.add_key_value_metadata(
            {"vyre_dist.summary": json.dumps(summary_record(summary))}
        )
        self._writer.close()
        self._output.commit()

    def abort(self) -> None:
        """Drop the file."""
        # the writer would only write a footer; it holds no resource but the stream
        self._writer.is_open = False
        self._output.abort()


def _held(batch: FindingBatch, record: Any) -> list[int]:
    """About how many bytes the rows up to each one hold, that one included."""
    import numpy as np

    from vyre_dist.sinks.arrow_text import lengths

    sizes = lengths(record.column("match")) + lengths(record.column("secret"))
    sizes += 3 * np.fromiter(map(len, batch.path), np.int64, len(batch))
    if any(batch.groups):
        sizes += [sum([len(group) for group in own if group]) for own in batch.groups]
    held: list[int] = np.cumsum(sizes).tolist()
    return held
