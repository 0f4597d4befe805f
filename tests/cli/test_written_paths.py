"""The paths of documents, from the shell: one form wherever they enter, and what holds for them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vyre_dist import RulePack, Scanner

Cli = Callable[..., Any]

RULE = r"""
[[rules]]
id = "tok"
regex = '''\btok_([0-9a-z]{20})\b'''
keywords = ["tok_"]
secretGroup = 1
"""
TOKEN = b"key = tok_0123456789abcdefghij\n"


@pytest.fixture
def write_pack(tmp_path: Path) -> Callable[[str], Path]:
    def write(more: str) -> Path:
        path = tmp_path / "m.toml"
        path.write_text(RULE + more)
        return path

    return write


@pytest.fixture
def source(tree: Path) -> Path:
    """tree/src with a token in two files, one of them in a folder."""
    (tree / "src/sub").mkdir(parents=True)
    (tree / "src/a.py").write_bytes(TOKEN)
    (tree / "src/sub/b.py").write_bytes(TOKEN)
    return tree


WAYS: list[tuple[list[str], bytes]] = [
    (["src"], b""),
    (["./src"], b""),
    (["src/"], b""),
    ([".//src"], b""),
    (["./././src//"], b""),
    (["src/."], b""),
    (["./src/*.py", "./src/sub"], b""),
    (["./s*"], b""),
    (["./src/**/*.py"], b""),
    (["--files-from", "-"], b"./src/a.py\n.//src/sub//b.py\n"),
    (["--files-from", "-"], b"./src/\0"),
    (["--include", "*.py", "."], b""),
    (["--include", "*.py", "./"], b""),
]


@pytest.mark.parametrize(("arguments", "listed"), WAYS)
def test_an_argument_is_what_it_leads_to_however_it_is_spelled(
    cli: Cli, source: Path, write_pack: Callable[[str], Path], arguments: list[str], listed: bytes
) -> None:
    """Path patterns of allowlists and rules see `src/…`, and so do all who read the report."""
    allowed = write_pack("[[allowlists]]\npaths = ['''^src/sub/''']\n")
    run = cli("scan", "-r", allowed, "-f", "jsonl", *arguments, stdin=listed)
    assert (run.code, run.paths) == (1, ["src/a.py"])
    plain = cli("scan", "-r", write_pack(""), "-f", "jsonl", *arguments, stdin=listed)
    reference = cli("scan", "-r", write_pack(""), "-f", "jsonl", "src")
    assert plain.findings == reference.findings and len(plain.findings) == 2
    only = write_pack("path = '''^src/a'''\n")
    assert cli("scan", "-r", only, "-f", "jsonl", *arguments, stdin=listed).paths == ["src/a.py"]


def test_problems_have_the_same_form(
    cli: Cli, tree: Path, write_pack: Callable[[str], Path]
) -> None:
    """An input that is not there is named as it would be if it were, and a URL as it was given."""
    (tree / "d!").mkdir()
    os.mkfifo(tree / "d!/pipe")
    arguments = ["./no//such/", "./none*", "s3://bucket//key/", "a.txt/", "./d!//"]
    run = cli("scan", "-r", write_pack(""), "-f", "jsonl", "--progress", "never", *arguments)
    assert run.code == 3
    assert [(p["path"], p["reason"]) for p in run.summary["problems"]] == [
        ("no/such", "not-found"),
        ("none*", "not-found"),
        ("s3://bucket//key/", "not-found"),
        ("a.txt", "not-found"),
        ("d%21/pipe", "fifo"),
    ]


def test_what_lies_above_stays(cli: Cli, source: Path, write_pack: Callable[[str], Path]) -> None:
    """`..` is the system's business: behind a link it leads to the folder above the target."""
    (source / "link").symlink_to("src/sub")
    run = cli("scan", "-r", write_pack(""), "-f", "jsonl", "./link//../a.py", "src/../src/./sub/")
    assert run.paths == ["link/../a.py", "src/../src/sub/b.py"]
    run = cli("scan", "-r", write_pack(""), "-f", "jsonl", ".././src/", cwd=source / "sub")
    assert run.paths == ["../src/a.py", "../src/sub/b.py"]
    run = cli("scan", "-r", write_pack(""), "-f", "jsonl", f"/{source}//src/")
    assert run.paths == [f"{source}/src/a.py", f"{source}/src/sub/b.py"]


NAMES = [b"!", b"a!b.py", b"a%21b.py", b"p%20q", b"plain", b"w\xff!e", b"z"]
WRITTEN = [b"%21", b"a%21b.py", b"a%2521b.py", b"p%20q", b"plain", b"w\xff%21e", b"z"]


def path_of(finding: dict[str, Any]) -> bytes:
    import base64

    exact = finding.get("path_base64")
    return base64.b64decode(exact) if exact is not None else finding["path"].encode()


@pytest.mark.parametrize(
    "options", [[], ["--shard-size", "100"], ["--workers", "1", "--max-file-size", "9K"]]
)
@pytest.mark.parametrize("how", ["folder", "named", "listed"])
def test_an_exclamation_mark_in_a_name_is_escaped(
    cli: Cli, tree: Path, write_pack: Callable[[str], Path], options: list[str], how: str
) -> None:
    """Each name is written so that it is told from all others, and opened as it is called, whole or
    in pieces.
    """
    folder = os.fsencode(tree) + b"/q!d"
    os.mkdir(folder)
    for name in NAMES:
        with open(folder + b"/" + name, "wb") as file:
            file.write(b"x" * 150 + b"\n" + TOKEN)
    named = [os.fsdecode(b"./q!d/" + name) for name in NAMES]
    arguments = {"folder": ["q!d"], "named": named, "listed": ["--files-from", "-"]}[how]
    stdin = b"".join(b"q!d/" + name + b"\0" for name in NAMES) if how == "listed" else b""
    run = cli("scan", "-r", write_pack(""), "-f", "jsonl", *options, *arguments, stdin=stdin)
    assert [path_of(f) for f in run.findings] == [b"q%21d/" + name for name in WRITTEN]
    assert run.summary["documents"] == len(NAMES) and run.summary["problems"] == []


def test_patterns_see_names_as_they_are_written_and_globs_as_they_are(
    cli: Cli, tree: Path, write_pack: Callable[[str], Path]
) -> None:
    """What a report says can be copied into an allowlist; what is chosen on disk is chosen by its
    name on disk.
    """
    (tree / "a!b").write_bytes(TOKEN)
    allowed = write_pack("[[allowlists]]\npaths = ['''^a%21b$''']\n")
    assert cli("scan", "-r", allowed, "-f", "jsonl", ".").paths == []
    assert cli("scan", "-r", write_pack(""), "-f", "jsonl", "--include", "a!b", ".").paths == [
        "a%21b"
    ]
    assert cli("scan", "-r", write_pack(""), "-f", "jsonl", "--exclude", "a!b", ".").paths == []


def test_the_library_writes_paths_as_the_command_does(
    source: Path, monkeypatch: pytest.MonkeyPatch, write_pack: Callable[[str], Path]
) -> None:
    """The same file has the same path, verdict and fingerprint, named to scan_paths or given as
    bytes; keys stay.
    """
    monkeypatch.chdir(source)
    (source / "src/c!d").write_bytes(TOKEN)
    scanner = Scanner(RulePack.load(write_pack("[[allowlists]]\npaths = ['''^src/sub/''']\n")))
    expected = scanner.scan_paths("src")
    assert [f.path for f in expected] == ["src/a.py", "src/c%21d"]
    for way in ("./src", Path("src"), ".//src//", ["./src/a.py", "src/./c!d"], "./src/**"):
        assert scanner.scan_paths(way) == expected
    assert scanner.scan(TOKEN, "./src//a.py") + scanner.scan(TOKEN, "./src/c!d") == expected
    assert scanner.scan(TOKEN, "./src/./sub/b.py") == []
    (batch,) = scanner.scan_batch([("src/./a.py", TOKEN)])
    assert batch == expected[:1]
    assert scanner.scan(TOKEN, "s3://b/src//a!%21/")[0].path == "s3://b/src//a!%21/"
    (problem,) = scanner.scan_paths("./gone//x!").problems
    assert problem.path == "gone/x%21"


def test_the_report_names_inputs_in_the_same_form(cli: Cli, tree: Path, pack: Path) -> None:
    """`--report`, messages and the summary for people agree."""
    run = cli("scan", "-r", pack, "--progress", "never", "--report", "r.json", ".//gone!", "a.txt")
    assert json.loads((tree / "r.json").read_text())["problems"][0]["path"] == "gone%21"
    assert "not scanned: gone%21: not-found" in run.out.decode()
