"""The csv format: a table for spreadsheets, one row a finding, without a summary.

The columns are in docs/output-formats.md.
"""

from __future__ import annotations

import base64
import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

from vyre_dist.finding import Finding, FindingBatch
from vyre_dist.sinks.json_text import Rounded
from vyre_dist.sinks.many_rows import RowsOrColumns
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
_FORMULA_START_BYTES = "".join(_FORMULA_START).encode()
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
    if text.isascii() and text.isprintable():
        return _cell(text), ""
    shown = _CONTROL.sub("\ufffd", text)
    if shown == text and text.encode() == data:
        return _cell(text), ""
    return _cell(shown), base64.b64encode(data).decode("ascii")


def _row(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _field(text: str) -> str:
    """A cell as it stands in a row; nearly all need no quotes."""
    if '"' in text or "," in text or "\n" in text or "\r" in text:
        return _row((text, ""))[: -len(",\n")]
    return text


def _fields(data: bytes) -> tuple[str, str]:
    text, exact = _texts(data)
    return _field(text), exact


def _text_field(text: str) -> str:
    return _fields(os.fsencode(text))[0]


class CsvSink:
    """Writes the csv format: UTF-8, a header line, newlines between rows."""

    def __init__(self, output: Output, secret_ids: bool = False) -> None:
        self._output = output
        self._secret_ids = secret_ids
        self._rounded = Rounded(lambda entropy: f"{entropy:.6f}")
        self._texts = RowsOrColumns(self._rows, self._columns)
        self._write(_row((*COLUMNS, "secret_id") if secret_ids else COLUMNS))

    def _write(self, text: str) -> None:
        self._output.stream.write(text.encode("utf-8"))

    def write(self, findings: Sequence[Finding]) -> None:
        """Append the findings, one row each."""
        for text in self._texts.of(findings):
            self._output.stream.write(text)

    def _columns(self, batch: FindingBatch) -> memoryview:
        """The same rows. Raises NotPlainError."""
        from vyre_dist.sinks import arrow_text as by

        b = batch
        odd = by.Odd([*by.NOT_PRINTABLE, *b'",'], _FORMULA_START_BYTES)

        def field(data: bytes) -> str:
            shown, exact = _fields(data)
            if exact or not shown.isascii():
                raise by.NotPlainError
            return shown

        pairs, number = by.each_path(b.path, b.rule)
        paths = [_fields(os.fsencode(path)) for _, path in pairs]
        rules = [b.rules[rule] for rule, _ in pairs]
        begins = [
            f"{_text_field(rule.id)},{path}," for rule, (path, _) in zip(rules, paths, strict=True)
        ]
        abouts = [
            f",{_text_field(rule.description)},{_text_field(' '.join(rule.tags))},"
            for rule in rules
        ]
        ends = [f",{path64},," for _, path64 in paths]
        match = by.texts(b.match, odd, field)
        secret = match if b.secret is b.match else by.texts(b.secret, odd, field)
        ids = [own or "" for own in b.secret_id] if b.secret_id else ()
        # fmt: off
        return by.lines((
            by.picked(begins, number), by.numbers(b.line), ",", by.numbers(b.column), ",",
            by.numbers(b.start), ",", by.numbers(b.end), ",", match, ",", secret,
            by.rounded(b.entropy, self._rounded, ","), by.picked(abouts, number),
            by.strings(b.fingerprint), by.picked(ends, number), "," if self._secret_ids else "",
            by.strings(ids) if self._secret_ids and ids else "", "\n",
        ))
        # fmt: on

    def _rows(self, batch: FindingBatch) -> Iterator[str]:
        # put together by hand: csv.writer is for the few cells that need quotes
        b, rounded = batch, self._rounded
        rules = [
            [_text_field(t) for t in (rule.id, rule.description, " ".join(rule.tags))]
            for rule in b.rules
        ]
        ids: Iterable[str] = repeat("")
        if self._secret_ids:
            ids = [f",{own or ''}" for own in b.secret_id or [None] * len(b)]
        last_path, path, path64 = None, "", ""
        # fmt: off
        for rule, full_path, line, column, start, end, match, secret, entropy, name, own in zip(
            b.rule, b.path, b.line, b.column, b.start, b.end, b.match, b.secret, b.entropy,
            b.fingerprint, ids, strict=False,
        ):
            # fmt: on
            if full_path is not last_path:
                last_path = full_path
                path, path64 = _fields(os.fsencode(full_path))
            rule_id, description, tags = rules[rule]
            shown, match64 = own_secret, secret64 = _fields(match)
            if secret is not match:
                own_secret, secret64 = _fields(secret)
            yield (
                f"{rule_id},{path},{line},{column},{start},{end},{shown},{own_secret},"
                f"{rounded[entropy]},{description},{tags},{name},{path64},{match64},{secret64}"
                f"{own}\n"
            )

    def close(self, summary: RunSummary) -> None:  # noqa: ARG002 (a table of findings has no place for it)
        """Publish the file."""
        self._output.commit()

    def abort(self) -> None:
        """Drop the file."""
        self._output.abort()
