"""`vyre-dist scan --audit`: what it says, and how it ends."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_scans import PATIENCE, Start, held_worker

Cli = Callable[..., Any]
CLEAN, FINDINGS, USAGE, INCOMPLETE = 0, 1, 2, 3


def summary_of(out: bytes) -> dict[str, Any]:
    last: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert last["type"] == "summary"
    return last


def audit_of(summary: dict[str, Any]) -> tuple[int, int, int, int]:
    """(documents, bytes, differences, documents that were not audited)."""
    names = ("audited_documents", "audited_bytes", "audit_differences", "not_audited")
    return tuple(summary[name] for name in names)  # type: ignore[return-value]


@pytest.mark.parametrize("options", [("-j", "1"), ("-j", "2", "--shard-size", "10")])
def test_an_audit_changes_nothing_of_what_is_found(scan: Cli, options: tuple[str, ...]) -> None:
    """All documents, whole and in pieces, by one worker or two."""
    plain, audited = scan(*options, "."), scan(*options, "--audit", "1", ".")
    assert (plain.code, audited.code) == (FINDINGS, FINDINGS) and audited.err == ""
    assert plain.out.splitlines()[:-1] == audited.out.splitlines()[:-1]
    summary = summary_of(audited.out)
    assert audit_of(summary) == (summary["documents"], summary["bytes"], 0, 0)
    assert audit_of(summary_of(plain.out)) == (0, 0, 0, 0)


def test_standard_input_is_audited(scan: Cli) -> None:
    run = scan("--audit", "1", "-", stdin=b"x tok_aaaaaaaaaaaa y")
    assert run.code == FINDINGS and audit_of(summary_of(run.out)) == (1, 20, 0, 0)


def test_a_document_with_other_findings_is_named(start: Start, tree: Path, tmp_path: Path) -> None:
    """Exit code 3; what was found is reported, and where it differs, without what it is."""
    (tree / "wrong.txt").write_text("MISSED\ntok_zzzzzzzzzzzz\n")
    report = tmp_path / "report.json"
    process = start("-j", "1", "-f", "jsonl", "--report", report, "--audit", "1", ".")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == INCOMPLETE
    (problem,) = json.loads(report.read_text())["problems"]
    detail = "rule 'token', at 7: google-re2 finds 1, the scan 0"
    assert problem == {"path": "wrong.txt", "reason": "audit-differs", "detail": detail}
    summary = summary_of(out)
    assert summary["problems"] == [problem] and not summary["complete"]
    assert audit_of(summary) == (4, summary["bytes"], 1, 0)
    paths = [json.loads(line)["path"] for line in out.splitlines()[:-1]]
    assert paths == ["a.txt", "sub/b.txt"]
    said = "1 document was not scanned right, as its audit says; the end of the output lists it"
    assert err.decode().splitlines()[-1] == f"vyre-dist: {said}"


def test_people_are_told_of_it(start: Start, tree: Path) -> None:
    """Beside what was not scanned, and in the last lines."""
    (tree / "wrong.txt").write_text("MISSED\ntok_zzzzzzzzzzzz\n")
    process = start("-j", "1", "--audit", "1", ".", "missing")
    out, _ = process.communicate(timeout=PATIENCE)
    lines = out.decode().splitlines()
    assert process.returncode == INCOMPLETE
    told = "audit: wrong.txt: audit-differs (rule 'token', at 7: google-re2 finds 1, the scan 0)"
    assert told in lines
    assert "audited: 4 documents, scanned again with google-re2 alone" in lines
    assert "audited: 1 document with other findings than google-re2's" in lines
    assert lines[-2:] == [
        "AUDIT: 1 document with other findings than google-re2's",
        "INCOMPLETE: 1 input not scanned to the end",
    ]


def test_without_an_audit_nobody_knows(start: Start, tree: Path) -> None:
    (tree / "wrong.txt").write_text("MISSED\ntok_zzzzzzzzzzzz\n")
    process = start("-j", "1", "-f", "jsonl", ".")
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == FINDINGS and summary_of(out)["complete"]


def test_what_is_gone_or_rewritten_meanwhile_is_a_note(start: Start, tmp_path: Path) -> None:
    """The scan is over before the audits begin: that others can't be audited is no fault of it."""
    folder = tmp_path / "d"
    folder.mkdir()
    for name in ("a-gone", "b-written", "c-there"):
        (folder / name).write_text("tok_aaaaaaaaaaaa")
    (folder / "b-large").write_text("tok_aaaaaaaaaaaa\n" * 9)
    (folder / "d-held").write_text("HELD")
    process = start("-j", "1", "-f", "jsonl", "--shard-size", "16", "--audit", "1", folder)
    worker = held_worker(process)
    (folder / "a-gone").unlink()
    for name in ("b-written", "b-large"):
        (folder / name).write_text((folder / name).read_text().replace("a", "b"))
    os.kill(worker, signal.SIGUSR1)
    out, _ = process.communicate(timeout=PATIENCE)
    summary = summary_of(out)
    assert process.returncode == FINDINGS and summary["complete"]
    assert audit_of(summary) == (2, 20, 0, 3)
    notes = {Path(note["path"]).name: note for note in summary["notes"]}
    assert {note["reason"] for note in notes.values()} == {"not-audited"}
    assert notes["a-gone"]["detail"].startswith("vanished: ")
    for name in ("b-written", "b-large"):
        assert notes[name]["detail"].startswith("changed: ")


@pytest.mark.parametrize("rate", ["-0.1", "1.5", "nan", "all"])
def test_a_rate_is_from_0_to_1(scan: Cli, rate: str) -> None:
    run = scan(f"--audit={rate}", ".")
    assert run.code == USAGE and rate in run.err
