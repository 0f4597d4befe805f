"""Standard input and lists of files as inputs of `vyre-dist scan`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Cli = Callable[..., Any]


def test_standard_input_is_a_document(scan: Cli) -> None:
    """`-` is the bytes of standard input, shown as <stdin>, and leaves no copy behind."""
    run = scan("-", stdin=b"\x00 tok_dddddddddddd")
    assert run.code == 1 and run.paths == ["<stdin>"]
    assert run.findings[0]["start"] == 2


def test_standard_input_beside_files(scan: Cli) -> None:
    """`-` may stand among other paths; it comes first."""
    assert scan("clean.txt", "-", "sub", stdin=b"tok_dddddddddddd").paths == [
        "<stdin>",
        "sub/b.txt",
    ]


def test_empty_standard_input_is_clean(scan: Cli) -> None:
    """An empty document has no findings."""
    assert scan("-").code == 0


def test_a_large_standard_input_is_split_like_a_file(scan: Cli, tmp_path: Path) -> None:
    """Its offsets are the stream's; its copy is gone from the temporary folder at the end."""
    data = b"x" * 999_990 + b" tok_eeeeeeeeeeee " + b"y" * 500_000
    (tmp_path / "temporary").mkdir()
    run = scan("-", "--shard-size", "100K", stdin=data, TMPDIR=str(tmp_path / "temporary"))
    assert [f["start"] for f in run.findings] == [999_991]
    assert os.listdir(tmp_path / "temporary") == []


def test_a_list_of_files(scan: Cli, tree: Path) -> None:
    """--files-from takes a path a line; blank lines are nothing, a missing file is listed."""
    (tree / "list").write_text("sub/b.txt\n\nmissing\na.txt\n")
    run = scan("--files-from", "list")
    assert run.code == 3 and run.paths == ["sub/b.txt", "a.txt"]
    assert [p["path"] for p in run.summary["problems"]] == ["missing"]


def test_a_list_on_standard_input_separated_by_nul(scan: Cli, tree: Path) -> None:
    """`find -print0 | vyre-dist scan --files-from -` takes names with line breaks in them."""
    (tree / "odd\nname").write_text("tok_ffffffffffff")
    run = scan("--files-from", "-", stdin=b"odd\nname\0a.txt\0")
    assert run.code == 1 and run.paths == ["odd\nname", "a.txt"]


def test_a_list_and_arguments(scan: Cli) -> None:
    """Both are scanned, each file once."""
    assert scan("a.txt", "--files-from", "-", stdin=b"sub/b.txt\na.txt\n").paths == [
        "a.txt",
        "sub/b.txt",
    ]


def test_a_list_that_cannot_be_read_is_2(scan: Cli) -> None:
    """Without its list a scan does not begin."""
    run = scan("--files-from", "nowhere")
    assert run.code == 2 and run.out == b""
    assert (
        run.err == "vyre-dist: --files-from nowhere: cannot be opened: No such file or directory\n"
    )


@pytest.mark.parametrize("source", ["nowhere", "sub"])
def test_a_list_that_cannot_be_opened_is_2_before_anything_is_scanned(
    scan: Cli, source: str
) -> None:
    """However many paths come before it, nothing has been scanned when that is said."""
    run = scan("a.txt", "clean.txt", "sub", "--shard-size", "1", "--files-from", source)
    assert (run.code, run.out) == (2, b"") and "cannot be opened" in run.err


def test_standard_input_is_one_thing_only(scan: Cli) -> None:
    """It can't be a document and a list at once."""
    run = scan("-", "--files-from", "-")
    assert run.code == 2 and "not both" in run.err


def test_a_list_that_breaks_off_is_a_problem_of_the_run(cli: Cli, tree: Path, pack: Path) -> None:
    """A list is read as the scan goes: what it named before it turned out to be none is scanned,
    and the exit code is 3.
    """
    (tree / "list").write_bytes(b"a.txt\n" + b"\n" * (1 << 20) + b"x" * (3 << 20))
    run = cli("scan", "-r", pack, "-f", "jsonl", "--files-from", "list")
    assert run.code == 3
    assert [f["path"] for f in run.findings] == ["a.txt"]
    (problem,) = run.summary["problems"]
    assert (problem["path"], problem["reason"]) == ("list", "io-error")
    assert "is it a list of paths?" in problem["detail"]
    (tree / "list").write_bytes(b"x" * (3 << 20))
    assert cli("scan", "-r", pack, "--files-from", "list").code == 2
    run = cli(
        "scan", "-r", pack, "-f", "jsonl", "a.txt", "sub", "clean.txt", "--files-from", "list"
    )
    assert run.code == 3 and run.paths == ["a.txt", "sub/b.txt"]
    assert [p["path"] for p in run.summary["problems"]] == ["list"]
