"""An index of git's that can't be read, or that is damaged, is a problem and no hang."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from git_repositories import WANTED, listed, problem_of, seen
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples
from privileges import without_privileges

from vyre_dist.sources import InputProblem, walk
from vyre_dist.sources.git_index import GitIndexError, read_index

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


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


@settings(max_examples=examples(300), deadline=None)
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
