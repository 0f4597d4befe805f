"""`vyre-dist scan` that looks at nothing: exit code 0, and a warning that says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
BEFORE = "no document was scanned: "


def warning_of(run: Any) -> str:
    """The only message, which is in the summary, too."""
    assert run.code == 0 and run.summary["documents"] == 0
    [line] = run.err.splitlines()
    told = str(line.removeprefix("vyre-dist: warning: "))
    assert run.summary["warnings"] == [told] and told.startswith(BEFORE)
    return told.removeprefix(BEFORE)


CAUSES: list[tuple[list[str], str]] = [
    (
        ["--include", "*.nomatch"],
        "--include *.nomatch matches nothing of what there is (3 entries left out)",
    ),
    (
        ["--include", "*.{a,b}", "--include", "x"],
        "--include *.{a,b} --include x matches nothing of what there is (3 entries left out)",
    ),
    (["--exclude", "*"], "--exclude leaves out 3 entries"),
    (["--max-file-size", "1"], "--max-file-size leaves out 3 entries"),
    (["empty"], "there is no file in empty"),
    (["empty", "empty/"], "there is no file in empty, empty/"),
    (["links"], "1 entry not followed, as symbolic links (--follow takes them)"),
    (["ignored/all"], "ignore files leave out 1 entry (--no-gitignore takes them)"),
    (["--files-from", "no-names"], "the list no-names is empty"),
    (["--files-from", "-"], "the list on standard input is empty"),
    (
        ["--files-from", "no-names", "links"],
        "the list no-names is empty; 1 entry not followed, as symbolic links (--follow takes them)",
    ),
]


@pytest.mark.parametrize(("arguments", "told"), CAUSES, ids=[" ".join(a) for a, _ in CAUSES])
def test_a_scan_of_nothing_names_the_cause(
    scan: Cli, tree: Path, arguments: list[str], told: str
) -> None:
    """Whatever leaves nothing to be scanned, the message names it, and the option that has to do
    with it.
    """
    if not arguments[0].startswith("--") or "links" in arguments:
        (tree / "empty").mkdir()
        (tree / "links").mkdir()
        (tree / "links" / "a").symlink_to("../a.txt")
        (tree / "ignored" / "all").mkdir(parents=True)
        (tree / "ignored" / ".git").mkdir()
        (tree / "ignored" / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        (tree / "ignored" / ".gitignore").write_text("secret\n")
        (tree / "ignored" / "all" / "secret").write_text("tok_aaaaaaaaaaaa")
    (tree.parent / "no-names").write_bytes(b"\n\n")
    arguments = [str(tree.parent / a) if a == "no-names" else a for a in arguments]
    assert warning_of(scan(*arguments)).replace(f"{tree.parent}/", "") == told


def test_documents_that_all_rules_leave_alone_are_a_cause(cli: Cli, tree: Path) -> None:
    """A global allowlist that covers every path leaves nothing to be scanned."""
    pack = tree.parent / "pack.toml"
    pack.write_text(
        "[allowlist]\npaths = ['''.''']\n[[rules]]\nid = 'tok'\nregex = '''tok_[a-z]+'''\nkeywords "
        "= ['tok_']\n"
    )
    run = cli("scan", "-r", pack, "-f", "jsonl", "--progress", "never")
    assert warning_of(run) == "the rules' allowlists leave out 3 entries by path"


def test_the_report_has_the_warning(scan: Cli, tree: Path) -> None:
    """Whoever reads the report alone learns that its zero findings are those of nothing."""
    report = tree.parent / "report.json"
    told = warning_of(scan("--include", "nothing", "--report", report))
    assert json.loads(report.read_text())["warnings"] == [BEFORE + told]


@pytest.mark.parametrize("arguments", [[], ["-"], ["clean.txt"], ["--include", "*.txt"]])
def test_a_scan_of_something_has_no_warning(scan: Cli, arguments: list[str]) -> None:
    """An empty document on standard input is a document."""
    run = scan(*arguments)
    assert run.err == "" and run.summary["warnings"] == []


def test_a_problem_is_the_cause_that_is_told_already(scan: Cli) -> None:
    """Where all that was asked for is missing, that is said once; what was left out besides is told
    all the same.
    """
    run = scan("missing")
    assert (run.code, run.summary["warnings"]) == (3, [])
    run = scan("missing", "sub", "--include", "*.nomatch")
    assert run.code == 3
    assert [w.removeprefix(BEFORE) for w in run.summary["warnings"]] == [
        "--include *.nomatch matches nothing of what there is (1 entry left out)"
    ]
