"""walk(): order, kinds of files, links, overlaps, globs, and what is counted or listed."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents_in_trees import make, shown
from hypothesis import given, settings
from hypothesis import strategies as st

from vyre_dist.sources import (
    DocumentRef,
    FolderFiles,
    InputProblem,
    WalkOptions,
    WalkStats,
    walk,
    walk_folders,
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


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.py", ["a.py"]),
        ("**/*.py", ["a.py", "src/b.py", "src/deep/c.py", "src/deep/.h/d.py"]),
        ("src/**/*.py", ["src/b.py", "src/deep/c.py", "src/deep/.h/d.py"]),
        ("src/**", ["src/[x].txt", "src/b.py", "src/deep/c.py", "src/deep/.h/d.py"]),
        ("s*/d*", ["src/deep/c.py", "src/deep/.h/d.py"]),
        ("src/[[]x].txt", ["src/[x].txt"]),
        ("src/[x].txt", ["src/[x].txt"]),
        ("?.py", ["a.py"]),
        ("./*/b.py", ["src/b.py"]),
        ("src/../*.py", ["src/../a.py"]),
        # a final slash means directories
        ("[as]*/", ["src/[x].txt", "src/b.py", "src/deep/c.py", "src/deep/.h/d.py"]),
    ],
)
def test_globs_are_expanded(here: Path, pattern: str, expected: list[str]) -> None:
    """An argument that is no file is a glob; one that is a file is that file."""
    make(here, "a.py", "src/b.py", "src/deep/c.py", "src/deep/.h/d.py", "src/[x].txt")
    assert shown(walk([pattern])) == expected
    absolute = f"{here}/{pattern}"
    assert [os.path.relpath(p) for p in shown(walk([absolute]))] == [
        os.path.normpath(e) for e in expected
    ]


def test_a_globs_final_slash_takes_no_file(here: Path) -> None:
    """What matches and is no directory is as if it were not there."""
    make(here, "a.py", "src/b.py")
    (problem,) = walk(["**/*.py/"])
    assert shown([problem]) == ["not-found:**/*.py"]
    assert isinstance(problem, InputProblem) and "no directory" in problem.detail


@pytest.mark.parametrize("pattern", ["*.py/**", "*.py/**/**", "?.py/**/"])
def test_what_is_below_a_glob_is_below_a_folder(here: Path, pattern: str) -> None:
    """A final `**` stands for what a directory holds: a file has nothing below it."""
    make(here, "a.py", "d.py/f")
    assert shown(walk([pattern])) == ["d.py/f"]


@pytest.mark.parametrize(
    ("options", "expected", "skipped"),
    [
        ({"exclude": ["*.py"]}, ["d/e/n.txt", "d/e/v/q"], {"excluded-glob": 2}),
        ({"exclude": ["v"]}, ["m.py", "d/e/n.txt"], {"excluded-glob": 1}),
        ({"exclude": ["n.txt/"]}, ["m.py", "d/e/n.txt", "d/e/v/p.py", "d/e/v/q"], {}),
        ({"exclude": ["d/e/v"]}, ["m.py", "d/e/n.txt"], {"excluded-glob": 1}),
        ({"exclude": ["./d/e/v/"]}, ["m.py", "d/e/n.txt"], {"excluded-glob": 1}),
        ({"exclude": [".//d/./e//v//"]}, ["m.py", "d/e/n.txt"], {"excluded-glob": 1}),
        ({"exclude": ["d//e//n.txt/"]}, ["m.py", "d/e/n.txt", "d/e/v/p.py", "d/e/v/q"], {}),
        ({"exclude": ["//m.py"]}, ["d/e/n.txt", "d/e/v/p.py", "d/e/v/q"], {"excluded-glob": 1}),
        ({"exclude": ["d/**/p.*"]}, ["m.py", "d/e/n.txt", "d/e/v/q"], {"excluded-glob": 1}),
        ({"exclude": ["!m.py", "#x"]}, ["m.py", "d/e/n.txt", "d/e/v/p.py", "d/e/v/q"], {}),
        ({"include": ["*.py"]}, ["m.py", "d/e/v/p.py"], {"not-included": 2}),
        ({"include": ["v/"]}, ["d/e/v/p.py", "d/e/v/q"], {"not-included": 2}),
        (
            {"include": ["*.py"], "exclude": ["/m.py"]},
            ["d/e/v/p.py"],
            {"not-included": 2, "excluded-glob": 1},
        ),
        ({"max_file_size": 0}, [], {"too-large": 4}),
        ({"max_file_size": 1}, ["m.py", "d/e/n.txt", "d/e/v/p.py", "d/e/v/q"], {}),
    ],
)
def test_what_globs_and_size_leave_out_is_counted(
    here: Path, options: dict[str, object], expected: list[str], skipped: dict[str, int]
) -> None:
    """Each entry left out on purpose is counted under its reason."""
    make(here, "m.py", "d/e/n.txt", "d/e/v/p.py", "d/e/v/q")
    stats = WalkStats()
    assert shown(walk(["."], WalkOptions(**options), stats=stats)) == expected  # type: ignore[arg-type]
    assert stats.skipped == skipped
    assert stats.files == stats.bytes == len(expected)


@pytest.mark.parametrize("argument", ["d", "d/e", "d/e/v", "."])
@pytest.mark.parametrize("pattern", ["d/e/v/p.py", "/d/e/v/p.py", "d/*/v/p*", "d/e/v/p**"])
def test_a_glob_with_a_slash_counts_from_the_working_directory_too(
    here: Path, argument: str, pattern: str
) -> None:
    """The same exclude glob works whatever directory above its match is the argument."""
    make(here, "d/e/v/p.py", "d/e/v/q")
    assert shown(walk([argument], WalkOptions(exclude=[pattern]))) == ["d/e/v/q"]
    assert shown(walk(["d/e/v/p.py", "d/e/v/q"], WalkOptions(exclude=[pattern]))) == ["d/e/v/q"]
    assert shown(walk([argument], WalkOptions(include=[pattern]))) == ["d/e/v/p.py"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"exclude": ["vendor"]}, ["src/y.c", "src/sub/y.c"]),
        ({"exclude": ["vendor/"]}, ["src/y.c", "src/sub/y.c"]),
        ({"exclude": ["src/sub"]}, ["src/y.c", "vendor/x.c"]),
        ({"exclude": ["/src/*/"]}, ["src/y.c", "vendor/x.c"]),
        ({"exclude": ["sub/y.c"]}, ["src/y.c", "src/sub/y.c", "vendor/x.c"]),
        ({"include": ["src"]}, ["src/y.c", "src/sub/y.c"]),
        ({"include": ["src/"], "exclude": ["sub"]}, ["src/y.c"]),
        ({"include": ["s*b"]}, ["src/sub/y.c"]),
        ({"include": ["/sub"]}, []),
        ({"include": ["x.c/"]}, []),
    ],
)
@pytest.mark.parametrize("before", ["", "./", "src/../", "{here}/"])
def test_globs_know_the_folders_of_a_file_that_is_named(
    here: Path, options: dict[str, object], expected: list[str], before: str
) -> None:
    """A folder that a glob takes is taken with all that is in it, also where its files come one by
    one.
    """
    make(here, "src/y.c", "src/sub/y.c", "vendor/x.c")
    before = before.format(here=here)
    named = [before + name for name in ("src/y.c", "src/sub/y.c", "vendor/x.c")]
    stats = WalkStats()
    shown_before = before.removeprefix("./")
    assert shown(walk(named, WalkOptions(**options), stats=stats)) == [
        shown_before + e for e in expected
    ]  # type: ignore[arg-type]
    assert sum(stats.skipped.values()) == 3 - len(expected)


def test_globs_know_the_folders_above_a_folder_that_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those in the working directory; what leads there or elsewhere tells where things were put,
    not what they are.
    """
    make(here, "build/src/sub/f", "build/vendor/lib/g")
    monkeypatch.chdir("build")
    for top in ("", f"{here}/build/"):
        assert shown(walk([f"{top}vendor/lib"], WalkOptions(exclude=["vendor"]))) == []
        assert shown(walk([f"{top}src/sub"], WalkOptions(include=["src"]))) == [f"{top}src/sub/f"]
        assert shown(
            walk([f"{top}src/sub", f"{top}src/sub/f"], WalkOptions(exclude=["build"]))
        ) == [f"{top}src/sub/f"]
        assert shown(walk([f"{top}src"], WalkOptions(exclude=["src/sub"]))) == []
        assert shown(walk([f"{top}src"], WalkOptions(exclude=[f"{here}/build/src/sub"]))) == (
            [] if top else ["src/sub/f"]
        )
    monkeypatch.chdir("vendor")
    for top in ("../", f"{here}/build/"):
        assert shown(walk([f"{top}src/sub"], WalkOptions(exclude=["src", "build"]))) == [
            f"{top}src/sub/f"
        ]
        assert shown(walk([f"{top}src/sub/f"], WalkOptions(exclude=["src"]))) == []


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
