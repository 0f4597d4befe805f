"""A cache that can't be written, or nobody knows where: the scan is as usual, says so in one line,
and is not slower.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from namespaces import NO_PASSWD, with_mounts
from without_hyperscan import LACKING, told

COMMAND = [sys.executable, "-m", "vyre_dist"]
TIMEOUT_S = 120
FOR_ALL = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - hidden, not written to

Place = Callable[[Path], None]


def run(
    arguments: Sequence[str | Path],
    variables: dict[str, str],
    tree: Path,
    command: Sequence[str] = COMMAND,
) -> subprocess.CompletedProcess[str]:
    """The command with these variables alone, in `tree`."""
    return subprocess.run(
        [*command, *map(str, arguments)],
        env={**variables, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def found(done: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    """(path, secret) of the findings in JSON lines."""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [(line["path"], line["secret"]) for line in lines if line["type"] == "finding"]


def warnings_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in told(done.stderr).splitlines() if "warning" in line]


def kept(folder: Path) -> dict[str, int]:
    """When each compiled thing below `folder` was written."""
    files = [path for path in folder.rglob("*") if path.is_file() and "sqlite" not in path.name]
    return {str(path): path.stat().st_mtime_ns for path in files}


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """What TMPDIR names."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def arguments(pack: Path) -> list[str]:
    return ["scan", "-r", str(pack), "-f", "jsonl", "--progress", "never"]


def no_such_folder(home: Path) -> None:
    home.symlink_to("/proc/nobody")


def file_for_home(home: Path) -> None:
    home.touch()


def file_for_the_cache(home: Path) -> None:
    home.mkdir()
    (home / ".cache").touch()


def file_for_our_folder(home: Path) -> None:
    (home / ".cache").mkdir(parents=True)
    (home / ".cache" / "vyre-dist").touch()


def file_for_one_kind(home: Path) -> None:
    (home / ".cache" / "vyre-dist").mkdir(parents=True)
    (home / ".cache" / "vyre-dist" / "hyperscan").touch()


PLACES: list[Place] = [
    no_such_folder,
    file_for_home,
    file_for_the_cache,
    file_for_our_folder,
    file_for_one_kind,
]


@pytest.mark.parametrize("place", PLACES)
def test_what_is_in_the_way_is_told_once(
    place: Place, arguments: list[str], tree: Path, tmp_path: Path, temporary: Path
) -> None:
    """Every scan says in one line what can't be written and what is used instead; only the first
    one compiles.
    """
    if place is file_for_one_kind and LACKING:
        pytest.skip("without Hyperscan nothing of its kind is kept")
    home = tmp_path / "home"
    place(home)
    variables = {"HOME": str(home), "TMPDIR": str(temporary)}
    spare = temporary / f"vyre-dist-{os.geteuid()}"
    first = run(arguments, variables, tree)
    assert [path for path, _ in found(first)] == ["a.txt", "sub/b.txt"], first.stderr
    (line,) = warnings_of(first)
    assert str(home) in line and f"{spare} is used instead" in line and "--cache-dir" in line
    compiled = kept(spare)
    assert LACKING or any("hyperscan" in path for path in compiled)
    second = run(arguments, variables, tree)
    assert (second.returncode, found(second)) == (first.returncode, found(first))
    assert warnings_of(second) == [line]
    assert kept(spare) == compiled
    assert spare.stat().st_mode & 0o777 == 0o700
    # when the way is free again, nothing is said
    if place is file_for_one_kind:
        (home / ".cache" / "vyre-dist" / "hyperscan").unlink()
        assert warnings_of(run(arguments, variables, tree)) == []


def test_a_disk_that_is_full(
    arguments: list[str], tree: Path, tmp_path: Path, temporary: Path
) -> None:
    """A folder without room for a pack is told as such before the first byte is written to it."""
    home = tmp_path / "home"
    home.mkdir()
    command = with_mounts([("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(home))], COMMAND)
    done = run(arguments, {"HOME": str(home), "TMPDIR": str(temporary)}, tree, command)
    assert len(found(done)) == 2
    (line,) = warnings_of(done)
    assert "No space left on device" in line and str(home) in line


def test_a_read_only_home_is_read(
    arguments: list[str], tree: Path, tmp_path: Path, temporary: Path
) -> None:
    """What is in a cache that can only be read is used, and not compiled anew elsewhere."""
    home = tmp_path / "home"
    home.mkdir()
    variables = {"HOME": str(home), "TMPDIR": str(temporary)}
    assert warnings_of(run(arguments, variables, tree)) == []
    assert kept(home)
    read_only = [("--bind", str(home), str(home)), ("-o", "remount,ro,bind", str(home))]
    done = run(arguments, variables, tree, with_mounts(read_only, COMMAND))
    assert len(found(done)) == 2
    (line,) = warnings_of(done)
    assert "Read-only file system" in line
    assert kept(temporary) == {}


def test_no_home_at_all(arguments: list[str], tree: Path, pack: Path, temporary: Path) -> None:
    """Without HOME and a passwd entry every command works; those with a cache say in one line where
    it is.
    """
    command = with_mounts(NO_PASSWD, COMMAND)
    variables = {"TMPDIR": str(temporary)}
    for _ in range(2):
        done = run(arguments, variables, tree, command)
        assert (done.returncode, len(found(done))) == (1, 2), done.stderr
        (line,) = told(done.stderr).splitlines()
        assert "HOME is not set" in line and f"vyre-dist-{os.geteuid()} is used instead" in line
    assert told(run([*arguments, "--no-cache"], variables, tree, command).stderr) == ""
    for others in (
        ["rules", "list", pack],
        ["rules", "check", "-q", pack],
        ["rules", "explain", "token", pack],
    ):
        assert run(others, variables, tree, command).returncode == 0
    toml = tree / "records.toml"
    for others in (["autotune", "show"], ["autotune", "export", toml]):
        # what only reads finds the place, and makes none
        done = run(others, variables, tree, command)
        assert done.returncode == 0 and "there is no autotune store" not in done.stderr
    done = run(["autotune", "import", toml], variables, tree, command)
    assert done.returncode == 0 and "HOME is not set" in done.stderr.splitlines()[0], done.stderr
    nobody_there = ["submit", "--address", "http://127.0.0.1:1", "--", "scan", "x"]
    done = run(nobody_there, variables, tree, command)
    assert "job server http://127.0.0.1:1" in done.stderr and "bug" not in done.stderr


def test_nothing_can_be_written_anywhere(arguments: list[str], tree: Path, tmp_path: Path) -> None:
    """Without any place the scan says that each one compiles its rules, and finds the same."""
    home = tmp_path / "home"
    home.touch()
    # the tree has to stay in sight, and may be below one of these
    shelter = ("--bind", str(tree.parent), "/mnt")
    if any(path.startswith(FOR_ALL) for path in (__file__, sys.prefix, sys.base_prefix)):
        pytest.skip("what is tested lies below a folder for temporary files")
    full = [("-t", "tmpfs", "-o", "size=64k", "tmpfs", root) for root in FOR_ALL]
    command = with_mounts(
        [shelter, *full], ["sh", "-c", 'cd /mnt/tree && exec "$@"', "sh", *COMMAND]
    )
    pack = Path(arguments[2]).read_text()
    (tree.parent / "pack.toml").write_text(pack)
    own = [argument if argument != arguments[2] else "/mnt/pack.toml" for argument in arguments]
    done = run(own, {"HOME": "/mnt/home"}, tree, command)
    assert len(found(done)) == 2, done.stderr
    (line,) = warnings_of(done)
    assert "nothing is kept, and each scan compiles its rules" in line


def test_a_compiled_pack_needs_no_parser(tmp_path: Path) -> None:
    """A second scan imports nothing of what regexes are parsed and looked at with."""
    (tmp_path / "rules.toml").write_text("[[rules]]\nid = 'key'\nregex = 'KEY[0-9]{3}'\n")
    (tmp_path / "file").write_bytes(b"nothing")
    code = (
        "import sys\n"
        "from vyre_dist.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    names = [name for name in sys.modules if name.startswith('vyre_dist.regex.')]\n"
        "    print(sorted(names), file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, "scan", "file", "--rules", "rules.toml"]
    command += ["--cache-dir", "cache", "--workers", "1", "--progress", "never"]
    told = [
        subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        ).stderr.splitlines()[-1]
        for _ in range(2)
    ]
    assert "'vyre_dist.regex.parser'" in told[0]
    assert told[1] == "['vyre_dist.regex.limits']"
