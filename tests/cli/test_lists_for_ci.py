"""`--files-from`: names are names, and the commands for CI that docs/inputs.md has do what it
says.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from without_hyperscan import told

Cli = Callable[..., Any]
ROOT = Path(__file__).parents[2]
COMMANDS = [
    (command, what)
    for what, command in re.findall(
        r"^# (.*)\n(.*--files-from -)$", (ROOT / "docs" / "inputs.md").read_text(), re.M
    )
]


@pytest.mark.parametrize("end", [b"\n", b"\0"], ids=["lines", "nul"])
def test_names_of_a_list_are_no_globs(scan: Cli, tree: Path, end: bytes) -> None:
    """What is listed and not there is not found, though it reads like a glob that matches something
    else.
    """
    for name in ("i.tsx", "[id].tsx", "a*.txt"):
        (tree / "sub" / name).write_text("tok_cccccccccccc")
    (tree / "sub" / "ab.txt").write_text("tok_dddddddddddd")
    names = [b"sub/[id].tsx", b"sub/a*.txt"]
    run = scan("--files-from", "-", stdin=end.join([*names, b""]))
    assert (run.code, run.paths) == (1, ["sub/[id].tsx", "sub/a*.txt"])
    for name in names:
        (tree / os.fsdecode(name)).unlink()
    run = scan("--files-from", "-", stdin=end.join([*names, b"**", b"sub/*", b"?", b""]))
    assert (run.code, run.paths) == (3, [])
    assert [(p["path"], p["reason"], p["detail"]) for p in run.summary["problems"]] == [
        (name, "not-found", "No such file or directory")
        for name in ("sub/[id].tsx", "sub/a*.txt", "**", "sub/*", "?")
    ]


def test_globs_of_arguments_stand_beside_a_list(scan: Cli, tree: Path) -> None:
    """An argument is expanded, whether there is a list or not."""
    (tree / "list").write_text("sub/*.txt\n")
    run = scan("*.txt", "--files-from", "list")
    assert (run.code, run.paths) == (3, ["a.txt"])
    assert [p["path"] for p in run.summary["problems"]] == ["sub/*.txt"]


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with a commit of its own, something staged, something untracked and something
    ignored, of files that are named for it. In each step a file is deleted, too.
    """
    upstream, clone = tmp_path / "upstream", tmp_path / "clone"
    upstream.mkdir()
    git(upstream, "init", "-q", "-b", "main")
    for name in ("base", "gone 1", "gone 2", "gone 3", "old name"):
        (upstream / name).write_text(f"tok_{name.replace(' ', ''):a<12}\n" + "the same\n" * 9)
    (upstream / ".gitignore").write_text("ignored*\n")
    git(upstream, "add", ".")
    git(upstream, "commit", "-qm", "base")
    git(tmp_path, "clone", "-q", "upstream", "clone")
    for number, name in enumerate(("é 1", "[é] 2"), 1):
        (clone / name).write_text("tok_bbbbbbbbbbbb")
        (clone / f"gone {number}").unlink()
        git(clone, "add", "-A")
        git(clone, "commit", "-qm", name)
    (clone / "staged").write_text("tok_cccccccccccc")
    (clone / "gone 3").unlink()
    (clone / "old name").rename(clone / "new name")
    git(clone, "add", "-A")
    (clone / "untracked\n1").write_text("tok_dddddddddddd")
    (clone / "ignored").write_text("tok_eeeeeeeeeeee")
    # a day that is over, for all but one
    for path in clone.iterdir():
        if path.name != "staged":
            os.utime(path, (1, 1))
    return clone


WANTED = {
    "a pull request": {"é 1", "[é] 2"},
    "the last commit": {"[é] 2"},
    "what is staged": {"staged", "new name"},
    "what is untracked": {"untracked\n1"},
    "what is tracked": {"base", "é 1", "[é] 2", "staged", "new name"},
    "changed today": {"staged"},
}


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(("command", "what"), COMMANDS, ids=[what for _, what in COMMANDS])
def test_the_documents_commands_scan_what_they_say(
    command: str, what: str, clone: Path, environment: dict[str, str], pack: Path, tmp_path: Path
) -> None:
    """Each command line of docs/inputs.md, as it stands, scans those files and ends with 1: a
    deleted file is no problem.
    """
    shim = tmp_path / "bin" / "vyre-dist"
    shim.parent.mkdir()
    # the options belong to the test, the rest of the line to the document
    shim.write_text(
        f'#!/bin/sh\nshift\nexec {sys.executable} -m vyre_dist scan -r {pack} -f jsonl --progress never "$@"\n'
    )
    shim.chmod(0o755)
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"set -o pipefail; {command} --report {tmp_path}/report -f jsonl={tmp_path}/out",
        ],
        cwd=clone,
        env={**environment, "PATH": f"{shim.parent}:{environment['PATH']}"},
        capture_output=True,
        timeout=60,
    )
    lines = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert {line["path"] for line in lines if line["type"] == "finding"} == WANTED[what]
    assert (done.returncode, told(done.stderr), lines[-1]["problems"]) == (1, "", [])


def test_the_document_has_a_command_for_each_list() -> None:
    """None of them went untested because it is written otherwise."""
    assert sorted(what for _, what in COMMANDS) == sorted(WANTED)
