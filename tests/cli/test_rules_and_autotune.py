"""`vyre-dist rules …`, `vyre-dist autotune …`, and scans with every kind of store: live, dead,
hung.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.tiered import MAX_JOBS
from vyre_dist.autotune.urls import open_store, parse_redis_url
from vyre_dist.autotune.vyre_toml import write_toml
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord

Cli = Callable[..., Any]


# --- rules


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


# --- autotune


def test_autotune_list_export_and_import(cli: Cli, tmp_path: Path, record: StoredRecord) -> None:
    """Records of one store come out as JSON, go into a TOML file, and from it into another
    store.
    """
    one, two = (f"sqlite://{tmp_path / name}.sqlite3" for name in ("one", "two"))
    store = open_store(one)
    store.put(record)
    store.close()
    (line,) = cli("autotune", "list", "--store", one).lines
    assert line["key"] == record.key.key_hex and line["adapter"] == "cpu somewhere"
    assert (line["threshold_pct"], line["compile_ns"], line["dispatch_ns"]) == (20, 1000, 2000)
    run = cli("autotune", "export", tmp_path / "out.toml", "--store", one)
    assert run.code == 0 and "1 records written" in run.err
    run = cli("autotune", "import", tmp_path / "out.toml", "--store", two)
    assert run.code == 0 and "1 of 1 records taken" in run.err
    assert cli("autotune", "list", "--store", two).lines[0]["key"] == record.key.key_hex


def test_autotune_with_a_file_that_is_none(cli: Cli, tmp_path: Path) -> None:
    """A TOML file of something else is exit code 2 with the reason."""
    (tmp_path / "other.toml").write_text("[tool]\nx = 1\n")
    run = cli("autotune", "import", tmp_path / "other.toml", "--store", "memory:")
    assert run.code == 2 and "unknown key 'tool'" in run.err


def test_autotune_list_of_a_server(
    cli: Cli, redis_url: str, dead_url: str, record: StoredRecord, tmp_path: Path
) -> None:
    """Records on a server are listed; of a server that is not there, that is said."""
    store = open_store(redis_url, local_path=tmp_path / "local")
    store.put(record)
    store.flush(10.0)  # type: ignore[attr-defined]
    store.close()
    run = cli("autotune", "list", "--store", redis_url)
    assert record.key.key_hex in [line["key"] for line in run.lines] and run.err == ""
    run = cli("autotune", "list", "--store", dead_url)
    assert (
        run.code == 3 and "Connection refused" in run.err and "records of this machine" in run.err
    )


@pytest.mark.parametrize("command", ["list", "export"])
def test_a_store_that_had_to_be_put_aside_is_incomplete(
    cli: Cli, tmp_path: Path, good_toml: Path, command: str
) -> None:
    """The default store, damaged: that it has no records any more is said, and an older export
    stays.
    """
    before = good_toml.read_bytes()
    home = tmp_path / "cache"
    (home / "vyre-dist").mkdir(parents=True)
    (home / "vyre-dist" / "autotune.sqlite3").write_bytes(b"no database at all")
    run = cli(
        "autotune", command, *([good_toml] if command == "export" else []), XDG_CACHE_HOME=str(home)
    )
    assert (run.code, run.out) == (3, b"")
    assert "it was damaged and put aside as" in run.err
    assert good_toml.read_bytes() == before


def test_an_export_without_the_server_leaves_the_older_one(
    cli: Cli, dead_url: str, good_toml: Path
) -> None:
    """What only this machine has is not written in place of what the server had."""
    before = good_toml.read_bytes()
    run = cli("autotune", "export", good_toml, "--store", dead_url)
    assert run.code == 3 and "nothing was written" in run.err and "Connection refused" in run.err
    assert good_toml.read_bytes() == before


def test_a_password_needs_no_command_line(
    cli: Cli, scan: Cli, tmp_path: Path, record: StoredRecord
) -> None:
    """VYRE_DIST_STORE is the store where no --store is given, for scans as well; it is in the
    help.
    """
    store = open_store(f"sqlite://{tmp_path}/one")
    store.put(record)
    store.close()
    variable = {"VYRE_DIST_STORE": f"sqlite://{tmp_path}/one"}
    assert [line["key"] for line in cli("autotune", "list", **variable).lines] == [
        record.key.key_hex
    ]
    assert cli("autotune", "list", "--store", "memory:", **variable).lines == []
    refused = scan(VYRE_DIST_STORE="redis://:hush@h:x/0")
    assert (
        refused.code == 2
        and "cannot open the autotune store" in refused.err
        and "hush" not in refused.err
    )
    for command in (["scan"], *(["autotune", name] for name in ("list", "export", "import"))):
        assert b"VYRE_DIST_STORE" in cli(*command, "--help").out


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A TOML file of more records than the store's queue has room for."""
    records = (
        StoredRecord(AutotuneKey(f"{number:032x}", "cpu"), AutotuneRecord((64, 1, 1), 4))
        for number in range(MAX_JOBS + 500)
    )
    write_toml(tmp_path / "many.toml", tuple(records))
    return tmp_path / "many.toml"


def test_an_import_is_complete_on_the_server_and_here(cli: Cli, redis_url: str, many: Path) -> None:
    """Of more records than are queued at a time none is lost, neither on the server nor in the file
    of this machine.
    """
    home = {"XDG_CACHE_HOME": str(many.parent / "cache")}
    run = cli("autotune", "import", many, "--store", redis_url, **home)
    assert (run.code, run.err) == (0, f"{MAX_JOBS + 500} of {MAX_JOBS + 500} records taken\n")
    with RedisStore(parse_redis_url(redis_url)) as server:
        assert sum(1 for _ in server.items()) == MAX_JOBS + 500
    assert len(cli("autotune", "list", **home).lines) == MAX_JOBS + 500


@pytest.mark.parametrize("server", ["dead_url", "hung_url"])
def test_an_import_that_the_server_did_not_take_is_incomplete(
    cli: Cli, many: Path, server: str, request: pytest.FixtureRequest
) -> None:
    """Exit code 3; it says how many are missing there, and that this machine has them, which is
    so.
    """
    home = {"XDG_CACHE_HOME": str(many.parent / "cache")}
    run = cli("autotune", "import", many, "--store", request.getfixturevalue(server), **home)
    assert run.code == 3
    assert f"the server did not take {MAX_JOBS + 500} of {MAX_JOBS + 500} records" in run.err
    assert "they are kept on this machine" in run.err
    assert len(cli("autotune", "list", **home).lines) == MAX_JOBS + 500


# --- scans with a store


def test_a_store_that_is_dead_or_hung_costs_a_scan_nothing(
    scan: Cli, dead_url: str, hung_url: str, tmp_path: Path
) -> None:
    """The findings are the same, one line says why, and the scan takes at most a second and a half
    longer.
    """
    plain = scan("--store", "memory:")
    best = min(plain.seconds, scan("--store", "memory:").seconds)
    for url in (dead_url, hung_url):
        run = scan("--store", url, "--cache-dir", tmp_path / "cache")
        assert (run.code, run.findings, run.err.count("\n")) == (plain.code, plain.findings, 1)
        assert run.seconds < best + 1.5, url


def test_a_scan_with_a_large_corpus_publishes_to_a_live_server(
    cli: Cli,
    instructive: Path,
    pack: Path,
    redis_url: str,
    tmp_path: Path,
) -> None:
    """What a run learned is on the server and in the local file after it, and the next run starts
    from there.
    """
    arguments = [
        "scan",
        "-r",
        pack,
        "-f",
        "csv",
        "-o",
        tmp_path / "out",
        "-j",
        "1",
        "--cache-dir",
        tmp_path,
    ]
    assert cli(*arguments, "--store", redis_url).code == 1
    # with a local file of its own, which has nothing of what other scans learned
    own = {"XDG_CACHE_HOME": str(tmp_path / "empty")}
    records = cli("autotune", "list", "--store", redis_url, **own).lines
    assert records and all(0 <= r["threshold_pct"] <= 100 for r in records)
    local = cli("autotune", "list", "--store", f"sqlite://{tmp_path / 'autotune.sqlite3'}").lines
    assert {r["key"] for r in local} == {r["key"] for r in records}
    again = cli(*arguments, "--store", redis_url)
    assert again.code == 1 and "Traceback" not in again.err


@pytest.mark.parametrize(
    "damage", [b"", b"no database at all", b"SQLite format 3\0 and then nothing"]
)
def test_a_damaged_store_costs_a_scan_nothing(scan: Cli, tmp_path: Path, damage: bytes) -> None:
    """The default file, if it is no database, is put aside."""
    (tmp_path / "autotune.sqlite3").write_bytes(damage)
    run = scan("--cache-dir", tmp_path)
    assert run.code == 1 and len(run.findings) == 2 and "Traceback" not in run.err
    assert len(list(tmp_path.glob("autotune.sqlite3.corrupt-*"))) == (damage != b"")


@pytest.mark.parametrize("command", [["autotune", "list"], ["scan"]], ids=" ".join)
def test_a_users_own_file_is_no_store(cli: Cli, tree: Path, command: list[str]) -> None:
    """--store with a file of another kind is exit code 2, and the file stays what and where it
    was.
    """
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    run = cli(*command, "--store", f"sqlite://{tree / 'a.txt'}")
    assert run.code == 2 and run.out == b""
    assert "no SQLite database" in run.err and "name another file" in run.err
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before


def test_a_local_scan_needs_no_home(scan: Cli, tree: Path, tmp_path: Path) -> None:
    """Without a home folder that can be written to, one line says so, and all else is as usual."""
    run = scan(HOME="/proc/nobody", XDG_CACHE_HOME="/proc/nobody/cache", TMPDIR=str(tmp_path))
    assert len(run.err.splitlines()) == 1
    assert run.code == 1 and len(run.findings) == 2
    assert not os.path.exists("/proc/nobody")


@pytest.mark.parametrize("command", [["rules", "check"], ["scan"]], ids=["check", "scan"])
@pytest.mark.parametrize("count, told", [(2048, False), (2049, True), (33_000, True)])
def test_large_counts_are_told(
    cli: Cli, tree: Path, command: list[str], count: int, told: bool
) -> None:
    """A count that is searched for in steps, and may cost many, is named before the scan, with the
    cure.
    """
    pack = tree.parent / "count.toml"
    pack.write_text(
        f"[[rules]]\nid = 'far'\nregex = '''BEGIN[\\s\\S]{{0,{count}}}END'''\nkeywords = "
        "['begin']\n"
    )
    arguments = [pack] if command == ["rules", "check"] else ["-r", pack, "."]
    run = cli(*command, *arguments)
    said = run.err + run.out.decode()
    assert ("rule 'far': a repeat of more than 2048 positions" in said) is told
    assert ("a count of at most 2048 or none is searched at full speed" in said) is told
    assert run.code == 0
