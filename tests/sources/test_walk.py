"""walk(): order, kinds of files, and what is counted or listed."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from documents_in_trees import make, shown
from hypothesis import given, settings
from hypothesis import strategies as st

from vyre_dist.sources import (
    DocumentRef,
    WalkOptions,
    WalkStats,
    walk,
)

ROOT = Path(__file__).resolve().parents[2]


def test_order_is_files_then_directories_by_name_bytes(here: Path) -> None:
    """A directory's files come before its subdirectories, each sorted by the bytes of the names."""
    raw = [b"b", b"a/z", b"a/a/q", b"a.x", b"\xff", b"\xee\x80\x80", b"\xc3\xa9", b"Z", b"~/y"]
    for name in raw:
        path = os.path.join(os.fsencode(here), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(b"")
    expected = [b"Z", b"a.x", b"b", b"\xc3\xa9", b"\xee\x80\x80", b"\xff", b"a/z", b"a/a/q", b"~/y"]
    assert [os.fsencode(p) for p in shown(walk(["."]))] == expected


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (".", ["f", "d/g"]),
        ("./", ["f", "d/g"]),
        ("d", ["d/g"]),
        ("d/", ["d/g"]),
        ("./d", ["d/g"]),
        (".//d//", ["d/g"]),
        ("d/.", ["d/g"]),
        ("d/./g", ["d/g"]),
        ("d/../d", ["d/../d/g"]),
        (".//.", ["f", "d/g"]),
        ("d/..", ["d/../f", "d/../d/g"]),
        ("f", ["f"]),
        ("./f", ["f"]),
        ("./d/*", ["d/g"]),
        (b"d", ["d/g"]),
        (Path("d"), ["d/g"]),
    ],
)
def test_paths_are_shown_as_given(here: Path, argument: str, expected: list[str]) -> None:
    """A path is the argument, without what says nothing, joined with what lies below it, and can be
    opened.
    """
    make(here, "f", "d/g")
    assert shown(walk([argument])) == expected
    for item in walk([argument]):
        assert isinstance(item, DocumentRef)
        with open(item.location(str(here)), "rb") as file:
            assert len(file.read()) == item.size == 1


def test_a_document_carries_what_stat_says(here: Path) -> None:
    """Size, time and inode are the file's."""
    make(here, "f", size=1234)
    (item,) = walk(["f"])
    (same,) = walk(["."])
    info = os.stat("f")
    assert (
        item
        == same
        == DocumentRef("f", 1234, info.st_mtime_ns, info.st_ino, ctime_ns=info.st_ctime_ns)
    )


@settings(max_examples=60, deadline=None)
@given(
    st.sets(
        st.binary(min_size=1, max_size=40).filter(
            lambda n: not set(n) & {0, 0x2F} and n not in (b".", b"..", b".git")
        ),
        max_size=8,
    )
)
def test_any_name_comes_through(
    tmp_path_factory: pytest.TempPathFactory, names: set[bytes]
) -> None:
    """Newlines, escapes, undecodable bytes: each name is yielded, and opens; `!` and what reads
    like one are escaped.
    """
    top = os.fsencode(tmp_path_factory.mktemp("names"))
    for name in names:
        with open(os.path.join(top, name), "wb") as file:
            file.write(name)
    items = list(walk([top]))
    assert [os.fsencode(i.path) for i in items] == [
        os.path.join(top, escaped(n)) for n in sorted(names)
    ]
    for item in items:
        assert isinstance(item, DocumentRef)
        with open(item.location(), "rb") as file:
            assert os.path.join(top, escaped(file.read())) == os.fsencode(item.path)


def escaped(name: bytes) -> bytes:
    """Byte by byte, as docs/inputs.md says it."""
    out = b""
    for i, byte in enumerate(name):
        if byte == ord("!"):
            out += b"%21"
        elif byte == ord("%") and name[i + 1 : i + 3] in (b"21", b"25"):
            out += b"%25"
        else:
            out += bytes([byte])
    return out


def test_special_files_are_listed(here: Path) -> None:
    """Pipes, sockets and devices are problems, in directories and as arguments; nothing blocks on
    them.
    """
    make(here, "d/f")
    os.mkfifo("d/pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("d/sock")
        stats = WalkStats()
        assert shown(walk(["d"], stats=stats)) == ["d/f", "fifo:d/pipe", "socket:d/sock"]
        assert stats.problems == 2
        assert shown(walk(["d/pipe", "d/sock"])) == ["fifo:d/pipe", "socket:d/sock"]
    os.symlink("/dev/null", "null")
    assert shown(walk(["/dev/null", "null"])) == ["device:/dev/null", "device:null"]
    assert shown(walk(["."], WalkOptions(follow_symlinks=True)))[0] == "device:null"


def test_missing_arguments_are_listed(here: Path) -> None:
    """What was named and does not exist, or cannot be a name, is a problem, and the rest goes
    on.
    """
    make(here, "f")
    os.symlink("gone", "dangling")
    os.symlink("loop", "loop")
    arguments = ["nope", "f/x", "dangling", "loop", "nul\0byte", "x" * 300, "*.none", "f"]
    assert shown(walk(arguments)) == [
        "not-found:nope",
        "not-found:f/x",
        "dangling-symlink:dangling",
        "symlink-loop:loop",
        "invalid-name:nul\0byte",
        "path-too-long:" + "x" * 300,
        "not-found:*.none",
        "f",
    ]


def test_hidden_files_and_git_directories(here: Path) -> None:
    """Hidden files are scanned by default, git's own directory only on demand."""
    make(here, ".env", "f", ".git/config", "sub/.git/config", "sub/.hid/x")
    stats = WalkStats()
    assert shown(walk(["."], stats=stats)) == [".env", "f", "sub/.hid/x"]
    assert stats.skipped == {"git-dir": 2}
    assert shown(walk(["."], WalkOptions(git_dir=True))) == [
        ".env",
        "f",
        ".git/config",
        "sub/.git/config",
        "sub/.hid/x",
    ]
    stats = WalkStats()
    assert shown(walk(["."], WalkOptions(hidden=False), stats=stats)) == ["f"]
    assert stats.skipped == {"git-dir": 2, "hidden": 2}
    assert shown(walk([".git"])) == [".git/config"]


def test_vanished_directory_is_listed(here: Path) -> None:
    """A directory that goes between listing and entering is a problem; the walk goes on."""
    make(here, "a", "d/f", "e/g")
    found = walk(["."])
    first = next(found)
    (here / "d/f").unlink()
    (here / "d").rmdir()
    assert shown([first, *found]) == ["a", "vanished:d", "e/g"]


def test_vanished_file_is_listed(here: Path) -> None:
    """A file that goes between listing and stat is a problem; the walk goes on."""
    make(here, "a", "b", "c")
    found = walk(["."])
    first = next(found)
    (here / "b").unlink()
    assert shown([first, *found]) == ["a", "vanished:b", "c"]


def test_paths_too_long_for_the_system_are_listed(here: Path) -> None:
    """A directory nested below PATH_MAX is a problem, not a silent end."""
    name = "n" * 200
    make(here, "f")
    fd = os.open(".", os.O_RDONLY)
    for _ in range(25):
        os.mkdir(name, dir_fd=fd)
        fd, old = os.open(name, os.O_RDONLY, dir_fd=fd), fd
        os.close(old)
    os.close(fd)
    items = shown(walk(["."]))
    assert items[0] == "f"
    assert [i.split(":")[0] for i in items[1:]] == ["path-too-long"]


UNPRIVILEGED = """
import os, sys
from vyre_dist.sources import walk, problem_of, DocumentRef
os.chdir(sys.argv[1])
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for item in walk(["."]):
    if isinstance(item, DocumentRef):
        try:
            open(item.location(), "rb").close()
            print("read", item.path)
        except OSError as error:
            print(problem_of(item.path, error).reason, item.path)
    else:
        print("walk", item.reason, item.path)
"""


def test_unreadable_inputs_are_listed(here: Path) -> None:
    """Without permission, a directory is the walk's problem, a file its reader's, an ignore file
    both's.
    """
    make(here, "ok", "noread", "closed/f", "repo/.gitignore", "repo/x")
    make(here, "repo/.git/HEAD")
    for parent in here.parents:  # pytest's own directories are private to this user
        if parent.name.startswith(("pytest-", "popen-")) and parent.stat().st_uid == os.getuid():
            parent.chmod(0o755)
    here.chmod(0o755)
    os.chmod("noread", 0)
    os.chmod("closed", 0)
    os.chmod("repo/.gitignore", 0)
    try:
        run = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, str(here)],
            env={
                "PYTHONPATH": str(ROOT),
                "PATH": os.environ["PATH"],
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    finally:
        os.chmod("closed", 0o700)
    assert run.stdout.splitlines() == [
        "permission noread",
        "read ok",
        "walk permission closed",
        "walk ignore-file repo/.gitignore",
        "permission repo/.gitignore",
        "read repo/x",
    ]


def test_random_trees_are_covered(tmp_path: Path) -> None:
    """Every regular file of a random tree is either yielded or lies in something counted, once."""
    rng = random.Random(7)
    everything = set()
    for _ in range(300):
        depth = rng.randrange(1, 6)
        name = (
            "/".join(rng.choice("abcdef") * rng.randrange(1, 3) + "_" for _ in range(depth))
            + f"f{rng.randrange(99)}"
        )
        make(tmp_path, name)
        everything.add(str(tmp_path / name))
    arguments = [
        tmp_path,
        *rng.sample(sorted(everything), 20),
        *(tmp_path / c for c in ("a_", "b_", "cc_")),
        tmp_path,
    ]
    arguments = [a for a in arguments if os.path.exists(a)]
    rng.shuffle(arguments)
    found = shown(walk(arguments))
    assert len(found) == len(set(found))
    assert set(found) == everything


def test_import_stays_quick() -> None:
    """Importing the sources loads nothing heavy."""
    heavy = ("rich", "pyarrow", "numpy", "ray", "hyperscan")
    code = f"import sys, vyre_dist.sources; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"
