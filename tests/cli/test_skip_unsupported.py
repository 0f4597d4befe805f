"""--skip-unsupported from the shell: what is said, where, and what comes of the rest of the
pack.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]

RULE = "- id: {0}\n  name: A token\n  pattern: '\\btok_([0-9a-z]{{20}})\\b'\n"
PACK = (
    "rules:\n"
    + RULE.format("good")
    + "  min_entropy: 3.5\n"
    + RULE.format("hidden")
    + "  visible: false\n"
    + RULE.format("doubted")
    + "  confidence: low\n"
    + RULE.format("unseen")
    + "  visible: false\n"
    + RULE.format("good")
    + "  min_entropy: 3.0\n"
)
LEFT_OUT = {
    "visible: false": ["hidden", "unseen"],
    "confidence: low": ["doubted"],
    "its id is taken again further on": ["good"],
}
SAID = [
    "warning: 2 rules left out (visible: false): hidden, unseen",
    "warning: 1 rule left out (confidence: low): doubted",
    "warning: 1 rule left out (its id is taken again further on): good",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pack with rules of every kind, and a document with one good and one worthless token."""
    (tmp_path / "pack.yml").write_text(PACK)
    (tmp_path / "a.txt").write_text("tok_0123456789abcdefghij\ntok_aaaaaaaaaaaaaaaaaaaa\n")
    return tmp_path


def test_without_it_the_pack_is_refused(cli: Cli, folder: Path) -> None:
    """Every rule that can't be honoured is named, with the way on, and nothing is scanned."""
    run = cli("scan", "--rules", folder / "pack.yml", folder / "a.txt")
    assert (run.code, run.out) == (2, b"")
    for rule in ("hidden", "doubted", "unseen", "good"):
        assert f"rule '{rule}'" in run.err
    assert "use --skip-unsupported" in run.err


@pytest.mark.parametrize("again", [False, True], ids=["first", "from-the-cache"])
def test_a_scan_goes_on_without_such_rules(cli: Cli, folder: Path, again: bool) -> None:
    """The rest is searched for; what is missing is said once, by reason, and is in the report and
    in every summary.
    """
    command = ("scan", "--skip-unsupported", "--rules", folder / "pack.yml", folder / "a.txt")
    outputs = (
        "-f",
        "jsonl",
        "-f",
        f"sarif={folder / 'o.sarif'}",
        "-f",
        f"human={folder / 'o.txt'}",
    )
    if again:
        cli(*command)
    run = cli(
        *command, *outputs, "-f", f"parquet={folder / 'o.parquet'}", "--report", folder / "o.json"
    )
    assert (run.code, [f["rule_id"] for f in run.findings]) == (1, ["good"])
    assert [
        line.removeprefix("vyre-dist: ") for line in run.err.splitlines() if "left out" in line
    ] == SAID
    assert run.summary["rules_left_out"] == LEFT_OUT
    assert json.loads((folder / "o.json").read_text())["rules_left_out"] == LEFT_OUT
    human = (folder / "o.txt").read_text()
    assert "rules left out (visible: false): 2\n" in human
    (invocation,) = json.loads((folder / "o.sarif").read_text())["runs"][0]["invocations"]
    told = [n["message"]["text"] for n in invocation["toolConfigurationNotifications"]]
    assert told[0].startswith("Rules left out: visible: false: hidden, unseen")
    assert b"rules_left_out" in (folder / "o.parquet").read_bytes()


@pytest.mark.parametrize("command", ["list", "check"])
def test_rules_commands_take_it(cli: Cli, folder: Path, command: str) -> None:
    """`rules list` and `rules check` refuse the same packs and go on likewise."""
    assert cli("rules", command, folder / "pack.yml").code == 2
    run = cli("rules", command, "--skip-unsupported", folder / "pack.yml")
    assert (run.code, run.err.splitlines()[:3]) == (0, SAID)
    assert cli("rules", "explain", "--skip-unsupported", "good", folder / "pack.yml").code == 0


def test_a_pack_of_nothing_else_is_refused_all_the_same(cli: Cli, folder: Path) -> None:
    """A scan for no rule at all would call everything clean."""
    (folder / "pack.yml").write_text("rules:\n" + RULE.format("hidden") + "  visible: false\n")
    run = cli("scan", "--skip-unsupported", "--rules", folder / "pack.yml", folder / "a.txt")
    assert run.code == 2 and "no rules but such as are not supported" in run.err


def test_alike_warnings_are_one_line(cli: Cli, folder: Path) -> None:
    """A scan says of a hundred rules what it would say of one; `rules check` names each."""
    rules = "".join(
        f"[[rules]]\nid = 'part{i}'\nregex = 'x'\nskipReport = true\n" for i in range(100)
    )
    (folder / "pack.toml").write_text(rules + "[[rules]]\nid = 'a'\nregex = 'nothing'\n")
    for _ in range(2):  # read, and from the cache
        run = cli("scan", "--rules", folder / "pack.toml", folder / "a.txt")
        (said,) = [line for line in run.err.splitlines() if "skipReport" in line]
        assert run.code == 0 and "rule 'part0'" in said and "99 more like this one" in said
    assert cli("rules", "check", folder / "pack.toml").err.count("skipReport") == 100
