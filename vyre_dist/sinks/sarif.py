"""The sarif format: SARIF 2.1.0 (OASIS), written as a stream.

Results come first, then what is known at the end. Only the rules are kept in memory.

docs/output-formats.md has how findings map to SARIF; sarif_rules.py describes the rules.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any
from urllib.parse import quote

import vyre_dist
from vyre_dist.document_paths import path_on_disk, split_url
from vyre_dist.finding import Finding, FindingBatch, ReportedRule
from vyre_dist.input_problem import InputNote, InputProblem
from vyre_dist.sinks.json_text import Rounded, quoted
from vyre_dist.sinks.many_rows import RowsOrColumns
from vyre_dist.sinks.output import Output
from vyre_dist.sinks.sarif_rules import LEVEL, message, rule_record
from vyre_dist.sinks.summary import RunSummary
from vyre_dist.sinks.text import summary_record

SCHEMA_URI = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_BASE = "SRCROOT"
# how TextColumns counts, and where lines end; a line feed is enough
_UNITS = {
    "columnKind": "utf16CodeUnits",
    "defaultEncoding": "UTF-8",
    "newlineSequences": ["\r\n", "\n"],
}
# for a file as a whole: viewers want a line to show
_FILE_REGION = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def _artifact(path: str) -> dict[str, Any]:
    """An absolute path as a file URI; a relative one against the directory the scan started in."""
    scheme, rest = split_url(path)
    if scheme:
        return {"uri": scheme + quote(os.fsencode(rest), safe="/-_.~")}
    # of the file itself: a `!` in a name is escaped by the URI, one that separates stays
    name, *inner = map(path_on_disk, path.split("!"))
    if name.startswith("/"):
        name = _without_dots(name)
    uri = "!".join(quote(os.fsencode(part), safe="/-_.~") for part in (name, *inner))
    if name.startswith("/"):
        return {"uri": "file://" + uri}
    # "a:b" would read as a scheme; quote() has escaped the colon, and a leading // cannot be here
    return {"uri": uri, "uriBaseId": _BASE}


def _without_dots(path: str) -> str:
    """An absolute path without `..`, which a file URI must not have. Links are resolved: behind one
    a `..` means another folder.
    """
    head, dots, tail = path.rpartition("/..")
    if not dots or not (tail == "" or tail.startswith("/")):
        return path
    return os.path.realpath(head + dots).rstrip("/") + tail or "/"


def _secret_id(own: str | None) -> str:
    return "" if own is None else f',"secretId":"{own}"'


def _content(data: bytes) -> str:
    try:
        return f'"text":{quoted(data.decode())}'
    except UnicodeDecodeError:
        return f'"binary":"{base64.b64encode(data).decode("ascii")}"'


def _region(
    line: int, end_line: int, first: int, after: int, start: int, end: int, match: bytes
) -> str:
    """`first` and `after`: the columns in UTF-16 code units."""
    if line <= 0:
        return _encode(_FILE_REGION)
    last = f',"endLine":{end_line}' if end_line > 0 else ""
    columns = f',"startColumn":{first},"endColumn":{after}' if first > 0 else ""
    return (
        f'{{"startLine":{line}{last}{columns},"byteOffset":{start},"byteLength":{end - start},'
        f'"snippet":{{{_content(match)}}}}}'
    )


class SarifSink:
    """Writes one SARIF log with one run."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._rules: dict[str, tuple[int, dict[str, Any]]] = {}
        self._empty = True
        self._rounded = Rounded()
        self._texts = RowsOrColumns(self._results, self._columns)
        head = {"$schema": SCHEMA_URI, "version": "2.1.0"}
        self._text(_encode(head)[:-1] + ',"runs":[{"results":[')

    def _text(self, text: str) -> None:
        self._output.stream.write(text.encode("ascii"))

    def write(self, findings: Sequence[Finding]) -> None:
        """Append the findings as results."""
        for text in self._texts.of(findings):
            # without the comma before the first one
            self._output.stream.write(text[1:] if self._empty else text)
            self._empty = self._empty and not text

    def _columns(self, batch: FindingBatch) -> memoryview:
        """The same results. Raises NotPlainError."""
        from vyre_dist.sinks import arrow_text as by

        b = batch
        if not all(by.integers(each).all() for each in (b.line, b.end_line, b.start_column_utf16)):
            raise by.NotPlainError
        pairs, number = by.each_path(b.path, b.rule)
        begins = [f',\n{self._begin(b.rules[rule], path)}{{"startLine":' for rule, path in pairs]
        own: Sequence[str | None] = b.secret_id or ()
        ids = [_secret_id(each) for each in own]
        # fmt: off
        return by.lines((
            by.picked(begins, number), by.numbers(b.line), ',"endLine":',
            by.numbers(b.end_line), ',"startColumn":', by.numbers(b.start_column_utf16),
            ',"endColumn":', by.numbers(b.end_column_utf16), ',"byteOffset":', by.numbers(b.start),
            ',"byteLength":', by.numbers(by.integers(b.end) - by.integers(b.start)),
            ',"snippet":{"text":"', by.texts(b.match, by.JSON_ODD, by.json_body),
            '"}}}}],"partialFingerprints":{"vyreDist/v2":"', by.strings(b.fingerprint),
            '"},"properties":{"byteColumn":', by.numbers(b.column),
            by.rounded(b.entropy, self._rounded, ',"entropy":'),
            by.strings(ids) if ids else "", "}}",
        ))
        # fmt: on

    def _results(self, batch: FindingBatch) -> Iterator[str]:
        # put together by hand: an encoder that is given a dict takes four times as long
        b, rounded = batch, self._rounded
        begins: dict[int, str] = {}
        last_path = None
        # fmt: off
        for rule, path, column, entropy, name, own, *place in zip(
            b.rule, b.path, b.column, b.entropy, b.fingerprint, b.secret_id or repeat(None),
            b.line, b.end_line, b.start_column_utf16, b.end_column_utf16, b.start, b.end, b.match,
            strict=False,
        ):
            # fmt: on
            if path is not last_path:
                begins.clear()
                last_path = path
            begin = begins.get(rule)
            if begin is None:
                begin = begins[rule] = self._begin(b.rules[rule], path)
            yield (
                f',\n{begin}{_region(*place)}}}}}],"partialFingerprints":{{"vyreDist/v2":"{name}"}},'
                f'"properties":{{"byteColumn":{column},"entropy":{rounded[entropy]}{_secret_id(own)}}}}}'
            )

    def _begin(self, rule: ReportedRule, path: str) -> str:
        """A result up to where in the file it is."""
        index, record = self._rule(rule)
        begin = _encode(
            {
                "ruleId": rule.id,
                "ruleIndex": index,
                "level": LEVEL,
                "message": {"text": message(record["shortDescription"]["text"])},
            }
        )
        artifact = _encode(_artifact(path))
        location = f'{{"physicalLocation":{{"artifactLocation":{artifact},"region":'
        return f'{begin[:-1]},"locations":[{location}'

    def _rule(self, rule: ReportedRule) -> tuple[int, dict[str, Any]]:
        known = self._rules.get(rule.id)
        if known is None:
            record = rule_record(rule.id, rule.description, rule.tags)
            known = self._rules[rule.id] = (len(self._rules), record)
        return known

    def close(self, summary: RunSummary) -> None:
        """Append the rules met, and the run's outcome with its problems, and publish the file."""
        elsewhere = ("problems", "notes", "rules_left_out")
        counts = {k: v for k, v in summary_record(summary).items() if k not in elsewhere}
        driver = {
            "name": "vyre-dist",
            "semanticVersion": vyre_dist.__version__,
            "rules": [rule for _, rule in self._rules.values()],
        }
        invocation = {
            "executionSuccessful": summary.complete,
            "toolExecutionNotifications": [
                *(_notification(p, "error", "Not scanned to its end: ") for p in summary.problems),
                *(_notification(n, "note", "Scanned as planned: ") for n in summary.notes),
            ],
            **_configuration(summary),
            "properties": counts,
        }
        try:
            # viewers resolve relative paths against it
            here = os.path.join(os.getcwd(), "")
            invocation["workingDirectory"] = {
                "uri": "file://" + quote(os.fsencode(here), safe="/-_.~")
            }
        except FileNotFoundError:  # it was removed
            pass
        tail = {
            "tool": {"driver": driver},
            **_UNITS,
            "invocations": [invocation],
            "originalUriBaseIds": {
                _BASE: {"description": {"text": "The directory the scan was started in."}}
            },
        }
        self._text("\n]," + _encode(tail)[1:] + "]}\n")
        self._output.commit()

    def abort(self) -> None:
        """Drop the file."""
        self._output.abort()


def _notification(problem: InputProblem | InputNote, level: str, before: str) -> dict[str, Any]:
    detail = f"{problem.reason}: {problem.detail}" if problem.detail else problem.reason
    told: dict[str, Any] = {
        "level": level,
        "message": {"text": message(f"{before}{detail}")},
        "descriptor": {"id": problem.reason},
    }
    # a scan that was given up is a problem without a path
    if problem.path:
        location = {"artifactLocation": _artifact(problem.path), "region": dict(_FILE_REGION)}
        told["locations"] = [{"physicalLocation": location}]
    return told


def _configuration(summary: RunSummary) -> dict[str, Any]:
    """The rules that were left out, as the invocation's notifications; {} if there are none."""
    told = [
        {
            "level": "warning",
            "message": {"text": message(f"Rules left out: {reason}: {', '.join(rules)}")},
            "descriptor": {"id": "rules-left-out"},
        }
        for reason, rules in summary.rules_left_out.items()
    ]
    return {"toolConfigurationNotifications": told} if told else {}
