"""`vyre-dist scan` of pipes that the shell made, and of those that lie about."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
POOLS = [[], ["--pool", "ray", "--address", "local", "-j", "1"]]


def in_bash(line: str, environment: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    command = f'scan() {{ {sys.executable} -m vyre_dist scan --progress never "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", command],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("pool", POOLS, ids=["local", "ray"])
def test_process_substitution_is_a_document(
    pool: list[str], environment: dict[str, str], pack: Path, tree: Path
) -> None:
    """`scan <(command)` has the command's output under the name that the shell gives it, in every
    pool.
    """
    options = " ".join(pool)
    run = in_bash(
        f"scan -r {pack} {options} <(cat sub/b.txt) a.txt <(echo; cat sub/b.txt)", environment, tree
    )
    assert run.returncode == 1, run.stderr
    places = [line.split(" ")[0] for line in run.stdout.splitlines() if "tok_" in line]
    assert [place.partition(":")[2] for place in places] == ["1:1", "2:7", "2:1"]
    assert places[0].startswith("/dev/fd/") and places[1].startswith("a.txt:")
    assert "3 findings in 3 documents" in run.stdout


def test_a_pipe_larger_than_a_shard_is_cut(
    environment: dict[str, str], pack: Path, tree: Path
) -> None:
    """What comes by a pipe is scanned in pieces like a file."""
    line = f"scan -r {pack} --shard-size 64K <(head -c 3000000 /dev/zero; cat sub/b.txt)"
    run = in_bash(line, environment, tree)
    assert run.returncode == 1 and ":1:3000001 token: tok_" in run.stdout


def test_dev_stdin_is_standard_input_once(scan: Cli) -> None:
    """/dev/stdin names the pipe that `-` is: alone it is read, beside `-` it is the same
    document.
    """
    run = scan("/dev/stdin", stdin=b"tok_dddddddddddd")
    assert (run.code, run.paths) == (1, ["/dev/stdin"])
    run = scan("-", "/dev/stdin", stdin=b"tok_dddddddddddd")
    assert (run.code, run.paths, run.summary["skipped"]) == (1, ["<stdin>"], {"duplicate": 1})
    run = scan("--files-from", "-", "/dev/stdin", stdin=b"a.txt")
    assert run.code == 2 and "not both" in run.err


def test_a_list_may_be_a_pipe(environment: dict[str, str], pack: Path, tree: Path) -> None:
    """`--files-from <(command)` reads the names, and not the files' contents, from it."""
    run = in_bash(f"scan -r {pack} --files-from <(find . -name b.txt -print0)", environment, tree)
    assert run.returncode == 1 and "sub/b.txt:1:1 token" in run.stdout


def test_a_pipe_in_a_folder_or_a_list_is_a_problem(scan: Cli, tree: Path) -> None:
    """Nobody named it: it is listed, and not waited for."""
    os.mkfifo(tree / "sub" / "p")
    for run in (
        scan("sub"),
        scan("--files-from", "-", stdin=b"sub/p\nsub/b.txt\n"),
        scan("sub/[bp]*"),
    ):
        assert (run.code, run.paths) == (3, ["sub/b.txt"])
        assert [(p["path"], p["reason"]) for p in run.summary["problems"]] == [("sub/p", "fifo")]


def test_a_pipe_without_a_writer_is_told_and_can_be_interrupted(
    environment: dict[str, str], pack: Path, tree: Path
) -> None:
    """A message says what is waited for, and Ctrl-C ends the wait."""
    os.mkfifo(tree / "p")
    process = subprocess.Popen(
        [sys.executable, "-m", "vyre_dist", "scan", "-r", str(pack), "p"],
        env=environment,
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == b"vyre-dist: waiting for somebody to write to p\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"vyre-dist: interrupted\n")
    assert not list(Path(environment["TMPDIR"]).glob("*stdin*"))
