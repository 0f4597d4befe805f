"""What the tests of inputs share."""

from __future__ import annotations

from pathlib import Path

import pytest
from git_repositories import git, write


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository whose ignore files leave out a file and two folders, with tracked files among
    them.
    """
    top = tmp_path / "repo"
    top.mkdir()
    git(top, "init", "-q")
    write(
        top,
        "a.txt",
        "s.env",
        "u.env",
        "build/x/s.txt",
        "build/x/u.txt",
        "build/u.txt",
        "build/y/u.txt",
    )
    write(top, "lib/s.env", "lib/out/deep/er/s", "lib/out/u", "out/u")
    (top / ".gitignore").write_text("*.env\nbuild/\nout\n")
    git(top, "add", ".")
    git(top, "add", "-f", "s.env", "build/x/s.txt", "lib/s.env", "lib/out/deep/er/s")
    return top
