"""Findings that try to break each output, and a summary with all of its fields in use."""

from __future__ import annotations

import pytest

from vyre_dist.finding import Finding
from vyre_dist.input_problem import InputNote, InputProblem
from vyre_dist.metrics import Metrics
from vyre_dist.sinks import RunSummary, WorkerSummary


def finding(**changes: object) -> Finding:
    fields: dict[str, object] = {
        "rule_id": "aws-key",
        "path": "src/a.py",
        "start": 120,
        "end": 145,
        "line": 7,
        "column": 5,
        "match": b"key = 'AKIAIOSFODNN7SAMPLE'",
        "secret": b"AKIAIOSFODNN7SAMPLE",
        "groups": (b"AKIAIOSFODNN7SAMPLE", None),
        "entropy": 3.684184,
        "description": "An access key",
        "tags": ("key", "aws"),
    }
    return Finding(**{**fields, **changes})  # type: ignore[arg-type]


def hostile_findings() -> list[Finding]:
    nasty = b"\x1b[2J\x1b]0;owned\x07\x9b31m\xc2\x9b31m\r\n\x00\x7f\xe2\x80\xae\xff\xfe"
    return [
        finding(),
        finding(match=nasty, secret=nasty, groups=(nasty, b"", None)),
        finding(
            path="evil\x1b[31m\n\r/\udcff\udc9b31m\u202e.py",
            rule_id="r\x1b[1m",
            description="d\x1b[5m\u2028{0} [x](http://y)",
        ),
        finding(path="/abs/ä b/%41?#:c.py", tags=("a", "a", "\x1b[3m")),
        finding(path="-rf", match="ü€𝄞".encode() * 100, secret="€".encode()),
        finding(
            path="=1+1|' /C calc'!A0",
            match=b"=HYPERLINK(1)",
            secret=b"=HYPERLINK(1)",
            rule_id="@rule",
        ),
        finding(path="a:b//../c", match=b"'quoted\"\n,;\t", secret=b"\t+1", groups=()),
        finding(
            rule_id="path-only",
            path="id_rsa",
            start=0,
            end=0,
            line=0,
            column=0,
            match=b"",
            secret=b"",
            groups=(),
        ),
        finding(match=b"A" * 100_000, secret=b"A" * 100_000, groups=()),
        finding(
            match=b"\xed\xa0\x80", secret=b"\xc0\x80", groups=(b"\xf5",), description="", tags=()
        ),
    ]


@pytest.fixture
def hostile() -> list[Finding]:
    return hostile_findings()


@pytest.fixture
def summary() -> RunSummary:
    return RunSummary(
        metrics=Metrics(1234, 5_000_000, capped=1, committed=30, rolled_back=10),
        seconds=2.5,
        findings=10,
        findings_by_rule={"aws-key": 8, "r\x1b[1m": 1, "path-only": 1},
        problems=(
            InputProblem("gone\x1b[31m\udcff", "vanished", "No such\x1b[2J file"),
            InputProblem("/dev/x", "device"),
        ),
        warnings=("no document\udcff was scanned",),
        notes=(InputNote("log\x1b[1m", "grew", "by 3"),),
        workers=4,
        pool="local",
        backend="cuda, cpu",
        workers_used=(
            WorkerSummary(
                0,
                "host-a",
                "",
                "cuda",
                "NVIDIA H200",
                "0.1.0",
                "3.12.1",
                15,
                7,
                4_000_000,
                {"cpu": 1_000_000, "cuda": 3_000_000},
            ),
            WorkerSummary(
                1,
                "host\x1b[1m",
                "ab12",
                "cpu",
                "Some Processor",
                "0.1.0",
                "3.12.1",
                1,
                1,
                1_000_000,
                {"cpu": 1_000_000},
            ),
        ),
        left_out=("no worker can run on host-c (node cd34): it runs vyre-dist 0.0.9\udcff",),
        skipped={"gitignored": 12, "too-large": 1},
        complete=False,
    )
