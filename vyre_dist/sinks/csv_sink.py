"""The csv format: a table for spreadsheets, one row a finding, without a summary.

The columns are in docs/output-formats.md.
"""

from __future__ import annotations

import base64
import csv
import io
import os
import re
from collections.abc import Sequence

from vyre_dist.finding import Finding
from vyre_dist.sinks.output import Output
from vyre_dist.sinks.summary import RunSummary

COLUMNS = (
    "rule_id",
    "path",
    "line",
    "column",
    "start",
    "end",
    "match",
    "secret",
    "entropy",
    "description",
    "tags",
    "fingerprint",
    "path_base64",
    "match_base64",
    "secret_base64",
)

# A spreadsheet takes a cell that begins so for a formula (tab and return are cut off first); a
# leading apostrophe says "text". Cells that begin with an apostrophe get one too: removing one
# restores any cell.
_FORMULA_START = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def _cell(text: str) -> str:
    return "'" + text if text.startswith(_FORMULA_START) else text


def _texts(data: bytes) -> tuple[str, str]:
    """(a cell of text, a cell of base64). The second is "" unless the text lost something: bytes
    that are no UTF-8, or controls.
    """
    text = data.decode("utf-8", "replace")
    shown = _CONTROL.sub("\ufffd", text)
    if shown == text and text.encode() == data:
        return _cell(text), ""
    return _cell(shown), base64.b64encode(data).decode("ascii")


class CsvSink:
    """Writes the csv format: UTF-8, a header line, newlines between rows."""

    def __init__(self, output: Output, secret_ids: bool = False) -> None:
        self._output = output
        self._secret_ids = secret_ids
        self._row((*COLUMNS, "secret_id") if secret_ids else COLUMNS)

    def _row(self, cells: Sequence[str | int | float]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        self._output.stream.write(text.getvalue().encode("utf-8"))

    def write(self, findings: Sequence[Finding]) -> None:
        """Append the findings, one row each."""
        for f in findings:
            path, path64 = _texts(os.fsencode(f.path))
            match, match64 = _texts(f.match)
            secret, secret64 = _texts(f.secret)
            plain = [
                _texts(os.fsencode(t))[0] for t in (f.rule_id, f.description, " ".join(f.tags))
            ]
            rule_id, description, tags = plain
            numbers = (f.line, f.column, f.start, f.end)
            rest = (f"{f.entropy:.6f}", description, tags, f.fingerprint, path64, match64, secret64)
            ids = (f.secret_id or "",) if self._secret_ids else ()
            self._row((rule_id, path, *numbers, match, secret, *rest, *ids))

    def close(self, summary: RunSummary) -> None:  # noqa: ARG002 (a table of findings has no place for it)
        """Publish the file."""
        self._output.commit()

    def abort(self) -> None:
        """Drop the file."""
        self._output.abort()
