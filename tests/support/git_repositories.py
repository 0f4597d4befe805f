"""Git repositories for tests of the walk, and what git itself says of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from vyre_dist.sources import DocumentRef, InputProblem, walk


def git(directory: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b.c",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b.c",
    }
    return subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *arguments],
        cwd=directory,
        env=environment,
        check=True,
        capture_output=True,
        input=stdin,
    ).stdout


def write(top: Path, *names: str) -> None:
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))


def listed(top: Path, *arguments: str) -> set[str]:
    out = git(top, "ls-files", "-z", *arguments)
    return {
        name for name in map(os.fsdecode, out.split(b"\0")) if name and os.path.isfile(top / name)
    }


def seen(items: Iterable[DocumentRef | InputProblem], top: Path) -> set[str]:
    found = set()
    for item in items:
        assert isinstance(item, DocumentRef), item
        found.add(os.path.relpath(item.location(), top))
    # a linked work tree's pointer to its repository, which git lists as little as the folder of
    # that name
    return found - {".git"}


WANTED = {".gitignore", "a.txt", "s.env", "build/x/s.txt", "lib/s.env", "lib/out/deep/er/s"}


def problem_of(top: Path) -> InputProblem:
    """The only problem of a walk that takes what is not ignored."""
    items = list(walk([top]))
    (problem,) = [item for item in items if isinstance(item, InputProblem)]
    assert problem.reason == "git-index"
    assert problem.detail.endswith("tracked files that ignore files name were not scanned")
    taken = {os.path.relpath(item.path, top) for item in items if isinstance(item, DocumentRef)}
    assert {".gitignore", "a.txt"} <= taken and "s.env" not in taken
    return problem
