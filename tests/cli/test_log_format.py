"""--log-format json: whatever a command says on standard error is a JSON object, one a line."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

USAGE, INCOMPLETE = 2, 3


def log(err: str) -> list[dict[str, Any]]:
    """The lines of the log; each is an object with a type and a time."""
    lines = [json.loads(line) for line in err.splitlines()]
    for line in lines:
        assert datetime.fromisoformat(line["time"]).utcoffset() is not None
        assert line["type"] in ("note", "warning", "error", "problem", "progress"), line
    return lines


def of_type(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["type"] == kind]


@pytest.mark.parametrize("form", ["human", "jsonl", "sarif"])
def test_a_scan_tells_notes_problems_and_progress(cli, pack: Path, tmp_path: Path, form) -> None:
    """Each by its type, with facts; a problem also where the output on standard output names it."""
    out = tmp_path / "found.csv"
    arguments = ["-r", pack, ".", "missing", "-f", form, "-o", out, "--log-format", "json"]
    if form != "human":
        arguments = ["-r", pack, ".", "missing", "-f", form, "--log-format=json"]
    run = cli("scan", *arguments)
    assert run.code == INCOMPLETE
    lines = log(run.err)
    (problem,) = of_type(lines, "problem")
    assert (problem["path"], problem["reason"]) == ("missing", "not-found")
    assert "missing" in problem["message"] and problem["detail"]
    (progress,) = of_type(lines, "progress")
    assert progress["final"] and progress["documents"] == 3


def test_warnings_are_told_apart(cli, pack: Path, dead_url: str) -> None:
    """A warning has no "warning: " in its message."""
    run = cli("scan", "-r", pack, ".", "--store", dead_url, "--log-format", "json")
    (warning,) = of_type(log(run.err), "warning")
    assert warning["message"].startswith("the autotune store")
    run = cli("scan", "-r", pack, ".", "--progress", "never", "--log-format", "json")
    assert log(run.err) == []


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["scan", "--no-such-option"], "--no-such-option"),
        (["scan", "--rules", "missing.toml", "."], "missing.toml"),
        (["no-such-command"], "no-such-command"),
        (["autotune", "export", "/no/such/folder/file.toml", "--store", "mysql://x"], "mysql"),
    ],
    ids=["option", "rules", "command", "store"],
)
def test_errors_are_objects_too(cli, arguments: list[str], part: str) -> None:
    """Also those of wrong arguments, wherever the format was named."""
    run = cli(*arguments, VYRE_DIST_LOG_FORMAT="json")
    (error,) = log(run.err)
    assert run.code == error["exit_code"] == USAGE
    assert error["type"] == "error" and part in error["message"]
    if arguments[0] == "scan":
        assert log(cli("scan", "--log-format", "json", *arguments[1:]).err)[0]["type"] == "error"


def test_the_default_is_for_people(cli, pack: Path) -> None:
    """Text; also where the option is another command's, and wins over the environment."""
    for more in ({}, {"VYRE_DIST_LOG_FORMAT": "text"}):
        run = cli("scan", "-r", pack, ".", "missing", "-f", "csv", **more)
        assert run.err.startswith("vyre-dist: not scanned: missing: not-found (")
    arguments = ("scan", "-r", pack, "missing", "-f", "csv", "--log-format", "text")
    run = cli(*arguments, VYRE_DIST_LOG_FORMAT="json")
    assert run.err.startswith("vyre-dist: not scanned")
    # what is behind -- is for others to read
    run = cli("submit", "--address", "127.0.0.1:1", "--", "scan", "--log-format", "json")
    assert run.code == USAGE and run.err.startswith("vyre-dist: ")


def test_another_format_is_bad_usage(cli) -> None:
    """The message says which there are."""
    run = cli("scan", "--log-format", "xml", ".")
    assert run.code == USAGE and "text" in run.err and "json" in run.err
    assert cli("scan", ".", VYRE_DIST_LOG_FORMAT="xml").code == USAGE


def test_names_that_are_no_text_are_told(cli, tree: Path, pack: Path) -> None:
    """A path with a byte that is no UTF-8, and one with a line break, stay on one line."""
    for name in (b"b\xffad", b"two\nlines"):
        run = cli("scan", "-r", pack, tree / name.decode("utf-8", "surrogateescape"), "-f", "csv",
                  "--log-format", "json")  # fmt: skip
        (problem,) = of_type(log(run.err), "problem")
        assert problem["path"] in ("b\\xffad", "two\\nlines") or problem["path"].endswith(
            ("b\\xffad", "two\\nlines")
        )
