"""An autotune store whose file is of no use: what `scan` and `autotune` say of it."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from namespaces import with_mounts

from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.vyre_toml import write_toml
from vyre_dist.dispatch.keys import AutotuneKey

Cli = Callable[..., Any]


@pytest.fixture
def good_file(cli: Cli, tmp_path: Path, good_toml: Path) -> Path:
    """A store's file with a record."""
    path = tmp_path / "store.sqlite3"
    assert cli("autotune", "import", good_toml, "--store", f"sqlite://{path}").code == 0
    return path


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


@pytest.fixture
def below_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").touch()
    return tmp_path / "file" / "store.sqlite3"


def all_tell(cli: Cli, scan: Cli, good_toml: Path, path: Path, reason: str) -> None:
    """A scan goes on and says why; the commands of the store end with 3 and say the same, and an
    older export stays.
    """
    run = scan("--store", f"sqlite://{path}")
    assert (run.code, len(run.findings)) == (1, 2)
    (line,) = run.err.splitlines()
    assert re.search(f"{path}: .*({reason})", line) and run.summary["store_problem"] in line
    before = good_toml.read_bytes()
    for command in (["list"], ["export", good_toml], ["import", good_toml]):
        run = cli("autotune", *command, "--store", f"sqlite://{path}")
        assert (run.code, run.out) == (3, b"") and re.search(f"{path}: .*({reason})", run.err), (
            run.err
        )
    assert good_toml.read_bytes() == before


@pytest.mark.parametrize(
    ("file", "reason"),
    [("a_folder", "unable to open database file"), ("below_a_file", "Not a directory|File exists")],
)
def test_a_file_of_no_use_is_told(
    cli: Cli, scan: Cli, good_toml: Path, file: str, reason: str, request: pytest.FixtureRequest
) -> None:
    """In the system's words, by the scan and by the commands of the store."""
    all_tell(cli, scan, good_toml, request.getfixturevalue(file), reason)


def test_a_locked_file_is_told_and_keeps_what_it_has(
    cli: Cli, scan: Cli, good_toml: Path, good_file: Path
) -> None:
    """Another program has it for itself: that is said, and when it is through the record is
    there.
    """
    with contextlib.closing(sqlite3.connect(good_file, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        all_tell(cli, scan, good_toml, good_file, "another program has locked it")
    assert len(cli("autotune", "list", "--store", f"sqlite://{good_file}").lines) == 1


def test_a_read_only_file_is_read(good_file: Path, record: StoredRecord, tmp_path: Path) -> None:
    """What it holds is listed; what it does not take is told in SQLite's words."""
    mounts = [("--bind", str(tmp_path), str(tmp_path)), ("-o", "remount,ro,bind", str(tmp_path))]
    url = f"sqlite://{good_file}"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vyre_dist", "autotune", *arguments, "--store", url]
        return subprocess.run(
            with_mounts(mounts, command), capture_output=True, text=True, timeout=60
        )

    listed = run("list")
    assert (listed.returncode, len(listed.stdout.splitlines())) == (0, 1), listed.stderr
    write_toml(tmp_path / "new.toml", [StoredRecord(AutotuneKey("f" * 32, "cpu"), record.record)])
    imported = run("import", str(tmp_path / "new.toml"))
    assert imported.returncode == 3 and "readonly database" in imported.stderr


def test_a_damaged_default_file_is_told_by_the_scan(scan: Cli, tmp_path: Path) -> None:
    """It is put aside under a name that the one line tells, and a new one begun."""
    (tmp_path / "autotune.sqlite3").write_bytes(b"no database at all")
    run = scan("--cache-dir", tmp_path)
    (aside,) = tmp_path.glob("autotune.sqlite3.corrupt-*")
    (line,) = run.err.splitlines()
    assert str(aside) in line and str(aside) in run.summary["store_problem"]
    assert scan("--cache-dir", tmp_path).err == ""
