"""Each format for programs with hostile findings: valid and complete."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import jsonschema
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rendered_findings import FINDINGS, render

from vyre_dist.finding import Finding
from vyre_dist.sinks import RunSummary, open_sinks
from vyre_dist.sinks.csv_sink import COLUMNS

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((Path(__file__).parent / "data" / "sarif-schema-2.1.0.json").read_text())
VALIDATOR = jsonschema.Draft4Validator(
    SCHEMA, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER
)


def exact(record: dict[str, Any], key: str) -> bytes:
    if record.get(key + "_base64"):
        return base64.b64decode(record[key + "_base64"])
    return record[key].encode("utf-8")


def check_jsonl(data: bytes, findings: Sequence[Finding]) -> None:
    *records, last = [json.loads(line) for line in data.splitlines()]
    assert last["type"] == "summary"
    assert len(records) == len(findings)
    for record, f in zip(records, findings, strict=True):
        assert record["type"] == "finding"
        assert exact(record, "path") == os.fsencode(f.path)
        assert exact(record, "match") == f.match
        assert exact(record, "secret") == f.secret
        texts = record.get("groups", [])
        encoded = record.get("groups_base64") or [None] * len(texts)
        groups = [
            None if t is None else t.encode() if b is None else base64.b64decode(b)
            for t, b in zip(texts, encoded, strict=True)
        ]
        assert groups == list(f.groups)
        for key in ("rule_id", "start", "end", "line", "column", "description"):
            assert record[key] == getattr(f, key)
        assert record["tags"] == list(f.tags)


def test_jsonl_gives_every_byte_back(hostile: list[Finding], summary: RunSummary) -> None:
    """Each finding is a line from which its exact bytes can be had; the last line is the
    summary.
    """
    data = render("jsonl", hostile, summary)
    check_jsonl(data, hostile)
    last = json.loads(data.splitlines()[-1])
    assert last == {
        "type": "summary",
        "complete": False,
        "documents": 1234,
        "bytes": 5_000_000,
        "seconds": 2.5,
        "findings": 10,
        "findings_by_rule": {"aws-key": 8, "path-only": 1, "r\x1b[1m": 1},
        "problems": [
            {
                "path": "gone\x1b[31m\ufffd",
                "reason": "vanished",
                "detail": "No such\x1b[2J file",
                "path_base64": base64.b64encode(b"gone\x1b[31m\xff").decode(),
            },
            {"path": "/dev/x", "reason": "device", "detail": ""},
        ],
        "notes": [{"path": "log\x1b[1m", "reason": "grew", "detail": "by 3"}],
        "warnings": ["no document\ufffd was scanned"],
        "commit": {"committed": 30, "rolled_back": 10, "rate_pct": 75.0},
        "capped_matches": 1,
        "audited_documents": 0,
        "audited_bytes": 0,
        "audit_differences": 0,
        "not_audited": 0,
        "skipped": {"gitignored": 12, "too-large": 1},
        "workers": 4,
        "pool": "local",
        "store_problem": None,
        "tuning": None,
        "backend": "cuda, cpu",
        "workers_used": [
            {
                "worker": 0,
                "node": "host-a",
                "node_id": None,
                "backend": "cuda",
                "device": "NVIDIA H200",
                "version": "0.1.0",
                "python": "3.12.1",
                "processes": 15,
                "tasks": 7,
                "bytes": 4_000_000,
                "bytes_by_backend": {"cpu": 1_000_000, "cuda": 3_000_000},
            },
            {
                "worker": 1,
                "node": "host\x1b[1m",
                "node_id": "ab12",
                "backend": "cpu",
                "device": "Some Processor",
                "version": "0.1.0",
                "python": "3.12.1",
                "processes": 1,
                "tasks": 1,
                "bytes": 1_000_000,
                "bytes_by_backend": {"cpu": 1_000_000},
            },
        ],
        "workers_left_out": [
            "no worker can run on host-c (node cd34): it runs vyre-dist 0.0.9\ufffd"
        ],
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(FINDINGS, max_size=4))
def test_jsonl_takes_any_finding(findings: list[Finding]) -> None:
    """Any bytes in any field come back from the line."""
    check_jsonl(render("jsonl", findings, RunSummary()), findings)


def check_sarif(data: bytes, findings: Sequence[Finding]) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(data)
    VALIDATOR.validate(log)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({r["id"] for r in rules}) == len(rules)
    assert len(run["results"]) == len(findings)
    for result, f in zip(run["results"], findings, strict=True):
        assert result["ruleId"] == rules[result["ruleIndex"]]["id"] == f.rule_id
        place = result["locations"][0]["physicalLocation"]
        uri = place["artifactLocation"]["uri"]
        on_disk = re.sub(b"%2([15])", lambda m: b"!" if m[1] == b"1" else b"%", os.fsencode(f.path))
        if not on_disk.startswith(b"/"):
            assert unquote_to_bytes(uri) == on_disk
        elif b"/.." not in on_disk:
            assert unquote_to_bytes(uri.removeprefix("file://")) == on_disk
        assert uri.startswith("file:///") == f.path.startswith("/")
        if f.line:
            region = place["region"]
            assert (region["startLine"], region["byteOffset"], region["byteLength"]) == (
                f.line,
                f.start,
                f.end - f.start,
            )
            snippet = region["snippet"]
            assert f.match == (
                snippet["text"].encode()
                if "text" in snippet
                else base64.b64decode(snippet["binary"])
            )
        else:
            assert place["region"] == {
                "startLine": 1,
                "startColumn": 1,
                "endLine": 1,
                "endColumn": 1,
            }
    return run  # type: ignore[no-any-return]


def test_sarif_validates(hostile: list[Finding], summary: RunSummary) -> None:
    """A log of hostile findings is valid SARIF 2.1.0, with the problems as notifications."""
    run = check_sarif(render("sarif", hostile, summary), hostile)
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    told = [(n["descriptor"]["id"], n["level"]) for n in invocation["toolExecutionNotifications"]]
    assert told == [("vanished", "error"), ("device", "error"), ("grew", "note")]
    messages = [r["message"]["text"] for r in run["results"]]
    assert (
        "d\x1b[5m\u2028{0} [x](http://y).".replace("[", "\\[")
        .replace("]", "\\]")
        .replace("{0}", "{{0}}")
        in messages
    )


def test_sarif_without_findings_validates() -> None:
    """A clean run is a valid log with an empty list of results."""
    run = check_sarif(render("sarif", [], RunSummary()), [])
    assert run["results"] == []
    assert run["invocations"][0]["executionSuccessful"] is True


@settings(max_examples=40, deadline=None)
@given(st.lists(FINDINGS, max_size=4))
def test_sarif_takes_any_finding(findings: list[Finding]) -> None:
    """Any bytes in any field leave the log valid."""
    check_sarif(render("sarif", findings, RunSummary()), findings)


def test_the_schema_refuses_what_is_wrong(hostile: list[Finding], summary: RunSummary) -> None:
    """The validation can fail: a negative line is refused."""
    log = json.loads(render("sarif", hostile, summary))
    log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(log)


def check_csv(data: bytes, findings: Sequence[Finding]) -> None:
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))
    assert len(rows) == len(findings)
    for row, f in zip(rows, findings, strict=True):
        assert tuple(row) == COLUMNS
        for key, value in (("match", f.match), ("secret", f.secret), ("path", os.fsencode(f.path))):
            assert not row[key].startswith(("=", "+", "-", "@", "\t", "\r"))
            restored = base64.b64decode(row[key + "_base64"]) or row[key].removeprefix("'").encode()
            assert restored == value
        assert [row["line"], row["column"], row["start"], row["end"]] == [
            str(n) for n in (f.line, f.column, f.start, f.end)
        ]


def test_csv_gives_every_byte_back(hostile: list[Finding], summary: RunSummary) -> None:
    """Each finding is a row from which its exact bytes can be had, and no cell begins a formula."""
    data = render("csv", hostile, summary)
    check_csv(data, hostile)
    assert data.splitlines()[0].decode() == ",".join(COLUMNS)


@settings(max_examples=60, deadline=None)
@given(st.lists(FINDINGS, max_size=4))
def test_csv_takes_any_finding(findings: list[Finding]) -> None:
    """Any bytes in any field come back from the row."""
    check_csv(render("csv", findings, RunSummary()), findings)


def test_parquet_gives_every_byte_back(
    tmp_path: Path, hostile: list[Finding], summary: RunSummary
) -> None:
    """The table holds the findings' bytes as they are, the summary is in its metadata."""
    target = tmp_path / "out.parquet"
    with open_sinks([("parquet", str(target))]) as sinks:
        sinks.write(hostile)
        sinks.write([])
        sinks.close(summary)
    table = pq.read_table(target)
    assert table.num_rows == len(hostile)
    for row, f in zip(table.to_pylist(), hostile, strict=True):
        assert row["path_bytes"] == os.fsencode(f.path)
        for key in (
            "rule_id",
            "match",
            "secret",
            "start",
            "end",
            "line",
            "column",
            "entropy",
            "description",
        ):
            assert row[key] == getattr(f, key)
        assert row["groups"] == list(f.groups)
        assert row["tags"] == list(f.tags)
    metadata = pq.read_metadata(target).metadata
    assert json.loads(metadata[b"vyre_dist.summary"])["documents"] == 1234
    assert metadata[b"vyre_dist.format"] == b"1"


def test_parquet_row_groups_are_bounded(tmp_path: Path, hostile: list[Finding]) -> None:
    """Row groups hold at most 65 536 findings, and big findings are written out early."""
    target = tmp_path / "out.parquet"
    with open_sinks([("parquet", str(target))]) as sinks:
        for _ in range(70):
            sinks.write([hostile[0]] * 1000)
        sinks.write([Finding("r", "p", 0, 1, 1, 1, b"x" * (20 << 20), b"y" * (15 << 20))] * 2)
        sinks.write([hostile[0]])
        sinks.close(RunSummary())
    metadata = pq.read_metadata(target)
    rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert rows == [65536, 70_000 - 65536 + 2, 1]


def test_parquet_goes_through_a_pipe(hostile: list[Finding]) -> None:
    """Standard output that cannot seek takes a table too."""
    code = (
        "import sys; from vyre_dist.finding import Finding; from vyre_dist.sinks import *\n"
        "with open_sinks([('parquet', '-')]) as s:\n"
        "    s.write([Finding('r', 'p', 0, 1, 1, 1, b'm', b's')]); s.close(RunSummary())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=True
    )
    assert pq.read_table(io.BytesIO(run.stdout)).to_pylist()[0]["match"] == b"m"


def test_two_runs_give_the_same_bytes(hostile: list[Finding], summary: RunSummary) -> None:
    """The text formats depend on nothing but findings and summary."""
    for format_name in ("human", "jsonl", "sarif", "csv"):
        assert render(format_name, hostile, summary) == render(format_name, hostile, summary)
