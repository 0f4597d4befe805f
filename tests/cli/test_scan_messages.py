"""What a scan says on standard error, and what nobody gets to see of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forked_command import CLOSED
from without_hyperscan import LACKING

Cli = Callable[..., Any]
FORMATS = ["human", "jsonl", "csv", "sarif", "parquet"]


def test_human_lists_what_was_not_scanned(cli: Cli, pack: Path) -> None:
    """The summary names it; standard error, which goes elsewhere, says that there is something to
    look for.
    """
    for path, shown in (("missing", "missing"), ("", "''")):
        run = cli("scan", "-r", pack, path)
        assert (
            run.out.decode().splitlines()[0]
            == f"not scanned: {shown}: not-found (No such file or directory)"
        )
        assert run.out.decode().endswith("INCOMPLETE: 1 input not scanned to the end\n")
        assert (
            run.err
            == "vyre-dist: 1 input was not scanned to the end; the end of the output lists it\n"
        )


@pytest.mark.parametrize(
    "form", [*FORMATS, "human=file", "jsonl=file", "human=/dev/stderr", "sarif=/dev/fd/2"]
)
@pytest.mark.parametrize("where", ["2>err", "2>&1", "2>/dev/null", ">/dev/null", ">&-"])
def test_a_problem_is_named_once(
    cli: Cli, pack: Path, tmp_path: Path, form: str, where: str
) -> None:
    """In whatever format and wherever the two standard streams go, together they name what was not
    scanned once.
    """
    out_name = {">/dev/null": os.devnull}.get(where, "out")
    err_name = {"2>/dev/null": os.devnull, "2>&1": "out"}.get(where, "err")
    with open(tmp_path / out_name, "ab") as out, open(tmp_path / err_name, "ab") as err:
        stdout = CLOSED if where == ">&-" else out
        run = cli("scan", "-r", pack, "-f", form, ".", "no-such-name", stdout=stdout, stderr=err)
    assert run.code == 3
    said = b"".join(
        path.read_bytes() for path in map(tmp_path.joinpath, ("out", "err")) if path.exists()
    )
    lost = where == "2>/dev/null" and (form == "csv" or "=" in form)
    # what begins with a header fails before anything is scanned
    lost |= where == ">&-" and form in ("csv", "sarif", "parquet")
    assert said.count(b"no-such-name") == (0 if lost else 1), said


def test_a_summary_that_nobody_sees_names_nothing(cli: Cli, pack: Path) -> None:
    """`> /dev/null`: the problem is said on standard error."""
    with open(os.devnull, "wb") as nowhere:
        run = cli("scan", "-r", pack, "missing", stdout=nowhere)
    assert (run.code, run.err) == (
        3,
        "vyre-dist: not scanned: missing: not-found (No such file or directory)\n",
    )


def test_progress_is_json_lines_where_they_are_asked_for(cli: Cli, pack: Path) -> None:
    """Standard error gets whole lines: messages, and progress with a last one that says so."""
    run = cli("scan", "-r", pack, ".", "missing", "-f", "csv", "--progress", "json")
    message, last = run.err.splitlines()
    assert message.startswith("vyre-dist: not scanned: missing")
    progress = json.loads(last)
    assert progress["type"] == "progress" and progress["final"] is True
    assert (progress["documents"], progress["documents_total"], progress["findings"]) == (3, 3, 2)
    assert progress["bytes"] > 0


def test_a_usage_error_stands_alone(pack: Path, tree: Path, environment: dict[str, str]) -> None:
    """What is found out when the workers start, after the outputs are open, has no progress before
    it, of any style.
    """
    styles = ["auto", "plain", "json", "bar", "never"]
    code = (
        "import sys; from vyre_dist.kernels import backends; from vyre_dist.errors import "
        "UsageError\n"
        "def refuse(*_): raise UsageError('no such luck')\n"
        "backends.BACKENDS['unlucky'] = refuse\n"
        "from vyre_dist.cli.main import main\n"
        f"for style in {styles}:\n"
        "    try: main([*sys.argv[1:], '--progress', style])\n"
        "    except SystemExit as left: assert left.code == 2\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "scan", "-r", str(pack), "--backend", "unlucky", "."],
        cwd=tree,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    assert (run.returncode, run.stdout) == (0, b"")
    assert run.stderr.decode().splitlines() == ["vyre-dist: no such luck"] * len(styles)


def test_a_short_scan_shows_no_progress_in_a_log(cli: Cli, pack: Path) -> None:
    """Off a terminal there is a line every 30 seconds, and none for what is over before."""
    run = cli("scan", "-r", pack, ".")
    assert (run.code, run.err) == (1, "")


@pytest.mark.parametrize("stream", ["closed", "full"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["scan", "."], 1),  # nothing was to be said there
        (["scan", "clean.txt"], 0),
        (["scan", ".", "-f", "csv", "missing"], 3),
        (["scan", ".", "-o", "x.csv"], 3),  # that it is csv could not be said
        (["scan", ".", "-f", "jsonl=/dev/stderr"], None),
        (["scan", ".", "--progress", "json"], 3),
        (["scan", "--nonsense"], 2),
        (["scan", "-r", "missing.toml"], 2),
        (["rules", "check", "missing.toml"], 2),
        (["submit"], 2),
    ],
)
def test_messages_that_nobody_gets(
    cli: Cli, pack: Path, tree: Path, arguments: list[str], code: int | None, stream: str
) -> None:
    """Standard error that is closed or full ends no scan; a message of a scan that is lost is 3,
    usage errors stay 2.
    """
    if (
        code is None
    ):  # a descriptor that is not there is a usage error, a full one an output that failed
        code = 2 if stream == "closed" else 3
    if LACKING and arguments[0] == "scan" and code < 2:
        code = 3  # that Hyperscan is missing could not be said
    if arguments[0] == "scan" and "-r" not in arguments:
        arguments = ["scan", "-r", str(pack), *arguments[1:]]
    with open("/dev/full", "wb") as full:
        run = cli(*arguments, stderr=CLOSED if stream == "closed" else full)
    assert run.code == code
    if code == 3 and "clean.txt" not in arguments and "jsonl=/dev/stderr" not in arguments:
        written = run.out or (tree / "x.csv").read_bytes()
        assert b"tok_aaaaaaaaaaaa" in written and b"tok_bbbbbbbbbbbb" in written


@pytest.mark.parametrize("why", ["missing", "full"])
def test_a_temporary_folder_that_cannot_take_standard_input_is_named(
    cli: Cli, pack: Path, tree: Path, environment: dict[str, str], tmp_path: Path, why: str
) -> None:
    """The folder that TMPDIR names: no other one is taken in its place."""
    folder = tmp_path / "none" if why == "missing" else tmp_path
    script = 'ulimit -f 1; exec "$@"' if why == "full" else 'exec "$@"'
    code = (
        "import signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from "
        "vyre_dist.cli.main import main; main()"
    )
    run = subprocess.run(
        ["bash", "-c", script, "-", sys.executable, "-c", code, "scan", "-r", str(pack), "-"],
        input=b"x" * 100_000,
        cwd=tree,
        env={**environment, "TMPDIR": str(folder)},
        capture_output=True,
        timeout=60,
    )
    assert run.returncode == 2 and run.stdout == b""
    assert f"vyre-dist: <stdin> cannot be kept in '{folder}': " in run.stderr.decode()
