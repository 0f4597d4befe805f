"""`vyre-dist rules …`: list, check and explain."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Cli = Callable[..., Any]


def test_rules_list(cli: Cli, pack: Path) -> None:
    """Ids and descriptions; with --json everything a rule says."""
    run = cli("rules", "list", pack)
    assert run.code == 0 and run.err == "2 rules in shop\n"
    assert [line.split()[0] for line in run.out.decode().splitlines()] == ["token", "dotenv"]
    first, second = (
        json.loads(line) for line in cli("rules", "list", pack, "--json").out.splitlines()
    )
    assert (first["id"], first["secret_group"], first["keywords"]) == ("token", 1, ["tok_"])
    assert (second["regex"], second["path"]) == (None, r"\.env$")


def test_rules_list_of_what_is_built_in(cli: Cli) -> None:
    """Without a pack all built-in rules are listed; a built-in pack by its name is a part of
    them.
    """
    everything = cli("rules", "list").out.splitlines()
    cloud = cli("rules", "list", "builtin:cloud").out.splitlines()
    assert (
        len(everything) > 200 and 5 < len(cloud) < len(everything) and set(cloud) <= set(everything)
    )


def test_rules_check_of_a_good_pack(cli: Cli, pack: Path) -> None:
    """Exit code 0; each rule with its widths and the way that it goes; --quiet says only the
    result.
    """
    run = cli("rules", "check", pack)
    lines = run.out.decode().splitlines()
    assert run.code == 0 and lines[-1] == "shop: 2 rules, fit for use"
    assert (
        lines[0].startswith("ok  token") and "16–16 bytes" in lines[0] and "google-re2" in lines[0]
    )
    assert lines[1].startswith("      tables: automata; anchors tok_ ok_[0-9a-z]; ")
    assert " hits/MB" in lines[1] and "after: table, " in lines[1] and "before: table, " in lines[1]
    assert (
        lines[-2].startswith("tables: 1 automata; ")
        and "% of positions hit the bitmap" in lines[-2]
    )
    assert cli("rules", "check", "-q", pack).out == b"shop: 2 rules, fit for use\n"


def test_rules_check_says_why_the_host_has_the_work(cli: Cli, tree: Path) -> None:
    """A rule that the tables can't take, or only by reading everything, says why; as JSON too."""
    (tree / "p.toml").write_text(
        "schema = 1\n[[rules]]\nid = 'wide'\nregex = 'a.{0,1000}b.{0,1000}c'\n"
        "[[rules]]\nid = 'name'\nregex = '(?m)^[a-z]{9}$'\n"
        "[[rules]]\nid = 'hex'\nregex = '[a-f0-9]{40}'\n[[rules]]\nid = 'file'\npath = 'x'\n"
    )
    lines = [
        line
        for line in cli("rules", "check", "p.toml").out.decode().splitlines()
        if "tables: " in line
    ]
    assert lines[0].startswith(
        "      tables: host; because the windows that every match contains would hit"
    )
    assert "the expression needs 6000 states, and 6000 are allowed" in lines[0]
    assert (
        lines[1].startswith("      tables: always on; after: table, ")
        and "because no four bytes" in lines[1]
    )
    assert lines[2].startswith(
        "      tables: host; documents with 40 or more of [0-9a-f] in a row; because "
    )
    assert lines[3].startswith("tables: 1 always on, 2 host; 0 grams")
    reports = [
        json.loads(line) for line in cli("rules", "check", "--json", "p.toml").out.splitlines()
    ]
    assert [report["tables"] and report["tables"]["route"] for report in reports] == [
        "host",
        "always_on",
        "host",
        None,
    ]


def test_rules_check_of_what_can_not_match(cli: Cli, tree: Path) -> None:
    """A regex that no text can match is said not to be searched for, as text and as JSON; the pack
    is fit for use.
    """
    (tree / "p.toml").write_text(
        "schema = 1\n[[rules]]\nid = 'never'\nregex = 'foo\\Abar'\n[[rules]]\nid = 'ever'\nregex = "
        "'foobar'\n"
    )
    run = cli("rules", "check", "p.toml")
    first, *rest = run.out.decode().splitlines()
    assert run.code == 0 and "not searched for: no text can match the regex" in first
    assert (
        "      note: no text can match the regex: the rule finds nothing, and no backend looks for "
        "it" in rest
    )
    never, ever = (
        json.loads(line) for line in cli("rules", "check", "--json", "p.toml").out.splitlines()
    )
    assert "no text can match" in never["route"] and "no text" not in ever["route"]


def test_rules_explain(cli: Cli, pack: Path, tree: Path) -> None:
    """One rule's way as text and as a graph; unknown ids and rules that search nothing are exit
    code 2.
    """
    run = cli("rules", "explain", "token", pack)
    assert run.code == 0
    assert run.out.decode().startswith("rule token of shop\nregex: ")
    assert "automaton after" in run.out.decode()
    run = cli("rules", "explain", "token", pack, "--dot")
    assert run.code == 0 and run.out.startswith(b"digraph way {\n") and run.out.endswith(b"}\n")
    run = cli("rules", "explain", "tokens", pack)
    assert run.code == 2 and "shop has no rule 'tokens': is it one of token?" in run.err
    assert cli("rules", "explain", "zzz", pack).code == 2
    run = cli("rules", "explain", "dotenv", pack)
    assert run.code == 2 and "has only a path pattern" in run.err
    assert "rule aws-access-key-id" in cli("rules", "explain", "aws-access-key-id").out.decode()


def test_rules_check_of_examples_that_do_not_fit(cli: Cli, tree: Path) -> None:
    """Exit code 2; the rule, which example, and which way it fails."""
    (tree / "p.toml").write_text(
        "schema = 1\n[[rules]]\nid = 'x'\nregex = 'tok_[a-z]'\n"
        "examples = ['tok_a', 'nothing']\nnegative_examples = ['tok_b']\n"
    )
    run = cli("rules", "check", "-q", "p.toml")
    lines = run.out.decode().splitlines()
    assert run.code == 2 and lines[0].startswith("BAD x")
    assert lines[1:3] == [
        "      problem: example 2 is not found",
        "      problem: negative example 1 is found",
    ]
    assert lines[-1] == "p: 1 rules, 1 not fit for use"
    (report,) = (
        json.loads(line) for line in cli("rules", "check", "--json", "p.toml").out.splitlines()
    )
    assert (report["ok"], report["missed_examples"], report["matched_negatives"]) == (
        False,
        [1],
        [0],
    )
