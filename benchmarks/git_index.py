"""What the reading of a git index costs, and whether it is whole: this package's reader against
dulwich's.

    python benchmarks/git_index.py [--entries 80000] [--record]

Each kind of index is made by git: versions 2 and 4, a split one, and one with a path of 5 000
bytes. For each, git's own list is compared with what the readers give, and the better of three
times is printed. dulwich is left out where it is not installed. With --record a JSON line goes to
benchmarks/results/git_index.jsonl.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection
from importlib.metadata import version
from pathlib import Path
from typing import Any

from results_file import append, run_facts

from vyre_dist.sources.git_index import read_index

_BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def git(folder: Path, *arguments: str, stdin: str = "") -> bytes:
    """What git prints."""
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, input=stdin.encode(), capture_output=True, check=True).stdout


def make(folder: Path, kind: str, entries: int) -> set[bytes]:
    """A repository whose index is of that kind; the names that git says are in it."""
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "hash-object", "-w", "--stdin")
    names = [
        f"src/package{n // 400:03d}/module{n % 400 // 20:02d}/file{n:06d}.txt"
        for n in range(entries)
    ]
    if kind == "long path":
        names += ["/".join(["d" * 200] * 25)]
    git(folder, "config", "index.version", "4" if kind == "version 4" else "2")
    lines = "".join(f"100644 {_BLOB} 0\t{name}\n" for name in names)
    git(folder, "update-index", "--add", "--index-info", stdin=lines)
    if kind == "split":
        git(folder, "update-index", "--split-index")
        git(
            folder,
            "update-index",
            "--add",
            "--index-info",
            stdin=f"100644 {_BLOB} 0\tone/more.txt\n",
        )
    return set(git(folder, "ls-files", "-z").split(b"\0")) - {b""}


def ours(folder: Path) -> Collection[bytes]:
    """This package's."""
    git_directory = str(folder / ".git")
    return read_index(git_directory, git_directory).names


def readers() -> dict[str, Callable[[Path], Collection[bytes]]]:
    """By name."""
    try:
        from dulwich.index import Index
    except ImportError:
        return {"vyre-dist": ours}
    return {
        "vyre-dist": ours,
        f"dulwich {version('dulwich')}": lambda f: list(Index(str(f / ".git/index"))),
    }


def measure(
    read: Callable[[Path], Collection[bytes]], folder: Path, wanted: set[bytes]
) -> dict[str, Any]:
    """Seconds, and what was wrong with the names."""
    best, wrong = float("inf"), ""
    for _ in range(3):
        began = time.perf_counter()
        try:
            names = set(read(folder))
        except Exception as error:  # noqa: BLE001 (whatever a peer raises is its result)
            return {"seconds": None, "wrong": f"{type(error).__name__}: {error}"}
        best = min(best, time.perf_counter() - began)
        wrong = f"{len(wanted - names)} missing, {len(names - wanted)} that are not there" * (
            names != wanted
        )
    return {"seconds": round(best, 3), "wrong": wrong}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--entries", type=int, default=80_000)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as root:
        for number, kind in enumerate(("version 2", "version 4", "split", "long path")):
            folder = Path(root, str(number))
            wanted = make(folder, kind, options.entries)
            for name, read in readers().items():
                row = rows[f"{name}, {kind}"] = measure(read, folder, wanted)
                print(f"{kind:10} {name:16} {row['seconds']} s  {row['wrong'] or 'whole'}")
    if options.record:
        facts = {k: v for k, v in run_facts(None, None).items() if k != "rules"}
        append("git_index.jsonl", {**facts, "entries": options.entries, "rows": rows})


if __name__ == "__main__":
    main()
