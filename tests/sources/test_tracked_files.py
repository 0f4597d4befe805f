"""Tracked files against git itself: what the index lists is scanned, whatever ignore files say."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import subprocess
import tempfile
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from privileges import without_privileges

from vyre_dist.sources import DocumentRef, InputProblem, WalkOptions, WalkStats, walk
from vyre_dist.sources.git_index import GitIndexError, read_index

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


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


WANTED = {".gitignore", "a.txt", "s.env", "build/x/s.txt", "lib/s.env", "lib/out/deep/er/s"}


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


# --- what can't be read


def problem_of(top: Path) -> InputProblem:
    """The only problem of a walk that takes what is not ignored."""
    items = list(walk([top]))
    (problem,) = [item for item in items if isinstance(item, InputProblem)]
    assert problem.reason == "git-index"
    assert problem.detail.endswith("tracked files that ignore files name were not scanned")
    taken = {os.path.relpath(item.path, top) for item in items if isinstance(item, DocumentRef)}
    assert {".gitignore", "a.txt"} <= taken and "s.env" not in taken
    return problem


def other_version(data: bytes) -> bytes:
    return data[:7] + b"\5" + data[8:-20] + bytes(20)


def unknown_extension(data: bytes) -> bytes:
    return data[:-20] + b"what" + struct.pack(">L", 3) + b"abc" + bytes(20)


def more_entries(data: bytes) -> bytes:
    return data[:8] + struct.pack(">L", 1000) + data[12:-20] + bytes(20)


DAMAGES: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda data: data[:0], "does not begin"),
    (lambda data: data[:11], "does not begin"),
    (lambda data: b"TREE" + data[4:], "does not begin"),
    (lambda data: data[:-1], "checksum"),
    (lambda data: data[: len(data) // 2], "checksum"),
    (lambda data: data[:70] + b"\xff" + data[71:], "checksum"),
    (lambda data: data + b"x", "checksum"),
    (other_version, "version 5"),
    (unknown_extension, "'what'"),
    (more_entries, "damaged"),
]


@pytest.mark.parametrize(("damage", "told"), DAMAGES)
def test_a_damaged_index_is_a_problem(
    damage: Callable[[bytes], bytes], told: str, top: Path
) -> None:
    """An index that is not whole, or not understood, is listed with what was found, once for all
    arguments.
    """
    index = top / ".git" / "index"
    index.write_bytes(damage(index.read_bytes()))
    problem = problem_of(top)
    assert problem.path == str(index) and told in problem.detail
    again = [
        item for item in walk([top, top / "lib", top / "build"]) if isinstance(item, InputProblem)
    ]
    assert len(again) == 1


def test_an_index_that_may_not_be_read_is_a_problem(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without permission nobody knows what is tracked."""
    for folder in (top.parent, top, top / ".git"):
        os.chmod(folder, 0o755)  # noqa: S103 - another user has to get in
    index = top / ".git" / "index"
    index.chmod(0)
    monkeypatch.chdir(top)  # what lies above is root's own
    with without_privileges():
        problem = problem_of(Path())
    index = Path(".git/index")
    assert (problem.path, "Permission denied" in problem.detail) == (str(index), True)


@pytest.mark.parametrize("kind", ["fifo", "folder", "loop"])
def test_what_is_no_index_is_a_problem_and_no_hang(kind: str, top: Path) -> None:
    """Something else in the index's place is not waited for."""
    index = top / ".git" / "index"
    index.unlink()
    {"fifo": os.mkfifo, "folder": os.mkdir, "loop": lambda path: os.symlink(path, path)}[kind](
        index
    )
    assert problem_of(top).path == str(index)


@pytest.mark.parametrize("name", [".gitignore", ".git/info/exclude", ".git/commondir"])
def test_a_folder_in_place_of_gits_own_files_says_nothing(name: str, top: Path) -> None:
    """A folder called like an ignore file is a folder."""
    with contextlib.suppress(FileNotFoundError):
        (top / name).unlink()
    (top / name).mkdir()
    wanted = (
        WANTED
        if name != ".gitignore"
        else listed(top, "--cached", "--others", "--exclude-standard")
    )
    assert seen(walk([top]), top) == wanted


@pytest.mark.parametrize("name", [".git", "commondir"])
def test_a_fifo_in_place_of_gits_own_files_is_no_hang(name: str, top: Path) -> None:
    """A repository's small files are looked at, not waited for."""
    if name == ".git":
        (top / "sub").mkdir()
        os.mkfifo(top / "sub" / ".git")
        items = [item for item in walk([top]) if isinstance(item, InputProblem)]
        assert [item.reason for item in items] == ["fifo"]
    else:
        os.mkfifo(top / ".git" / name)
        assert seen(walk([top]), top) == WANTED


def test_a_damaged_index_that_nothing_depends_on_is_not_read(top: Path) -> None:
    """Where nothing is left out, it does not matter what is tracked."""
    (top / ".git" / "index").write_bytes(b"damaged")
    (top / ".gitignore").write_text("nothing-like-it\n")
    assert len(seen(walk([top]), top)) == 12


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), position=st.integers(0, 2000), width=st.integers(0, 8))
def test_random_damage_is_an_error_or_another_list(data: bytes, position: int, width: int) -> None:
    """Whatever the bytes, reading ends with names or with a GitIndexError."""
    with tempfile.TemporaryDirectory() as folder:
        whole = _small_index()
        at = position % len(whole)
        damaged = whole[:at] + data + whole[at + width :]
        Path(folder, "index").write_bytes(damaged[:-20] + bytes(20))
        Path(folder, f"sharedindex.{BASE.hex()}").write_bytes(_shared_index(65))
        with contextlib.suppress(GitIndexError):
            assert all(isinstance(name, bytes) for name in read_index(folder, folder).names)


BASE = b"b" * 20


def _small_index() -> bytes:
    """Version 4, three entries, and bitmaps of all 65 entries of the shared index: one of them
    deleted, all replaced.
    """
    names = [b"\0\0", b"\0abc\0", b"\2x/y\0"]
    return _index(names, BASE + _bitmap(65, 1 << 33, 1) + _bitmap(65, 1 | 1 << 1 | 1 << 33, 1))


def _shared_index(entries: int) -> bytes:
    """Names in version 4: 000, 001, …"""
    return _index(
        [
            b"\3" * (number > 0) + b"\0" * (number == 0) + b"%03d\0" % number
            for number in range(entries)
        ]
    )


def _bitmap(bits: int, *words: int) -> bytes:
    return struct.pack(">LL", bits, len(words)) + struct.pack(f">{len(words)}Q", *words) + bytes(4)


def _index(names: list[bytes], link: bytes = b"") -> bytes:
    """Version 4, without a checksum. `names`: each with how much of the one before it replaces."""
    entry = struct.pack(">10L20sH", *[0] * 6, 0o100644, 0, 0, 0, b"x" * 20, 3)
    body = b"DIRC" + struct.pack(">LL", 4, len(names)) + b"".join(entry + name for name in names)
    return body + (b"link" + struct.pack(">L", len(link)) + link if link else b"") + bytes(20)


def test_the_index_of_the_random_damage_is_whole(tmp_path: Path) -> None:
    """What the damage is done to is read: an entry of the shared index is deleted, and two are
    added.
    """
    (tmp_path / "index").write_bytes(_small_index())
    (tmp_path / f"sharedindex.{BASE.hex()}").write_bytes(_shared_index(65))
    names = {b"%03d" % number for number in range(1, 65)} | {b"abc", b"ax/y"}
    assert set(read_index(str(tmp_path), str(tmp_path)).names) == names


@pytest.mark.parametrize(
    "bitmap",
    [
        _bitmap(1 << 24, 1 | 0xFFFFFFFF << 1),
        _bitmap(66, 1 << 33, 1),
        _bitmap(65, 2 << 33, 0, 2),
    ],
    ids=["a-run", "one-more", "a-word"],
)
@pytest.mark.parametrize("replaces", [False, True])
def test_a_bitmap_that_is_longer_than_the_shared_index_is_damage(
    bitmap: bytes, replaces: bool, tmp_path: Path
) -> None:
    """What few bytes say of millions of entries that are not there costs nothing."""
    (tmp_path / "index").write_bytes(_index([], BASE + (_bitmap(0) if replaces else b"") + bitmap))
    (tmp_path / f"sharedindex.{BASE.hex()}").write_bytes(_shared_index(65))
    tracemalloc.start()
    try:
        with pytest.raises(GitIndexError, match="damaged"):
            read_index(str(tmp_path), str(tmp_path))
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


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
