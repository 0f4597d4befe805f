"""What a scan writes, or will replace, is no input of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from documents_in_trees import make, shown

from vyre_dist.own_files import SUFFIX, regular_files
from vyre_dist.sources import WalkOptions, WalkStats, walk


@pytest.mark.parametrize("options", [{}, {"max_file_size": 9}, {"follow_symlinks": True}])
@pytest.mark.parametrize(
    ("arguments", "expected", "count"),
    [
        (["."], ["a", "d/b"], 2),
        (["*", "*/*"], ["a", "d/b"], 3),
        (["a", "mine", "d/mine too"], ["a"], 2),
    ],
)
def test_what_the_scan_writes_is_left_out(
    here: Path, arguments: list[str], expected: list[str], count: int, options: dict[str, object]
) -> None:
    """Files told by device and inode, wherever they are met, also by another name; no other file
    is.
    """
    make(here, "a", "mine", "d/b")
    os.link("mine", "d/mine too")
    stats = WalkStats()
    with open("mine", "rb") as stream:
        own = regular_files([stream.fileno(), "d", "no such file"])
    assert shown(walk(arguments, WalkOptions(**options), own_files=own, stats=stats)) == expected  # type: ignore[arg-type]
    assert stats.skipped["own-file"] == count


def test_what_the_scan_will_replace_is_left_out(here: Path) -> None:
    """An older result; but not where it has another name, which stays as it is."""
    make(here, "a", "older", "document")
    os.link("document", "linked")
    assert shown(walk(["."], own_files=regular_files(["older", "linked"]))) == [
        "a",
        "document",
        "linked",
    ]


def test_a_followed_link_to_what_the_scan_writes_is_left_out(here: Path) -> None:
    """A link is what it leads to."""
    make(here, "mine", "d/b")
    (here / "d/link").symlink_to("../mine")
    stats = WalkStats()
    found = walk(
        ["d"], WalkOptions(follow_symlinks=True), own_files=regular_files(["mine"]), stats=stats
    )
    assert shown(found) == ["d/b"]
    assert stats.skipped == {"own-file": 1}


@pytest.mark.parametrize(
    "arguments", [["."], ["*"], ["*/*", "*"], [f"half{SUFFIX}", f"copies{SUFFIX}/copy", "a"]]
)
def test_what_the_scan_makes_for_itself_is_left_out(here: Path, arguments: list[str]) -> None:
    """Its names are told by their end, in folders, as arguments, and as folders above one."""
    make(here, "a", f"half{SUFFIX}", f"copies{SUFFIX}/copy")
    stats = WalkStats()
    assert shown(walk(arguments, stats=stats)) == ["a"]
    assert stats.skipped["own-file"] >= 2
