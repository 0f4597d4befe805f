"""walk(): links that are followed or not, and documents that can be reached twice."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from documents_in_trees import make, shown

from vyre_dist.sources import (
    DocumentRef,
    WalkOptions,
    WalkStats,
    walk,
)

ROOT = Path(__file__).resolve().parents[2]


def test_links_are_counted_unless_followed(here: Path) -> None:
    """Links inside a directory are left out and counted; a link that is an argument is followed."""
    make(here, "real/f", "other")
    os.symlink("real", "linkdir")
    os.symlink("other", "linkfile")
    stats = WalkStats()
    assert shown(walk(["."], stats=stats)) == ["other", "real/f"]
    assert stats.skipped == {"symlink": 2}
    assert shown(walk(["linkdir"])) == ["linkdir/f"]
    assert shown(walk(["linkfile"])) == ["linkfile"]


def test_followed_links_yield_each_document_once(here: Path) -> None:
    """When links are followed, a file comes under the first path that reaches it, and loops are
    listed.
    """
    make(here, "a/f", "b/g")
    os.symlink("../b", "a/to_b")
    os.symlink("..", "a/up")
    os.symlink("../b/g", "a/g_too")
    os.symlink("nowhere", "a/dangling")
    os.symlink("self", "a/self")
    stats = WalkStats()
    assert shown(walk(["."], WalkOptions(follow_symlinks=True), stats=stats)) == [
        "dangling-symlink:a/dangling",
        "a/f",
        "a/g_too",
        "symlink-loop:a/self",
        "symlink-loop:a/up",
    ]
    assert stats.skipped == {"duplicate": 2}  # to_b/g, and b itself
    assert stats.files == 2


@pytest.mark.parametrize(
    ("options", "skipped"),
    [
        ({"exclude": ["z"]}, {"excluded-glob": 1, "duplicate": 1}),
        ({"include": ["a", "zz"]}, {"not-included": 2}),
        ({}, {"gitignored": 2, "duplicate": 1}),
    ],
)
@pytest.mark.parametrize("link", ["a", "zz"])
def test_a_followed_link_to_a_neighbour_that_is_left_out_is_scanned(
    here: Path, link: str, options: dict[str, object], skipped: dict[str, int]
) -> None:
    """Which of the two comes first by name does not matter, and a second link is a duplicate of the
    first.
    """
    make(here, "d/z")
    (here / "d" / link).symlink_to("z")
    os.mkdir("more")
    os.symlink("../d/z", "more/z2")
    if "gitignored" in skipped:
        (here / "d/.gitignore").write_text("z\n.gitignore\n")
    stats = WalkStats()
    found = walk(["d", "more"], WalkOptions(follow_symlinks=True, **options), stats=stats)  # type: ignore[arg-type]
    assert shown(found) == [f"d/{link}"]
    assert stats.skipped == skipped


def test_a_followed_link_to_a_neighbour_that_is_hidden_is_scanned(here: Path) -> None:
    """A link that sorts before the hidden file it leads to brings that in; the file itself is
    counted as hidden.
    """
    make(here, ".z")
    (here / "-a").symlink_to(".z")
    stats = WalkStats()
    assert shown(walk(["."], WalkOptions(follow_symlinks=True, hidden=False), stats=stats)) == [
        "-a"
    ]
    assert stats.skipped == {"hidden": 1}


@pytest.mark.parametrize(
    ("options", "expected", "skipped"),
    [
        ({"include": ["*.py"]}, ["d/link/s/x.py", "d/link/x.py"], {"not-included": 3}),
        ({"include": ["link/"]}, ["d/link/c", "d/link/s/x.py", "d/link/x.py"], {"not-included": 2}),
        ({"include": ["link"]}, ["d/link/c", "d/link/s/x.py", "d/link/x.py"], {"not-included": 2}),
        ({"include": ["file/"]}, [], {"not-included": 5}),
        ({"exclude": ["link/"]}, ["d/file", "d/plain"], {"excluded-glob": 1}),
        ({"exclude": ["file/"], "include": ["file"]}, ["d/file"], {"not-included": 4}),
    ],
)
def test_a_followed_link_to_a_folder_is_a_folder_for_globs(
    here: Path, options: dict[str, object], expected: list[str], skipped: dict[str, int]
) -> None:
    """It is entered for what an include glob may find in it, and left out by a glob with a final
    slash.
    """
    make(here, "real/c", "real/x.py", "real/s/x.py", "other", "d/plain")
    (here / "d/link").symlink_to("../real")
    (here / "d/file").symlink_to("../other")
    stats = WalkStats()
    assert (
        sorted(shown(walk(["d"], WalkOptions(follow_symlinks=True, **options), stats=stats)))
        == expected
    )  # type: ignore[arg-type]
    assert stats.skipped == skipped


def test_a_link_that_cannot_be_followed_is_no_answer_to_a_glob(here: Path) -> None:
    """Where what is behind it can't be told, it is a problem, whatever is to be included; a
    dangling one is no folder.
    """
    make(here, "f")
    for name, target in {"loop": "loop", "gone": "nowhere", "through": "f/x"}.items():
        (here / name).symlink_to(target)
    stats = WalkStats()
    found = walk(["."], WalkOptions(follow_symlinks=True, include=["*.py"]), stats=stats)
    assert shown(found) == ["symlink-loop:loop"]
    assert stats.skipped == {"not-included": 3}


def test_git_takes_a_followed_link_for_a_file(here: Path) -> None:
    """An ignore file's pattern for folders does not match a link to one."""
    make(here, "real/f", "d/g")
    (here / "d/link").symlink_to("../real")
    (here / "d/.gitignore").write_text("link/\n.gitignore\n")
    assert shown(walk(["d"], WalkOptions(follow_symlinks=True))) == ["d/g", "d/link/f"]


@pytest.mark.parametrize("link", ["a", "zz"])
def test_a_followed_link_is_as_large_as_its_file(here: Path, link: str) -> None:
    """A link to a file over the size limit is left out for its size, too, whichever comes first by
    name.
    """
    make(here, "z", size=100)
    (here / link).symlink_to("z")
    stats = WalkStats()
    assert (
        shown(walk(["."], WalkOptions(follow_symlinks=True, max_file_size=10), stats=stats)) == []
    )
    assert stats.skipped == {"too-large": 2}


@pytest.mark.parametrize(
    ("argument", "options", "expected"),
    [
        ("link/..", {}, ["link/../f", "link/../inner/g"]),
        ("link/../", {}, ["link/../f", "link/../inner/g"]),
        ("link/../.", {}, ["link/../f", "link/../inner/g"]),
        ("link/deep/../..", {}, ["link/deep/../../f", "link/deep/../../inner/g"]),
        ("link/../*", {}, ["link/../f", "link/../inner/g"]),
        # globs count from the working directory by where the folder is: other/sub
        ("link/..", {"exclude": ["other/sub/f"]}, ["link/../inner/g"]),
        ("link/../inner", {"exclude": ["other/sub/inner/g"]}, []),
        ("link/..", {"exclude": ["/inner/g"]}, ["link/../f"]),
        ("link/../inner", {"exclude": ["inner/g"]}, ["link/../inner/g"]),
    ],
)
def test_the_folder_above_a_link_is_that_of_its_target(
    here: Path, argument: str, options: dict[str, object], expected: list[str]
) -> None:
    """`link/..` is not the folder that the link lies in: what is listed there is opened there, and
    globs know it.
    """
    make(here, "mine", "f", "other/sub/inner/g", "other/sub/f", size=1)
    (here / "other/sub/inner/deep").mkdir()
    (here / "f").write_bytes(b"not this one")
    (here / "link").symlink_to("other/sub/inner")
    items = list(walk([argument], WalkOptions(**options)))  # type: ignore[arg-type]
    assert shown(items) == expected
    for item in items:
        assert isinstance(item, DocumentRef)
        assert os.stat(item.location()).st_size == item.size == 1
    if not options:
        assert shown(walk([f"{here}/{argument}"])) == [f"{here}/{e}" for e in expected]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["d", "d"], ["d/f", "d/s/g"]),
        (["d/s", "d"], ["d/s/g", "d/f"]),
        (["d", "d/s"], ["d/f", "d/s/g"]),
        (["d/f", "d"], ["d/f", "d/s/g"]),
        (["d", "d/f"], ["d/f", "d/s/g"]),
        (["d/s/g", "d/s/g", "./d/s/../s/g"], ["d/s/g"]),
        (["link", "d"], ["link/f", "link/s/g"]),
        (["flink", "d"], ["flink", "d/s/g"]),
        (["d", "flink"], ["d/f", "d/s/g"]),
        (["d/*", "d"], ["d/f", "d/s/g"]),
        (["**/g"], ["d/s/g"]),
    ],
)
def test_overlapping_arguments_yield_each_document_once(
    here: Path, arguments: list[str], expected: list[str]
) -> None:
    """However arguments overlap, a document comes once, at the first argument that reaches it."""
    make(here, "d/f", "d/s/g")
    os.symlink("d", "link")
    os.symlink("d/f", "flink")
    assert shown(walk(arguments)) == expected


def test_hard_links_are_separate_documents(here: Path) -> None:
    """Two names of one inode are two documents, also where overlaps are watched."""
    make(here, "a/f")
    os.mkdir("b")
    os.link("a/f", "b/f")
    assert shown(walk(["a", "b", "."])) == ["a/f", "b/f"]


def test_a_file_left_out_by_policy_can_still_be_named(here: Path) -> None:
    """A file that ignore rules kept out of its directory is yielded when it is an argument of its
    own.
    """
    subprocess.run(["git", "init", "-q"], check=True, cwd=here)
    make(here, "d/f", "d/f.log")
    (here / ".gitignore").write_text("*.log\n")
    assert shown(walk(["d", "d/f.log"])) == ["d/f", "d/f.log"]
