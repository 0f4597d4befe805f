"""The parquet format: findings as a Parquet table that keeps bytes as bytes. It needs pyarrow.

The columns are in docs/output-formats.md. The summary is in the file's key-value metadata.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from vyre_dist.finding import Finding
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


class ParquetSink:
    """Writes row groups of at most 65 536 findings or about 64 MiB, whichever comes first."""

    def __init__(self, output: Output, secret_ids: bool = False) -> None:
        import pyarrow.parquet as pq

        self._output = output
        self._schema = schema(secret_ids)
        self._writer: Any = pq.ParquetWriter(output.stream, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._held = 0

    def write(self, findings: Sequence[Finding]) -> None:
        """Add the findings; whole row groups are written out."""
        for f in findings:
            self._rows.append(
                {
                    "rule_id": f.rule_id,
                    "path": lossy_path(f.path)[0],
                    "path_bytes": os.fsencode(f.path),
                    "line": f.line,
                    "column": f.column,
                    "start": f.start,
                    "end": f.end,
                    "match": f.match,
                    "secret": f.secret,
                    "groups": list(f.groups),
                    "entropy": f.entropy,
                    "description": f.description,
                    "tags": list(f.tags),
                    "fingerprint": f.fingerprint,
                    "secret_id": f.secret_id,
                }
            )
            self._held += (
                len(f.match) + len(f.secret) + sum(len(g) for g in f.groups if g) + 3 * len(f.path)
            )
            if len(self._rows) >= ROW_GROUP_ROWS or self._held >= ROW_GROUP_BYTES:
                self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            table = pa.Table.from_pylist(self._rows, schema=self._schema)
            self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        self._rows, self._held = [], 0

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
