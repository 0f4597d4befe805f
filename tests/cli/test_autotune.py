"""`vyre-dist autotune …`, and scans with every kind of store: live, dead, hung."""

from __future__ import annotations

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
    assert cli("autotune", "show", "--json", "--store", one).lines == [line]
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
