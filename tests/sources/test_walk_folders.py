"""walk_folders(): a folder's files come together, and arguments are taken as they are needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents_in_trees import make, shown

from vyre_dist.sources import (
    FolderFiles,
    WalkOptions,
    WalkStats,
    walk,
    walk_folders,
)

ROOT = Path(__file__).resolve().parents[2]


def test_folders_come_with_their_names_and_no_file_is_asked_for(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of files is one item; its files' sizes are not looked up, and together they are what
    walk() gives.
    """
    make(here, "a", "b", "d/x", "d/y", "d/e/z")
    (here / "link").symlink_to("a")
    found = walk_folders(["."])
    with monkeypatch.context() as patch:
        asked: list[str] = []
        real = os.stat

        def stat(path: str) -> os.stat_result:
            asked.append(path)
            return real(path)

        patch.setattr(os, "stat", stat)
        items = list(found)
    assert asked and not {"a", "b", "d/x", "d/y", "d/e/z"}.intersection(
        map(os.path.normpath, asked)
    )
    assert items == [
        FolderFiles("", ["a", "b"]),
        FolderFiles("d/", ["x", "y"]),
        FolderFiles("d/e/", ["z"]),
    ]
    assert shown(walk(["."])) == [f.prefix + n for f in items for n in f.names]  # type: ignore[union-attr]


def test_a_size_limit_is_kept_to_by_folders_too(here: Path) -> None:
    """With a largest size files are looked at after all, and the larger ones counted."""
    make(here, "a", "c")
    make(here, "b", size=100)
    stats = WalkStats()
    assert list(walk_folders(["."], WalkOptions(max_file_size=10), stats=stats)) == [
        FolderFiles("", ["a", "c"])
    ]
    assert stats.skipped["too-large"] == 1 and stats.files == 2


def test_a_problem_stands_between_its_neighbours(here: Path) -> None:
    """What is no file is told where it is in the order; the names around it come in two parts."""
    make(here, "a", "c")
    os.mkfifo("b")
    first, problem, last = walk_folders(["."])
    assert (first, last) == (FolderFiles("", ["a"]), FolderFiles("", ["c"]))
    assert shown([problem]) == ["fifo:b"]


def test_arguments_are_taken_as_they_are_needed(here: Path) -> None:
    """A list of any length is not read ahead of the walk by more than two paths."""
    make(here, "f")
    taken = 0

    def listed() -> Iterator[str]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield "f"

    items = walk_folders(listed())
    assert taken == 2
    next(items)
    assert taken == 2
    assert next(items, None) is None  # each document once, whatever the list says
    assert taken == 1000
