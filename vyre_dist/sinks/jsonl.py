"""The jsonl format: one JSON object a line, findings as they come, then the summary.

The fields are in docs/output-formats.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from vyre_dist.finding import Finding
from vyre_dist.sinks.output import Output
from vyre_dist.sinks.summary import RunSummary
from vyre_dist.sinks.text import finding_record, summary_record

# ASCII output: no control or direction character of a hostile file reaches a terminal as itself
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class JsonLinesSink:
    """Writes the jsonl format."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, findings: Sequence[Finding]) -> None:
        """Append the findings, one line each."""
        lines = [_encode({"type": "finding", **finding_record(f)}) + "\n" for f in findings]
        self._output.stream.write("".join(lines).encode("ascii"))

    def close(self, summary: RunSummary) -> None:
        """Append the summary's line and publish the file."""
        self._output.stream.write(
            (_encode({"type": "summary", **summary_record(summary)}) + "\n").encode("ascii")
        )
        self._output.commit()

    def abort(self) -> None:
        """Drop the file."""
        self._output.abort()
