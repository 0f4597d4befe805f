"""Batches of findings: what sinks make of columns is what they would make of each Finding."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples

from vyre_dist.finding import Finding, FindingBatch, Slices
from vyre_dist.sinks import many_rows
from vyre_dist.sinks.csv_sink import COLUMNS, CsvSink, _texts
from vyre_dist.sinks.jsonl import JsonLinesSink
from vyre_dist.sinks.output import Output
from vyre_dist.sinks.redaction import redact, redact_batch
from vyre_dist.sinks.sarif import SarifSink
from vyre_dist.sinks.text import lossy, lossy_path

BYTES = st.binary(max_size=6) | st.sampled_from([b"", b"plain", "\u20ac\u2028".encode(), b'"\\\n'])
TEXTS = st.text(max_size=4) | st.sampled_from(["a", "=b", "p\udcff"])


PLAIN = st.text("ab =-,\"'\\\n", max_size=6).map(str.encode)
"""What all formats write by columns."""


@st.composite
def findings(draw: st.DrawFn, texts: st.SearchStrategy[bytes] = BYTES, least: int = 0) -> Finding:
    match = draw(texts)
    return Finding(
        draw(st.sampled_from(["r", "other \u00e9"])),
        draw(TEXTS),
        *[draw(st.integers(least, 2**40)) for _ in range(4)],
        match,
        draw(st.just(match) | texts),
        tuple(draw(st.lists(st.none() | BYTES, max_size=3))),
        draw(st.floats(0, 8) | st.just(-0.0)),
        draw(st.sampled_from(["", "says \u00e9"])),
        draw(st.sampled_from([(), ("a", "b")])),
        draw(st.sampled_from(["0" * 32, "f" * 32])),
        draw(st.none() | st.just("c" * 64)),
        *[draw(st.integers(least, 2**40)) for _ in range(3)],
    )


BATCHES = st.lists(findings(), max_size=6)


class Memory:
    """An output that keeps what is written."""

    is_terminal = False
    kept_at = None

    def __init__(self) -> None:
        self.stream = io.BytesIO()


def record_of(finding: Finding) -> dict[str, Any]:
    """The record of the jsonl format, as its page says."""
    path, path_base64 = lossy_path(finding.path)
    match, match_base64 = lossy(finding.match)
    secret, secret_base64 = lossy(finding.secret)
    record: dict[str, Any] = {"type": "finding", "rule_id": finding.rule_id, "path": path}
    if path_base64 is not None:
        record["path_base64"] = path_base64
    record |= {
        "line": finding.line,
        "column": finding.column,
        "start": finding.start,
        "end": finding.end,
        "match": match,
    }
    if match_base64 is not None:
        record["match_base64"] = match_base64
    record["secret"] = secret
    if secret_base64 is not None:
        record["secret_base64"] = secret_base64
    if finding.groups:
        groups = [None if g is None else lossy(g) for g in finding.groups]
        record["groups"] = [g and g[0] for g in groups]
        if any(g is not None and g[1] is not None for g in groups):
            record["groups_base64"] = [g and g[1] for g in groups]
    record["entropy"] = round(finding.entropy, 6)
    record["description"] = finding.description
    record["tags"] = list(finding.tags)
    record["fingerprint"] = finding.fingerprint
    if finding.secret_id is not None:
        record["secret_id"] = finding.secret_id
    return record


def opened(memory: Memory) -> Output:
    return memory  # type: ignore[return-value]


@settings(max_examples=examples(150), deadline=None)
@given(BATCHES)
def test_a_batch_is_a_sequence_of_its_findings(found: list[Finding]) -> None:
    """Each of them, and each slice."""
    batch = FindingBatch.of(found)
    assert list(batch) == found and len(batch) == len(found)
    assert batch[1:3] == found[1:3] and FindingBatch.of(batch) is batch
    assert [batch[i] for i in range(-len(found), 0)] == found


@settings(max_examples=examples(150), deadline=None)
@given(BATCHES)
def test_json_lines_are_those_of_a_json_encoder(found: list[Finding]) -> None:
    """Byte for byte, whatever texts, groups and entropies there are."""
    memory = Memory()
    JsonLinesSink(opened(memory)).write(found)
    expected = [json.dumps(record_of(f), separators=(",", ":")) + "\n" for f in found]
    assert memory.stream.getvalue() == "".join(expected).encode()


@settings(max_examples=examples(150), deadline=None)
@given(BATCHES)
def test_rows_of_csv_are_those_of_a_csv_writer(found: list[Finding]) -> None:
    """Byte for byte, whatever has to be quoted."""
    memory = Memory()
    CsvSink(opened(memory), secret_ids=True).write(found)
    expected = io.StringIO()
    writer = csv.writer(expected, lineterminator="\n")
    writer.writerow((*COLUMNS, "secret_id"))
    for f in found:
        (path, path64), (match, match64), (secret, secret64) = [
            _texts(data) for data in (os.fsencode(f.path), f.match, f.secret)
        ]
        rule, description, tags = [
            _texts(os.fsencode(text))[0] for text in (f.rule_id, f.description, " ".join(f.tags))
        ]
        place = f.line, f.column, f.start, f.end
        rest = f"{f.entropy:.6f}", description, tags, f.fingerprint, path64, match64, secret64
        writer.writerow((rule, path, *place, match, secret, *rest, f.secret_id or ""))
    assert memory.stream.getvalue() == expected.getvalue().encode()


@settings(max_examples=examples(150), deadline=None)
@given(BATCHES)
def test_sarif_results_are_those_of_a_json_encoder(found: list[Finding]) -> None:
    """Each says what its finding says, and is compact JSON."""
    memory = Memory()
    sink = SarifSink(opened(memory))
    head = len(memory.stream.getvalue())
    for some in (found[:2], found[2:]):
        sink.write(some)
    lines = memory.stream.getvalue()[head:].decode("ascii").removeprefix("\n").split(",\n")
    results = [line for line in lines if line]
    assert len(results) == len(found)
    for text, f in zip(results, found, strict=True):
        result = json.loads(text)
        assert json.dumps(result, separators=(",", ":")) == text
        assert (result["ruleId"], result["level"]) == (f.rule_id, "error")
        assert result["partialFingerprints"] == {"vyreDist/v2": f.fingerprint}
        region = result["locations"][0]["physicalLocation"]["region"]
        if f.line:
            snippet = region["snippet"]
            shown = snippet["text"].encode() if "text" in snippet else snippet["binary"]
            assert shown == (f.match if "text" in snippet else base64.b64encode(f.match).decode())
            columns = (region.get("startColumn", 0), region.get("endColumn", 0))
            known = (f.start_column_utf16, f.end_column_utf16) if f.start_column_utf16 else (0, 0)
            assert columns == known and region.get("endLine", 0) == f.end_line
            assert (region["startLine"], region["byteOffset"]) == (f.line, f.start)
            assert region["byteLength"] == f.end - f.start
        properties = result["properties"]
        assert (properties["byteColumn"], properties["entropy"]) == (f.column, round(f.entropy, 6))
        assert properties.get("secretId") == f.secret_id


@settings(max_examples=examples(150), deadline=None)
@given(BATCHES.filter(bool), st.integers(1, 100))
def test_a_batch_is_redacted_as_its_findings_are(found: list[Finding], percent: int) -> None:
    """Match, secret and groups; all else stays."""
    masked = redact_batch(FindingBatch.of(found), percent)
    assert list(masked) == [redact(each, percent) for each in found]


def sink_of(name: str, memory: Memory) -> JsonLinesSink | CsvSink | SarifSink:
    if name == "csv":
        return CsvSink(opened(memory), secret_ids=True)
    return {"jsonl": JsonLinesSink, "sarif": SarifSink}[name](opened(memory))


@pytest.mark.parametrize("name", ["jsonl", "csv", "sarif"])
@settings(max_examples=40, deadline=None)
@given(st.lists(findings(PLAIN, 1), min_size=1, max_size=6))
def test_columns_are_written_as_rows_are(name: str, found: list[Finding]) -> None:
    """Byte for byte; and all of it by columns."""
    with pytest.MonkeyPatch.context() as patch:
        rows, columns = Memory(), Memory()
        sink_of(name, rows).write(found)
        patch.setattr(many_rows, "MANY_ROWS", 0)
        patch.setattr(many_rows, "FEW_ROWS", 0)
        sink = sink_of(name, columns)
        patch.setattr(sink._texts, "_rows", None)
        # Sarif counts rules in the order in which they come
        sink.write(found)
    assert columns.stream.getvalue() == rows.stream.getvalue()


@pytest.mark.parametrize("name", ["jsonl", "csv", "sarif"])
@settings(max_examples=40, deadline=None)
@given(st.lists(BATCHES, max_size=4))
def test_what_columns_can_not_write_rows_do(name: str, batches: list[list[Finding]]) -> None:
    """A batch with what is no text, with lines that nobody knows, or without findings."""
    with pytest.MonkeyPatch.context() as patch:
        rows, columns = Memory(), Memory()
        own = sink_of(name, rows)
        for batch in batches:
            own.write(batch)
        patch.setattr(many_rows, "MANY_ROWS", 1)
        patch.setattr(many_rows, "FEW_ROWS", 1)
        patch.setattr(many_rows, "STEP_ROWS", 2)
        own = sink_of(name, columns)
        for batch in batches:
            own.write(batch)
    assert columns.stream.getvalue() == rows.stream.getvalue()


def test_columns_come_after_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not for batches of a few."""
    monkeypatch.setattr(many_rows, "MANY_ROWS", 600)
    asked: list[int] = []
    finding = Finding("r", "p", 1, 2, 3, 4, b"m", b"m")

    def columns(batch: FindingBatch) -> memoryview:
        asked.append(len(batch))
        return memoryview(b"")

    texts = many_rows.RowsOrColumns(lambda batch: iter(["x"] * len(batch)), columns)
    for count in (300, 300, 255, 256):
        written = b"".join(texts.of([finding] * count))
        assert len(written) == (0 if count == 256 else count)
    assert asked == [256]


@given(st.text("ab", max_size=9), st.integers(-4, 4), st.integers(-4, 4))
def test_slices_are_those_of_a_list(text: str, first: int, end: int) -> None:
    """Of fingerprints, that is."""
    text = text[: len(text) // 3 * 3]
    pieces, known = Slices(text, 3), [text[at : at + 3] for at in range(0, len(text), 3)]
    assert list(pieces) == known and list(pieces[first:end]) == known[first:end]
    assert list(pieces[::2]) == known[::2]
    for at in range(-len(known), len(known)):
        assert pieces[at] == known[at]
