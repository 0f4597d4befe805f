"""SARIF 2.1.0 (OASIS), written as a stream: results first, then what only the end knows. Only rules are kept.

How findings map to SARIF is in docs/output-formats.md.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import vyre_dist
from vyre_dist.document_paths import path_on_disk
from vyre_dist.finding import Finding
from vyre_dist.sinks.output import Output
from vyre_dist.sinks.summary import Problem, RunSummary
from vyre_dist.sinks.text import lossy_path, summary_record

SCHEMA_URI = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_BASE = "SRCROOT"
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def _artifact(path: str) -> dict[str, Any]:
    """An absolute path as a file URI; a relative one against the directory the scan was started in."""
    # of the file itself: a `!` in a name is escaped by the URI, one that separates stays
    parts = [quote(os.fsencode(path_on_disk(part)), safe="/-_.~") for part in path.split("!")]
    uri = "!".join(parts)
    if path.startswith("/"):
        return {"uri": "file://" + uri}
    # "a:b" would read as a scheme; quote() has escaped the colon, and a leading // cannot be here
    return {"uri": uri, "uriBaseId": _BASE}


def _content(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"binary": base64.b64encode(data).decode("ascii")}


def _message(text: str) -> str:
    """Text as SARIF's message syntax: brackets would begin a link, braces a placeholder."""
    text = lossy_path(text)[0]
    for char, escaped in (("\\", "\\\\"), ("[", "\\["), ("]", "\\]"), ("{", "{{"), ("}", "}}")):
        text = text.replace(char, escaped)
    return text


class SarifSink:
    """Writes one SARIF log with one run."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._rules: dict[str, tuple[int, dict[str, Any]]] = {}
        self._empty = True
        head = {"$schema": SCHEMA_URI, "version": "2.1.0"}
        self._text(_encode(head)[:-1] + ',"runs":[{"results":[')

    def _text(self, text: str) -> None:
        self._output.stream.write(text.encode("ascii"))

    def write(self, findings: Sequence[Finding]) -> None:
        """Append the findings as results."""
        for finding in findings:
            self._text(("\n" if self._empty else ",\n") + _encode(self._result(finding)))
            self._empty = False

    def _result(self, finding: Finding) -> dict[str, Any]:
        location: dict[str, Any] = {"artifactLocation": _artifact(finding.path)}
        if finding.line > 0:
            # startColumn would count characters, and a finding counts bytes: the offset is exact instead
            location["region"] = {
                "startLine": finding.line,
                "byteOffset": finding.start,
                "byteLength": finding.end - finding.start,
                "snippet": _content(finding.match),
            }
        properties: dict[str, Any] = {"byteColumn": finding.column, "entropy": round(finding.entropy, 6)}
        if finding.secret_id is not None:
            properties["secretId"] = finding.secret_id
        return {
            "ruleId": finding.rule_id,
            "ruleIndex": self._rule_index(finding),
            "level": "error",
            "message": {"text": _message(finding.description or f"match of rule {finding.rule_id}")},
            "locations": [{"physicalLocation": location}],
            "partialFingerprints": {"vyreDist/v2": finding.fingerprint},
            "properties": properties,
        }

    def _rule_index(self, finding: Finding) -> int:
        known = self._rules.get(finding.rule_id)
        if known is None:
            rule: dict[str, Any] = {"id": finding.rule_id, "name": finding.rule_id}
            if finding.description:
                rule["shortDescription"] = {"text": finding.description}
            if finding.tags:
                rule["properties"] = {"tags": list(dict.fromkeys(finding.tags))}
            known = self._rules[finding.rule_id] = (len(self._rules), rule)
        return known[0]

    def close(self, summary: RunSummary) -> None:
        """Append the rules met, and the run's outcome with its problems, and publish the file."""
        counts = {k: v for k, v in summary_record(summary).items() if k != "problems"}
        driver = {
            "name": "vyre-dist",
            "semanticVersion": vyre_dist.__version__,
            "rules": [rule for _, rule in self._rules.values()],
        }
        tail = {
            "tool": {"driver": driver},
            "invocations": [
                {
                    "executionSuccessful": summary.complete,
                    "toolExecutionNotifications": [_notification(p) for p in summary.problems],
                    "properties": counts,
                }
            ],
            "originalUriBaseIds": {
                _BASE: {"description": {"text": "The directory the scan was started in."}}
            },
        }
        self._text("\n]," + _encode(tail)[1:] + "]}\n")
        self._output.commit()

    def abort(self) -> None:
        """Drop the file."""
        self._output.abort()


def _notification(problem: Problem) -> dict[str, Any]:
    detail = f"{problem.reason}: {problem.detail}" if problem.detail else problem.reason
    return {
        "level": "error",
        "message": {"text": _message(f"not scanned to its end: {detail}")},
        "descriptor": {"id": problem.reason},
        "locations": [{"physicalLocation": {"artifactLocation": _artifact(problem.path)}}],
    }
