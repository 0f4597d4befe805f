"""`vyre-dist scan`: what is scanned, what is left out, and what is listed because it could not
be.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from without_hyperscan import told

ROOT = Path(__file__).parents[2]
Cli = Callable[..., Any]


# --- exit codes


def test_a_clean_tree_is_0(scan: Cli) -> None:
    """Everything scanned, nothing found."""
    run = scan("clean.txt")
    assert (run.code, run.findings, run.err) == (0, [], "")
    assert run.summary["complete"] and run.summary["documents"] == 1


def test_findings_are_1(scan: Cli) -> None:
    """Something found; the findings come in the order of the walk, files before folders."""
    run = scan(".")
    assert run.code == 1 and run.paths == ["a.txt", "sub/b.txt"] and run.err == ""
    assert [(f["line"], f["column"], f["secret"]) for f in run.findings] == [
        (2, 7, "aaaaaaaaaaaa"),
        (1, 1, "bbbbbbbbbbbb"),
    ]


def test_without_arguments_the_current_folder_is_scanned(scan: Cli, tree: Path) -> None:
    """`vyre-dist scan` is `vyre-dist scan .`, also where standard input is a pipe."""
    assert scan(cwd=tree / "sub", stdin=b"tok_cccccccccccc").paths == ["b.txt"]


def test_an_empty_folder_is_clean(scan: Cli, tmp_path: Path) -> None:
    """No documents is no error; test_nothing_scanned.py has what is said of it."""
    (tmp_path / "empty").mkdir()
    run = scan(tmp_path / "empty")
    assert (run.code, run.summary["documents"]) == (0, 0)


@pytest.mark.parametrize("paths", [["missing"], ["a.txt", "missing"]])
def test_a_path_that_does_not_exist_is_3_and_listed(scan: Cli, paths: list[str]) -> None:
    """What was asked for and is not there was not scanned: the rest is, and the run is
    incomplete.
    """
    run = scan(*paths)
    assert run.code == 3 and run.paths == paths[:-1]
    (problem,) = run.summary["problems"]
    assert (problem["path"], problem["reason"]) == ("missing", "not-found")
    assert not run.summary["complete"]
    assert (
        run.err == "vyre-dist: 1 input was not scanned to the end; the end of the output lists it\n"
    )


def test_a_glob_that_matches_nothing_is_3(scan: Cli) -> None:
    """A pattern is not taken for an empty list."""
    run = scan("*.nothing")
    assert run.code == 3 and run.summary["problems"][0]["reason"] == "not-found"


def test_globs_as_arguments(scan: Cli) -> None:
    """A quoted glob is expanded here, `**` included."""
    assert scan("**/*.txt").paths == ["a.txt", "sub/b.txt"]
    assert scan("s*/b.*").paths == ["sub/b.txt"]


def test_names_that_are_not_utf8(scan: Cli, tree: Path) -> None:
    """A name of any bytes is scanned, and its bytes come back."""
    (tree / os.fsdecode(b"caf\xe9")).write_text("tok_aaaaaaaaaaaa")
    run = scan(os.fsdecode(b"caf\xe9"))
    assert run.code == 1
    assert run.findings[0]["path_base64"] == "Y2Fm6Q=="


def test_a_name_that_looks_like_an_option(scan: Cli, tree: Path) -> None:
    """Behind `--` everything is a path."""
    (tree / "--redact").write_text("tok_aaaaaaaaaaaa")
    run = scan("--", "--redact")
    assert run.paths == ["--redact"] and run.findings[0]["secret"] == "aaaaaaaaaaaa"


# --- what is left out


def test_ignore_files_are_respected_unless_told_otherwise(scan: Cli, tree: Path) -> None:
    """What .gitignore leaves out is counted; --no-gitignore scans it."""
    (tree / ".gitignore").write_text("sub/\n")
    run = scan(".")
    assert run.paths == ["a.txt"] and run.summary["skipped"] == {"gitignored": 1}
    assert scan(".", "--no-gitignore").paths == ["a.txt", "sub/b.txt"]
    assert scan("sub").paths == ["sub/b.txt"]


@pytest.mark.parametrize(
    ("options", "paths", "skipped"),
    [
        (["--exclude", "a.*"], ["sub/b.txt"], {"excluded-glob": 1}),
        (["--exclude", "sub/"], ["a.txt"], {"excluded-glob": 1}),
        (["--include", "b.txt"], ["sub/b.txt"], {"not-included": 2}),
        (["--include", "*.txt", "--exclude", "a*", "--exclude", "b*"], [], {"excluded-glob": 2}),
        (["--max-file-size", "20"], ["sub/b.txt"], {"too-large": 1}),
        (["--max-file-size", "1K"], ["a.txt", "sub/b.txt"], {}),
    ],
)
def test_choosing_files(
    scan: Cli, options: list[str], paths: list[str], skipped: dict[str, int]
) -> None:
    """--exclude, --include and --max-file-size leave out what they say, and count it by reason."""
    run = scan(".", *options)
    assert run.paths == paths and run.summary["skipped"] == skipped
    assert run.summary["complete"]


def test_links_are_followed_on_demand(scan: Cli, tree: Path) -> None:
    """A link in a folder is left out and counted; with --follow its target is scanned, and a loop
    is a problem.
    """
    (tree / "sub" / "link").symlink_to("../clean.txt")
    (tree / "sub" / "up").symlink_to("..")
    run = scan("sub")
    assert run.code == 1 and run.summary["skipped"] == {"symlink": 2}
    run = scan(".", "--follow")
    assert run.code == 3 and [p["reason"] for p in run.summary["problems"]] == ["symlink-loop"]
    assert run.paths == ["a.txt", "sub/b.txt"]


def test_a_path_rule_reports_the_file_itself(scan: Cli, tree: Path) -> None:
    """A rule without a regex finds files by their names, however large and however split."""
    (tree / ".env").write_text("x" * 5000)
    for size in ("1M", "1K"):
        run = scan(".env", "--shard-size", size)
        assert [(f["rule_id"], f["line"], f["start"], f["match"]) for f in run.findings] == [
            ("dotenv", 0, 0, "")
        ]


def test_an_allowlisted_path_is_counted(cli: Cli, tree: Path, tmp_path: Path) -> None:
    """A document that the pack's global allowlist rules out is left out on purpose, and counted
    once however it is cut.
    """
    pack = tmp_path / "allow.toml"
    pack.write_text(
        "schema = 1\n[[rules]]\nid = 'x'\nregex = 'tok_'\n[[allowlists]]\npaths = "
        "['''a\\.txt$''']\n"
    )
    run = cli("scan", "-r", pack, "-f", "jsonl", "--shard-size", "10")
    assert run.summary["skipped"] == {"allowlisted-path": 1} and run.summary["complete"]


@pytest.mark.parametrize(
    "output", [["-f", "jsonl=sub/found"], ["-f", "jsonl", "--report", "sub/found"]]
)
@pytest.mark.parametrize("inputs", [["."], ["*", "*/*"], ["--files-from", "list"]])
def test_an_output_of_an_earlier_run_is_no_input(
    cli: Cli, tree: Path, pack: Path, output: list[str], inputs: list[str]
) -> None:
    """A file that the scan is about to replace is left out and counted, however it is met."""
    (tree / "sub/found").write_text("tok_eeeeeeeeeeee")
    (tree / "list").write_text("a.txt\nsub/found\nsub/b.txt\n")
    run = cli("scan", "-r", pack, *output, *inputs)
    found = (tree / "sub/found").read_text() if "jsonl" not in output else run.out.decode()
    lines = [json.loads(line) for line in found.splitlines()]
    assert [line["path"] for line in lines[:-1]] == ["a.txt", "sub/b.txt"]
    assert run.code == 1 and lines[-1]["skipped"]["own-file"] >= 1


@pytest.mark.parametrize("argument", [".", "*", "found"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_a_stream_is_redirected_to_is_no_input(
    tree: Path, pack: Path, environment: dict[str, str], argument: str, stream: str
) -> None:
    """`vyre-dist scan . > found`: the file that grows as it is scanned is left out and counted."""
    report = tree.parent / "report"
    with open(tree / "found", "wb") as found:
        found.write(b"tok_eeeeeeeeeeee\n" * 100)
        found.flush()
        run = subprocess.run(
            [
                sys.executable,
                "-m",
                "vyre_dist",
                "scan",
                "-r",
                str(pack),
                "--report",
                str(report),
                argument,
            ],
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: found},
            timeout=60,
        )
    summary = json.loads(report.read_text())
    assert summary["findings"] == (0 if argument == "found" else 2)
    assert summary["skipped"] == {"own-file": 1} and run.returncode == min(summary["findings"], 1)


# --- what can't be scanned


def test_special_files_are_listed(scan: Cli, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FIFOs and sockets found in a folder, and a device named: each is a problem; none is waited
    for.
    """
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as s:
        monkeypatch.chdir(tree)  # a socket's path must be short
        s.bind("socket")
        run = scan(".", "/dev/null")
    assert run.code == 3 and run.paths == ["a.txt", "sub/b.txt"]
    problems = {p["path"]: p["reason"] for p in run.summary["problems"]}
    assert problems == {"fifo": "fifo", "socket": "socket", "/dev/null": "device"}
    assert run.seconds < 20


UNPRIVILEGED = """
import os, sys
from vyre_dist.cli.main import main
try:
    # what is imported now need not be readable later
    main([*sys.argv[1 : sys.argv.index("--")], "clean.txt"])
except SystemExit as left:
    assert left.code == 0
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
main(sys.argv[1:])
"""


@pytest.mark.parametrize("paths", [["."], ["a.txt", "closed", "sub"]], ids=["found", "named"])
def test_unreadable_files_and_folders_are_listed(
    tree: Path, pack: Path, environment: dict[str, str], paths: list[str]
) -> None:
    """Without permission to read a file or a folder, it is listed, also if it was named; what can
    be read is scanned.
    """
    for parent in [
        *tree.parents,
        *pack.parents,
    ]:  # pytest's and its workers' directories are private
        if parent.name.startswith(("pytest-", "popen-")) and parent.stat().st_uid == os.getuid():
            parent.chmod(0o755)
    for path in (tree.parent, tree, tree / "sub", pack.parent):
        path.chmod(0o755)
    (tree / "closed").mkdir(mode=0)
    (tree / "a.txt").chmod(0)
    arguments = [
        "scan",
        "-r",
        str(pack),
        "-f",
        "jsonl",
        "--progress",
        "never",
        "--no-cache",
        "--",
        *paths,
    ]
    try:
        run = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, *arguments],
            cwd=tree,
            env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            timeout=60,
        )
    finally:
        (tree / "closed").chmod(0o700)
    assert run.returncode == 3, run.stderr
    assert b'"path":"sub/b.txt"' in run.stdout
    problems = json.loads(run.stdout.splitlines()[-1])["problems"]
    assert sorted((p["path"], p["reason"], p["detail"]) for p in problems) == [
        ("a.txt", "permission", "Permission denied"),
        ("closed", "permission", "Permission denied"),
    ]
    assert told(run.stderr).startswith("vyre-dist: 2 inputs were not scanned to the end")


# --- sizes


def test_any_shard_size_gives_the_same(scan: Cli, tree: Path) -> None:
    """From one byte to more than there is: the same findings, the same offsets."""
    (tree / "long.txt").write_text("..tok_aaaaaaaaaaaatok_bbbbbbbbbbbb\n" * 40)
    runs = [scan(".", "--shard-size", size) for size in ("1", "7", "1K", "1.5M", "1GiB")]
    assert {run.code for run in runs} == {1}
    assert len(runs[0].findings) == 82
    assert all(run.findings == runs[0].findings for run in runs)


@pytest.mark.nightly
def test_a_sparse_file_of_2_gb_in_bounded_memory(
    tree: Path, pack: Path, environment: dict[str, str]
) -> None:
    """Two gigabytes with a finding at each end: neither driver nor workers hold more than a few
    shards of it.
    """
    with open(tree / "sparse", "wb") as f:
        f.write(b"tok_aaaaaaaaaaaa")
        f.truncate(2 << 30)
        f.seek((2 << 30) - 16)
        f.write(b"tok_bbbbbbbbbbbb")
    code = (
        "import resource, subprocess, sys; r = subprocess.run(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(r.returncode)"
    )
    command = [
        sys.executable,
        "-c",
        code,
        sys.executable,
        "-m",
        "vyre_dist",
        "scan",
        "-r",
        str(pack),
    ]
    run = subprocess.run(
        [*command, "-f", "csv=found.csv", "--progress", "never", "-j", "2", "sparse"],
        cwd=tree,
        env=environment,
        capture_output=True,
        timeout=1800,
    )
    assert run.returncode == 1, run.stderr
    assert [row.split(",")[4] for row in (tree / "found.csv").read_text().splitlines()[1:]] == [
        "0",
        str((2 << 30) - 16),
    ]
    # kilobytes, of the largest process
    assert int(run.stdout) < 400_000


# --- what git tracks


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_tracked_file_is_scanned_and_an_ignored_one_is_told(
    scan: Cli, cli: Cli, pack: Path, tmp_path: Path
) -> None:
    """`git add -f` brings an ignored file's findings; of the others the summary says how many, and
    what takes them.
    """
    repository = tmp_path / "repository"
    repository.mkdir()
    for name in ("s.key", "u.key", "build/deep/s.txt", "build/u.txt", "build/more/u.txt"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("tok_eeeeeeeeeeee")
    (repository / ".gitignore").write_text("*.key\nbuild/\n")
    for command in (["init", "-q"], ["add", "-f", "s.key", "build/deep/s.txt"]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    run = scan(cwd=repository)
    assert (run.code, run.paths) == (1, ["s.key", "build/deep/s.txt"])
    assert run.summary["skipped"] == {"git-dir": 1, "gitignored": 3}
    shown = cli("scan", "-r", pack, cwd=repository).out.decode()
    assert "left out on purpose: 1 git-dir, 3 gitignored (--no-gitignore takes them)" in shown
    assert len(scan("--no-gitignore", cwd=repository).paths) == 5
    (repository / ".git" / "index").write_bytes(b"DIRC")
    run = scan(cwd=repository)
    assert (run.code, run.paths) == (3, [])
    [problem] = run.summary["problems"]
    assert (problem["path"], problem["reason"]) == (".git/index", "git-index")
