"""What runs leave that are killed, and who removes it: the next run to the same destination, and
`vyre-dist clean`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_scans import PATIENCE, Start, stuck_workers

from vyre_dist.leftovers import Fate, make_folder, remove, unfinished_name

Cli = Callable[..., Any]
FORMATS = ["human", "jsonl", "csv", "sarif", "parquet"]


def removed(path: object) -> str:
    """The line about a leftover that is gone."""
    return f"vyre-dist: removed {path}: a killed run had left it unfinished"


def parts(folder: Path) -> list[str]:
    """Names of unfinished files in a folder."""
    return sorted(name for name in os.listdir(folder) if name.endswith(".part"))


def another_process(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run Python code: what this process has left, a process of another number finds."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )


def left_by_the_dead(destination: Path, content: str = "secret") -> Path:
    """An unfinished file for `destination`, whose writer is gone."""
    code = (
        "import os, signal, sys; from vyre_dist.atomic_file import AtomicFile\n"
        "file = AtomicFile(sys.argv[1]); file.stream.write(sys.argv[2].encode()); "
        "file.stream.flush()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    before = parts(destination.parent)
    with pytest.raises(subprocess.CalledProcessError):
        another_process(code, destination, content)
    (name,) = set(parts(destination.parent)) - set(before)
    return destination.parent / name


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGQUIT])
@pytest.mark.parametrize("form", FORMATS)
def test_the_next_scan_to_a_destination_removes_what_a_killed_one_left(
    start: Start,
    cli: Cli,
    pack: Path,
    stuck_tree: Path,
    tmp_path: Path,
    form: str,
    signum: signal.Signals,
) -> None:
    """Outputs and the report: the unfinished file goes when its writer is dead, with a message, and
    no sooner.
    """
    out, report = tmp_path / f"found.{form}", tmp_path / "report"
    older = left_by_the_dead(tmp_path / "other")
    options = ("-f", f"{form}={out}", "--report", report)
    process = start("-j", "2", "--shard-size", "5", *options, ".")
    stuck_workers(process, 2)
    left = [tmp_path / name for name in parts(tmp_path) if name != older.name]
    assert len(left) == 2 and all(path.stat().st_mode & 0o777 == 0o600 for path in left)

    run = cli("scan", "-r", pack, "a.txt", *options)
    assert (run.code, run.err) == (1, ""), "its writer lives"
    assert all(path.exists() for path in left)

    # nothing but the driver: its workers may take a moment to notice
    process.send_signal(signum)
    process.wait(PATIENCE)
    assert all(path.exists() for path in left)
    run = cli("scan", "-r", pack, "a.txt", *options)
    assert run.code == 1
    assert sorted(run.err.splitlines()) == sorted(map(removed, left))
    assert parts(tmp_path) == [older.name], "another destination's"


def test_the_next_export_removes_what_a_killed_one_left(cli: Cli, tmp_path: Path) -> None:
    """The autotune store's TOML file is written like any output, though for everybody to read."""
    out = tmp_path / "records.toml"
    left = left_by_the_dead(out)
    run = cli("autotune", "export", out)
    assert (run.code, run.out) == (0, b"") and f"{removed(left)}\n" in run.err
    assert sorted(os.listdir(tmp_path)) == ["records.toml", "tree"]
    assert out.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask() -> int:
    (line,) = [
        x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("Umask:")
    ]
    return int(line.split()[1], 8)


@pytest.mark.parametrize("file", ["/dev/null", "/dev/stdout", "fifo"])
@pytest.mark.parametrize("ending", [".toml", ".jsonl"])
def test_an_export_replaces_no_device(
    cli: Cli, tmp_path: Path, tree: Path, file: str, ending: str
) -> None:
    """A file renamed onto a device or a pipe would take its place."""
    os.mkfifo(tree / "fifo")
    before = os.stat("/dev/null"), os.readlink("/dev/stdout"), os.stat(tree / "fifo")
    (tree / f"link{ending}").symlink_to(file)
    run = cli("autotune", "export", f"link{ending}")
    assert run.code == 3 and "is no regular file" in run.err
    run = cli("autotune", "export", file)
    assert run.code == 2 and "the end of its name" in run.err
    assert (
        os.path.samestat(before[0], os.stat("/dev/null"))
        and os.readlink("/dev/stdout") == before[1]
    )
    assert os.path.samestat(before[2], os.stat(tree / "fifo"))


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"], ["-n"]])
def test_clean_removes_what_nobody_writes_any_more(
    start: Start, cli: Cli, stuck_tree: Path, tmp_path: Path, dry_run: list[str]
) -> None:
    """In a folder and below; each path is told, what a live scan writes stays, and a dry run
    removes nothing.
    """
    deep = tmp_path / "results" / "a" / "b"
    deep.mkdir(parents=True)
    dead = [left_by_the_dead(deep / "x.sarif"), left_by_the_dead(tmp_path / "results" / "\u202ey")]
    process = start("-j", "2", "--shard-size", "5", "-f", f"csv={deep / 'live.csv'}", ".")
    stuck_workers(process, 2)
    (live,) = [deep / name for name in parts(deep) if "live" in name]
    not_ours = [
        deep / "movie.mp4.part",
        deep / ".x.sarif.01234567.0123456789ab.part",
        deep / "x.sarif.incomplete",
    ]
    for path in not_ours:
        path.write_text("mine")
    (deep / f"link{unfinished_name('x')}").symlink_to(dead[0])
    (deep / unfinished_name("x")[:-5]).write_text("mine")

    run = cli("clean", *dry_run, tmp_path / "results")
    lines = run.out.decode().splitlines()
    did = "would remove" if dry_run else "removed"
    assert (run.code, run.err) == (0, "")
    shown = [str(path).replace("\u202e", "\\u202e") for path in dead]
    assert sorted(lines[:-1]) == sorted(
        [*(f"{did} {path}" for path in shown), f"left {live}: its writer is at work"]
    )
    assert lines[-1] == ("2 would be removed, 1 left" if dry_run else "2 removed, 1 left")
    assert [path.exists() for path in dead] == [bool(dry_run)] * 2
    assert live.exists() and all(path.read_text() == "mine" for path in not_ours)


def test_clean_of_a_file_removes_what_was_left_of_it(cli: Cli, tmp_path: Path) -> None:
    """Whether or not there is a file of that name; what was left of other files beside it stays."""
    for name in ("found.csv", "new.csv"):
        mine, other = left_by_the_dead(tmp_path / name), left_by_the_dead(tmp_path / "other.csv")
        (tmp_path / "found.csv").write_text("whole")
        run = cli("clean", tmp_path / name)
        assert run.out.decode() == f"removed {mine}\n1 removed, 0 left\n"
        assert (
            not mine.exists() and other.exists() and (tmp_path / "found.csv").read_text() == "whole"
        )


def test_clean_by_itself_looks_where_runs_leave_things(
    cli: Cli, tmp_path: Path, environment: dict[str, str]
) -> None:
    """The cache directory with what is below it, and the folder for temporary files without."""
    cache, temporary = tmp_path / "cache", tmp_path / "temporary"
    (cache / "vyre-dist" / "pack").mkdir(parents=True)
    (temporary / "results").mkdir(parents=True)
    dead = [
        left_by_the_dead(cache / "vyre-dist" / "pack" / "0123"),
        left_by_the_dead(temporary / "x"),
    ]
    code = (
        "import sys; from vyre_dist.leftovers import make_folder; print(make_folder(sys.argv[1], "
        "'gpu')[0])"
    )
    folder = Path(another_process(code, temporary).stdout.decode().strip())
    os.mkfifo(folder / "socket")  # a socket's path may not be as long
    own_folder, lock = make_folder(str(temporary), "gpu")
    deeper = left_by_the_dead(temporary / "results" / "x")

    run = cli("clean", XDG_CACHE_HOME=str(cache), TMPDIR=str(temporary))
    assert (run.code, run.err) == (0, "")
    assert sorted(run.out.decode().splitlines()) == sorted(
        [
            *(f"removed {path}" for path in (*dead, folder)),
            f"left {own_folder}: its writer is at work",
            "3 removed, 1 left",
        ]
    )
    assert deeper.exists() and Path(own_folder).exists() and not folder.exists()
    os.close(lock)
    run = cli("clean", "--cache-dir", cache / "none", TMPDIR=str(temporary))
    assert run.out.decode() == f"removed {own_folder}\n1 removed, 0 left\n"


def test_clean_with_nothing_to_do_is_0(cli: Cli, tmp_path: Path) -> None:
    """No cache yet, and an empty folder."""
    run = cli("clean", XDG_CACHE_HOME=str(tmp_path / "none"), TMPDIR=str(tmp_path))
    assert (run.code, run.out.decode(), run.err) == (0, "0 removed, 0 left\n", "")


def test_a_place_that_cannot_be_looked_at_is_3(cli: Cli, tmp_path: Path) -> None:
    """It is named, and the other places are cleaned."""
    dead = left_by_the_dead(tmp_path / "x")
    run = cli("clean", tmp_path / "none" / "deeper", tmp_path / "x")
    assert run.code == 3
    assert run.err == f"vyre-dist: {tmp_path}/none: No such file or directory\n"
    assert run.out.decode() == f"removed {dead}\n1 removed, 0 left, 1 failed\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_another_users_leftovers_stay(cli: Cli, tmp_path: Path) -> None:
    """Also for root: who made them may have locked them elsewhere."""
    dead = left_by_the_dead(tmp_path / "x")
    os.chown(dead, 12345, 12345)
    run = cli("clean", tmp_path)
    assert run.out.decode() == f"left {dead}: another user's\n0 removed, 1 left\n" and dead.exists()


def test_a_leftover_is_removed_once(tmp_path: Path) -> None:
    """Many that clean at the same time, and one that writes, are in nobody's way: no file of a live
    writer is lost.
    """
    out = tmp_path / "x"
    stop = threading.Event()
    removed: list[str] = []

    def sweep() -> None:
        folder = os.open(tmp_path, os.O_RDONLY)
        while not stop.is_set():
            for name in parts(tmp_path):
                if remove(folder, name) is Fate.REMOVED:
                    removed.append(name)
        os.close(folder)

    # record locks tell processes apart, not threads: the writer is another process
    code = (
        "import sys; from vyre_dist.atomic_file import AtomicFile\n"
        "for i in range(500):\n"
        "    file = AtomicFile(sys.argv[1], durable=False); file.stream.write(b'%d' % i); "
        "file.commit()\n"
        "    assert open(sys.argv[1], 'rb').read() == b'%d' % i\n"
    )
    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        another_process(code, out)
    finally:
        stop.set()
        for sweeper in sweepers:
            sweeper.join()
    assert os.listdir(tmp_path) == ["x"] and out.read_text() == "499"


def test_a_run_that_never_began_removes_nothing(cli: Cli, pack: Path, tmp_path: Path) -> None:
    """What is removed is said: a usage error that comes before leaves it to the next run."""
    left = left_by_the_dead(tmp_path / "x")
    run = cli("scan", "-r", pack, "-f", f"csv={tmp_path / 'x'}", "-f", "jsonl=no/such/folder/y")
    assert run.code == 2 and str(left) not in run.err and left.exists()


def test_stored_packs_remove_what_was_left_of_them(cli: Cli, pack: Path, tmp_path: Path) -> None:
    """A killed run's half of a compiled pack goes when the same pack is stored; nothing of it holds
    scanned bytes.
    """
    cache = tmp_path / "cache"
    assert cli("scan", "-r", pack, "--cache-dir", cache).code == 1
    stored = [path for path in cache.rglob("*") if path.is_file() and "sqlite" not in path.name]
    left = [left_by_the_dead(path) for path in stored]
    for path in stored:
        path.unlink()
    run = cli("scan", "-r", pack, "--cache-dir", cache)
    assert (run.code, run.err) == (1, "")
    assert all(path.exists() for path in stored) and not any(path.exists() for path in left)
