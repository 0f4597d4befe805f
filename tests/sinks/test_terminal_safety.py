"""Hostile findings are harmless on a terminal, in the human format and in the others."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from rendered_findings import FINDINGS, PATHS, render

from vyre_dist.finding import Finding
from vyre_dist.input_problem import InputProblem
from vyre_dist.sinks import FORMATS, RunSummary, open_sinks
from vyre_dist.sinks.human import MAX_SHOWN


def test_human_is_one_block_a_finding(hostile: list[Finding], summary: RunSummary) -> None:
    """A block names place and rule and shows the match; long ones are cut with their length."""
    lines = render("human", hostile, summary).decode().splitlines()
    assert lines[0] == "src/a.py:7:5 aws-key: key = 'AKIAIOSFODNN7SAMPLE'"
    assert lines[1] == "    An access key; entropy 3.68; key; aws"
    assert r"\x1b[2J\x1b]0;owned\x07\x9b31m\x9b31m\r\n\x00\x7f\u202e\xff\xfe" in lines[2]
    assert "id_rsa path-only: (the file itself)" in lines
    long = next(line for line in lines if "AAAA" in line)
    assert long.endswith(f"… (+{100_000 - MAX_SHOWN} bytes)") and len(long) < 2 * MAX_SHOWN
    assert r"not scanned: gone\x1b[31m\xff: vanished (No such\x1b[2J file)" in lines
    assert "not scanned: /dev/x: device" in lines
    assert r"note: log\x1b[1m: grew (by 3)" in lines
    assert (
        "10 findings in 1,234 documents; 5.0 MB in 2.50 s (2.0 MB/s); cuda, cpu, local, 4 workers"
        in lines
    )
    assert (
        r"workers: 1 × cpu on Some Processor, vyre-dist 0.1.0, at host\x1b[1m: 1.0 MB by cpu"
        in lines
    )
    assert (
        "workers: 1 × cuda on NVIDIA H200, vyre-dist 0.1.0, at host-a: 3.0 MB by cuda, 1.0 MB by "
        "cpu" in lines
    )
    assert (
        r"left out: no worker can run on host-c (node cd34): it runs vyre-dist 0.0.9\xff" in lines
    )
    assert "speculation: 30 of 40 tiles committed (75.0 %)" in lines
    assert "capped: 1 match longer than the rule's cap" in lines
    assert "left out on purpose: 12 gitignored (--no-gitignore takes them), 1 too-large" in lines
    assert lines[-1] == "INCOMPLETE: 2 inputs not scanned to the end"


class Terminal(io.BytesIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class AsciiTerminal(Terminal):
    encoding = "ascii"


SGR = re.compile(rb"\x1b\[[0-9;]*m")


def bare_controls(data: bytes) -> list[str]:
    """What a terminal would obey, but for newlines and tabs."""
    text = data.decode("utf-8")
    return [c for c in text if c not in "\n\t" and (not c.isprintable())]


@pytest.mark.parametrize("format_name", [f for f in FORMATS if f != "parquet"])
def test_no_control_character_gets_out(
    format_name: str, hostile: list[Finding], summary: RunSummary
) -> None:
    """No text format lets a control, a direction mark or a lone surrogate through as itself."""
    data = render(format_name, hostile, summary)
    assert (
        set(bare_controls(data)) <= {"\x7f"}
        if format_name in ("jsonl", "sarif")
        else bare_controls(data) == []
    )


@pytest.mark.parametrize("terminal", [Terminal, AsciiTerminal])
def test_a_terminal_gets_only_our_own_colours(
    terminal: type[Terminal],
    hostile: list[Finding],
    summary: RunSummary,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a terminal the only escape sequences are colours, and the secret is among what is
    coloured.
    """
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = terminal()
    with open_sinks([("human", "-")], stdout=out) as sinks:
        sinks.write(hostile)
        sinks.close(summary)
    data = out.getvalue()
    assert b"\x1b[1;31mAKIAIOSFODNN7SAMPLE\x1b[0m" in data
    rest = SGR.sub(b"", data)
    assert bare_controls(rest) == []
    assert b"INCOMPLETE: 2 inputs" in rest
    assert rest.count(b"\n") < 60
    if terminal is AsciiTerminal:
        assert data.isascii()


@settings(max_examples=60, deadline=None)
@given(FINDINGS, PATHS)
def test_human_never_lets_controls_through(found: Finding, path: str) -> None:
    """Any bytes in any field come out printable."""
    summary = RunSummary(
        problems=(InputProblem(path, "io-error", path),),
        findings_by_rule={path: 1},
        skipped={path: 1},
    )
    assert bare_controls(render("human", [found], summary)) == []
