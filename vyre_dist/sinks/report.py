"""The report: the fields of the jsonl summary as one JSON object, without findings."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vyre_dist.finding import Finding
from vyre_dist.sinks.output import Output
from vyre_dist.sinks.summary import RunSummary
from vyre_dist.sinks.text import summary_record


class ReportSink:
    """Writes the report."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, findings: Sequence[Finding]) -> None:
        """Do nothing: the summary counts the findings."""

    def close(self, summary: RunSummary) -> None:
        """Write the summary and publish the file."""
        body = {
            **summary_record(summary),
            "megabytes_per_second": round(summary.megabytes_per_second, 1),
        }
        self._output.stream.write((json.dumps(body, indent=2) + "\n").encode())
        self._output.commit()

    def abort(self) -> None:
        """Drop the file."""
        self._output.abort()
