"""Tracked files against git itself: what the index lists is scanned, whatever ignore files say."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import tempfile
from pathlib import Path

import pytest
from git_repositories import WANTED, git, listed, problem_of, seen, write
from hypothesis import given, settings
from hypothesis import strategies as st

from vyre_dist.sources import DocumentRef, WalkOptions, WalkStats, walk
from vyre_dist.sources.git_index import read_index

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def agrees(top: Path) -> None:
    """The walk takes what git tracks and what it would offer to add, and reads the names that git
    reads.
    """
    assert seen(walk([top]), top) == listed(top, "--cached", "--others", "--exclude-standard")
    location = os.fsdecode(git(top, "rev-parse", "--git-dir")).strip()
    folder = str(top / location)
    common = str(top / os.fsdecode(git(top, "rev-parse", "--git-common-dir")).strip())
    names = set(git(top, "ls-files", "-z", "--sparse").split(b"\0")) - {b""}
    assert set(read_index(folder, common).names) == names


def test_tracked_files_are_scanned_whatever_ignore_files_say(top: Path) -> None:
    """What was added with force is taken, also below ignored folders; what is ignored and untracked
    is counted and left.
    """
    stats = WalkStats()
    assert seen(walk([top], stats=stats), top) == WANTED
    # u.env, build/u.txt, build/y, build/x/u.txt, lib/out/u, out
    assert stats.skipped["gitignored"] == 6
    agrees(top)


def test_folders_without_tracked_files_are_not_listed(top: Path) -> None:
    """Of an ignored folder only the way to its tracked files is walked."""
    for i in range(30):
        write(top, f"build/y/{i}/{i}/u")
    stats = WalkStats()
    list(walk([top], stats=stats))
    # ., build, build/x, lib, lib/out, lib/out/deep, lib/out/deep/er
    assert stats.directories == 7
    assert stats.skipped["gitignored"] == 6


@pytest.mark.parametrize("argument", ["build", "build/x", "lib", "lib/out", "lib/out/deep"])
def test_a_part_of_a_repository_has_its_tracked_files(top: Path, argument: str) -> None:
    """An argument below the top level sees its repository's index; one that is ignored itself is
    taken whole, as named.
    """
    whole = {name for name in WANTED if name.startswith(argument + "/")}
    found = seen(walk([top / argument]), top)
    assert whole <= found
    if argument == "lib":
        assert found == whole


def test_overlapping_arguments_bring_tracked_files_once(top: Path) -> None:
    """A folder that was entered for its tracked files brings the others when it is named as well,
    and none twice.
    """
    found = [
        item.path
        for item in walk([top, top / "build", top / "build" / "x"])
        if isinstance(item, DocumentRef)
    ]
    assert len(found) == len(set(found))
    build = {"build/u.txt", "build/x/u.txt", "build/y/u.txt"}
    assert {os.path.relpath(path, top) for path in found} == WANTED | build


@pytest.mark.parametrize("link", ["a", "z"])
def test_a_followed_link_hides_no_tracked_files(top: Path, link: str) -> None:
    """A folder that is reached by a link, before or after its own name, has what git tracks in it,
    each file once.
    """
    other = top.with_name("other")
    other.mkdir()
    git(other, "init", "-q")
    write(other, "in/o.env", "in/u.env")
    git(other, "add", "-f", "in/o.env")
    (top / link).symlink_to("lib")
    (top / f"{link}2").symlink_to("../other/in")
    items = list(walk([top], WalkOptions(follow_symlinks=True)))
    assert all(isinstance(item, DocumentRef) for item in items)
    found = [os.path.realpath(item.path) for item in items]
    assert len(found) == len(set(found))
    assert set(found) == {str(top / name) for name in WANTED} | {str(other / "in/o.env")}


def test_nothing_is_tracked_where_ignore_files_do_not_count(top: Path) -> None:
    """Without ignore files everything is taken, and the index is not read."""
    (top / ".git" / "index").write_bytes(b"damaged")
    assert len(seen(walk([top], WalkOptions(respect_gitignore=False)), top)) == 12


@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_every_version_of_the_index(top: Path, version: str) -> None:
    """Versions 2 to 4 are read; 3 is what git writes for entries with further flags."""
    if version == "3":
        write(top, "later.env")
        git(top, "add", "-f", "-N", "later.env")  # an entry without content
    git(top, "update-index", "--index-version", version)
    assert (top / ".git" / "index").read_bytes()[4:8] == struct.pack(">L", int(version))
    agrees(top)


def test_long_and_odd_names(top: Path) -> None:
    """Names of 4095 bytes and more, whose length the index does not say, and names that are no
    text.
    """
    deep = "/".join(["d" * 200] * 20 + ["e" * 100])
    git(top, "update-index", "--index-info", stdin=b"100644 %s\t%s\n" % (blob(top), deep.encode()))
    odd = os.fsdecode(b'\xff\n".env')
    write(top, odd)
    git(top, "add", "-f", odd)
    for version in ("2", "4"):
        git(top, "update-index", "--index-version", version)
        agrees(top)


def blob(top: Path) -> bytes:
    return git(top, "hash-object", "-w", "a.txt").strip()


def test_a_split_index(top: Path) -> None:
    """Entries of the shared file count but for those that the split one deletes; what it replaces
    or adds counts, too.
    """
    git(top, "config", "splitIndex.maxPercentChange", "100")
    git(top, "update-index", "--split-index")
    write(top, "new.env")
    git(top, "add", "-f", "new.env")
    git(top, "rm", "-q", "--cached", "lib/s.env")
    (top / "s.env").write_text("another")
    git(top, "add", "-f", "s.env")
    assert b"link" in (top / ".git" / "index").read_bytes()
    agrees(top)
    assert "lib/s.env" not in seen(walk([top]), top)
    (shared,) = (top / ".git").glob("sharedindex.*")
    shared.rename(top / ".git" / "gone")
    assert "it is split, and sharedindex" in problem_of(top).detail


def test_a_split_index_of_a_linked_work_tree(top: Path) -> None:
    """A work tree has an index of its own, whose shared part lies with it or with the
    repository's.
    """
    git(top, "commit", "-qm", "all")
    other = top.with_name("other")
    git(top, "worktree", "add", "-q", str(other))
    for split in (False, True):
        git(other, "update-index", "--split-index" if split else "--no-split-index")
        write(other, "build/x/u.txt", f"only{split}.env")
        git(other, "add", "-f", f"only{split}.env")
        agrees(other)
        assert f"only{split}.env" in seen(walk([other]), other)
    agrees(top)


def test_a_sparse_index(top: Path) -> None:
    """A directory that the index lists as one entry is taken to be tracked with all that is in
    it.
    """
    write(top, "kept/a", "left/out/a", "left/b")
    git(top, "add", "-f", "kept", "left")
    git(top, "commit", "-qm", "all")
    git(top, "sparse-checkout", "set", "--cone", "--sparse-index", "kept")
    assert b"left/" in git(top, "ls-files", "-z", "--sparse").split(b"\0")
    agrees(top)
    write(top, "left/out/a", "left/s.env")
    assert {"left/out/a", "left/s.env"} <= seen(walk([top]), top)


def test_entries_that_are_not_in_the_work_tree(top: Path) -> None:
    """skip-worktree and assume-unchanged change nothing; a tracked file that was deleted is not
    looked for.
    """
    git(top, "update-index", "--skip-worktree", "s.env")
    git(top, "update-index", "--assume-unchanged", "lib/s.env")
    (top / "build" / "x" / "s.txt").unlink()
    agrees(top)


def test_conflicting_entries_are_tracked(top: Path) -> None:
    """A path in conflict stands in the index up to three times and is one tracked file."""
    entries = b"".join(b"100644 %s %d\tu.env\n" % (blob(top), stage) for stage in (1, 2, 3))
    git(top, "update-index", "--index-info", stdin=entries)
    found = [item.path for item in walk([top]) if isinstance(item, DocumentRef)]
    assert found.count(str(top / "u.env")) == 1


def test_what_took_a_tracked_files_place_is_untracked(top: Path) -> None:
    """A folder where the index has a file, and a file where it has a folder, are ignored as git
    ignores them.
    """
    (top / "s.env").unlink()
    write(top, "s.env/x")
    shutil.rmtree(top / "lib" / "out")
    write(top, "lib/out")
    agrees(top)
    assert not seen(walk([top]), top) & {"s.env/x", "lib/out"}


def test_submodules_are_tracked_by_their_folder(top: Path) -> None:
    """A submodule in an ignored folder is scanned by its own rules and its own index."""
    inner = top.with_name("inner")
    inner.mkdir()
    git(inner, "init", "-q")
    write(inner, "a", "s.env", "u.env")
    (inner / ".gitignore").write_text("*.env\n")
    git(inner, "add", "a", ".gitignore")
    git(inner, "add", "-f", "s.env")
    git(inner, "commit", "-qm", "all")
    git(top, "submodule", "--quiet", "add", "-f", str(inner), "build/sub")
    write(top / "build" / "sub", "u.env", "v")
    found = seen(walk([top]), top)
    assert {name for name in found if "sub" in name} == {
        "build/sub/.git",
        "build/sub/.gitignore",
        "build/sub/a",
        "build/sub/s.env",
        "build/sub/v",
    }


def test_nested_repositories_have_their_own_index(top: Path) -> None:
    """A repository that git does not track starts afresh where it is reached, and stays out where
    it is ignored.
    """
    for place in ("nested", "out"):
        inner = top / place
        inner.mkdir(exist_ok=True)
        git(inner, "init", "-q")
        write(inner, "s.key", "u.key")
        (inner / ".gitignore").write_text("*.key\n")
        git(inner, "add", "-f", "s.key")
    found = seen(walk([top]), top)
    assert {name for name in found if name.startswith(("nested", "out"))} == {
        "nested/.gitignore",
        "nested/s.key",
    }


def test_sha256_repositories(tmp_path: Path) -> None:
    """Entries with 32-byte object names are read in every version, with and without a checksum."""
    git(tmp_path, "init", "-q", "--object-format=sha256")
    write(tmp_path, "s.env", "u.env", "b/c.env")
    (tmp_path / ".gitignore").write_text("*.env\n")
    git(tmp_path, "add", ".gitignore")
    git(tmp_path, "add", "-f", "s.env", "b/c.env")
    for version in ("2", "4"):
        git(tmp_path, "update-index", "--index-version", version)
        agrees(tmp_path)
        without_checksum(tmp_path / ".git" / "index", 32)
        assert seen(walk([tmp_path]), tmp_path) == {".gitignore", "s.env", "b/c.env"}


def without_checksum(index: Path, width: int) -> None:
    """As git writes it with index.skipHash."""
    data = index.read_bytes()
    index.write_bytes(data[:-width] + bytes(width))


def test_an_index_without_a_checksum(top: Path) -> None:
    """What git writes with index.skipHash is read."""
    for version in ("2", "4"):
        git(top, "update-index", "--index-version", version, "--force-write-index")
        without_checksum(top / ".git" / "index", 20)
        agrees(top)


def test_an_index_that_another_git_is_writing(top: Path) -> None:
    """index.lock is what will come; the index itself is whole until it is replaced."""
    (top / ".git" / "index.lock").write_bytes(b"half")
    agrees(top)


def test_a_repository_without_an_index_tracks_nothing(tmp_path: Path) -> None:
    """That a new repository has no index is no problem."""
    git(tmp_path, "init", "-q")
    write(tmp_path, "a", "u.env")
    (tmp_path / ".gitignore").write_text("*.env\n")
    assert seen(walk([tmp_path]), tmp_path) == {"a", ".gitignore"}


NAMES = st.sampled_from(["a", "b", "c.env", "out", "x", "build"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
LINES = st.sampled_from(["*.env", "build/", "out", "/a", "!b", "x/*", "**/c.env", "/build/x", "*"])


@settings(max_examples=60, deadline=None)
@given(
    paths=st.lists(PATHS, min_size=1, max_size=12),
    tracked=st.sets(st.integers(0, 11)),
    lines=st.lists(LINES, max_size=4),
    nested=st.none() | NAMES,
    version=st.sampled_from(["2", "4"]),
)
def test_random_trees_agree_with_git(
    paths: list[str], tracked: set[int], lines: list[str], nested: str | None, version: str
) -> None:
    """Of any tree, what git tracks and what it does not ignore is taken, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder).resolve()
        git(top, "init", "-q")
        for path in paths:
            with contextlib.suppress(
                OSError
            ):  # a file is where a folder would be, or the other way
                write(top, path)
        files = [path for path in dict.fromkeys(paths) if (top / path).is_file()]
        (top / ".gitignore").write_text("\n".join(lines))
        if nested and (top / nested).is_dir():
            (top / nested / ".gitignore").write_text("*\n")
        chosen = [path for number, path in enumerate(files) if number in tracked]
        if chosen:
            git(top, "add", "-f", "--", *chosen)
            git(top, "update-index", "--index-version", version)
        assert seen(walk([top]), top) == listed(top, "--cached", "--others", "--exclude-standard")
