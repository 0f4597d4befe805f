"""The ignore rules against git itself: the same tree, the same files left."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from long_runs import examples

from vyre_dist.sources import DocumentRef, InputProblem, WalkOptions, WalkStats, walk, wildmatch

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(directory: Path, *arguments: str) -> bytes:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CEILING_DIRECTORIES": str(directory.parent),
    }
    return subprocess.run(
        ["git", *arguments], cwd=directory, env=environment, check=True, capture_output=True
    ).stdout


def lay_out(top: Path, files: Mapping[bytes, bytes]) -> None:
    root = os.fsencode(top)
    for name, content in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


def git_sees(top: Path) -> set[bytes]:
    return {
        n for n in git(top, "ls-files", "-z", "--others", "--exclude-standard").split(b"\0") if n
    }


def we_see(top: Path) -> set[bytes]:
    return seen(walk([top]), top)


def seen(items: Iterable[DocumentRef | InputProblem], top: Path) -> set[bytes]:
    prefix = len(os.fsencode(top)) + 1
    found = set()
    for item in items:
        assert isinstance(item, DocumentRef), item
        found.add(os.fsencode(item.location())[prefix:])
    return found


NAMES = [
    b"a",
    b"b",
    b"foo",
    b"foobar",
    b"a.o",
    b".x",
    b"F",
    b"a b",
    b"a ",
    b"[",
    b"\\",
    b"!a",
    b"#a",
    b"x\ny",
    b"\xff\xfe",
    b"-",
    b"]",
]
TREE = {
    b"/".join(parts): b""
    for parts in [
        *((n,) for n in NAMES),
        *((b"dir", n) for n in NAMES),
        *((b"foo.d", b"bar", n) for n in NAMES),
        *((b"dir", b"dir", b"bar", n) for n in (b"a", b"foo", b"a.o", b"bar")),
        (b"deep", b"a", b"b", b"c", b"foo"),
        (b"deep", b"b", b"bar"),
        (b"fooX", b"bar"),
        (b"foobarbaz", b"x", b"bar"),
        (b"\xc3\xa9", b"\xc3\xa9.txt"),
    ]
}

TABLE: list[dict[bytes, bytes]] = [
    {b".gitignore": text}
    for text in [
        b"",
        b"*",
        b"*\n!*.o\n",
        b"*\n!*/\n!foo\n",
        b"/*\n!/dir/\n",
        b"/*\n!/dir\n/dir/*\n!/dir/a.o\n",
        b"*.o",
        b"*.o\r\nfoo\r\n",
        b"\xef\xbb\xbffoo\n",
        b"foo\\ \na\\ \n",
        b"a   \n",
        b"a\t\n",
        b"\\#a\n\\!a\n",
        b"#a\n",
        b"!a\na\n!a\n",
        b"dir/\n",
        b"/dir/\n",
        b"dir/*\n!dir/dir/\n",
        b"foo/\n",
        b"**/bar\n",
        b"**/bar/\n",
        b"dir/**\n",
        b"dir/**/a\n",
        b"**/dir/**/a\n",
        b"/**/a\n",
        b"dir/**/**/a\n",
        b"dir/***/a\n",
        b"**\n",
        b"/**\n!a\n",
        b"**/\n",
        b"*/\n",
        b"foo**/bar\n",
        b"foo**bar\n",
        b"/foo**\n",
        b"dir/foo**\n",
        b"/f**/a\n",
        b"dir**/bar/a\n",
        b"deep/*/foo\n",
        b"deep/*/*/*/foo\n",
        b"deep/**\n!deep/**/\n!foo\n",
        b"[a-b]\n",
        b"[!a-b]\n",
        b"[^a-b]\n",
        b"[]a]\n",
        b"[!]a]\n",
        b"[[:alpha:]]\n",
        b"[[:nope:]]\n",
        b"[[:alpha:]\n",
        b"[[:]\n",
        b"[a\n",
        b"[\\]]\n",
        b"[z-a]\n",
        b"[a-]\n[--]\n",
        b"[[-]]\n",
        b"dir[/]a\n",
        b"dir/[/a]\n",
        b"dir\\/a\n",
        b"**\\/a\n",
        b"\\\\\n",
        b"\\\n",
        b"a\\\n",
        b"?\n",
        b"???\n",
        b"f?o\n",
        b"f*b*r\n",
        b"/\n//\n!\n!/\n",
        b"//a\n/dir//a\n",
        b"dir//\n",
        b"x\\\ny\n",
        b"x?y\n",
        b"\xff\xfe\n",
        b"\xff?\n",
        b"\xc3\xa9/*.txt\n",
        b"??/??.txt\n",
        b"a\0foo\nfoo\0\n",
        b"bar/a\n",
        b"*/bar/a\n",
        b"*/*\n!*/a\n",
        b".*\n!.gitignore\n",
    ]
] + [
    {b".gitignore": b"*.o\nfoo\n", b"dir/.gitignore": b"!*.o\n"},
    {b".gitignore": b"dir/\n", b"dir/.gitignore": b"!a\n"},
    {b".gitignore": b"!a\n", b"dir/.gitignore": b"/a\nbar/\n", b"dir/dir/.gitignore": b"!bar\n"},
    {
        b".gitignore": b"foo.d/**/a\n",
        b"foo.d/.gitignore": b"!/bar/a\n",
        b"foo.d/bar/.gitignore": b"*\n!.gitignore\n!b\n",
    },
    {b".git/info/exclude": b"*.o\n/dir/\n"},
    {b".git/info/exclude": b"*.o\nfoo\n", b".gitignore": b"!foo\n"},
    {b".git/info/exclude": b"/dir/dir/\n!b\n", b"dir/.gitignore": b"!dir\nb\n"},
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("repo")
    git(top, "init", "-q")
    lay_out(top, TREE)
    return top


def agree(top: Path, ignore_files: Mapping[bytes, bytes]) -> None:
    lay_out(top, ignore_files)
    try:
        assert we_see(top) == git_sees(top)
    finally:
        for name in ignore_files:
            os.unlink(os.path.join(os.fsencode(top), name))


@pytest.mark.parametrize("ignore_files", TABLE, ids=repr)
def test_same_files_as_git(repository: Path, ignore_files: dict[bytes, bytes]) -> None:
    """Every kind of line, alone and in nested files, leaves the files that git leaves."""
    agree(repository, ignore_files)


ATOM = st.sampled_from(
    [
        *(
            b"a",
            b"b",
            b"o",
            b"x",
            b"foo",
            b"bar",
            b"dir",
            b"deep",
            b".",
            b"-",
            b" ",
            b"#",
            b"!",
            b"\xff",
        ),
        *(
            b"*",
            b"**",
            b"?",
            b"/",
            b"/",
            b"\\",
            b"[",
            b"]",
            b"[ab]",
            b"[!a]",
            b"[a-",
            b"[[:alnum:]]",
        ),
    ]
)
LINE = st.lists(ATOM, min_size=1, max_size=6).map(b"".join)
TEXT = st.lists(LINE, min_size=1, max_size=4).map(b"\n".join)
PLACES = st.sampled_from(
    [
        b".gitignore",
        b"dir/.gitignore",
        b"foo.d/bar/.gitignore",
        b"deep/.gitignore",
        b".git/info/exclude",
    ]
)


@settings(
    max_examples=examples(400),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.dictionaries(PLACES, TEXT, min_size=1, max_size=3))
def test_random_patterns_agree_with_git(repository: Path, ignore_files: dict[bytes, bytes]) -> None:
    """Random lines in random places leave the files that git leaves."""
    agree(repository, ignore_files)


def test_rules_above_the_argument_count(repository: Path) -> None:
    """Walking a subdirectory gives what walking the whole repository gives there."""
    ignore = {b".gitignore": b"*.o\n/dir/dir/bar/foo\n", b"dir/.gitignore": b"!a.o\n/dir/**/foo\n"}
    lay_out(repository, ignore)
    try:
        for below in (b"dir", b"dir/dir", b"dir/dir/bar"):
            whole = {n for n in git_sees(repository) if n.startswith(below + b"/")}
            part = seen(walk([os.path.join(os.fsencode(repository), below)]), repository)
            assert part == whole
            assert whole
    finally:
        for name in ignore:
            os.unlink(os.path.join(os.fsencode(repository), name))


def test_nested_repository_starts_afresh(tmp_path: Path) -> None:
    """The outer repository's rules end where an inner one begins, whose own exclude file counts."""
    git(tmp_path, "init", "-q")
    lay_out(
        tmp_path,
        {b".gitignore": b"*.log\n", b"inner/x.log": b"", b"inner/y.tmp": b"", b"x.log": b""},
    )
    git(tmp_path / "inner", "init", "-q")
    lay_out(tmp_path, {b"inner/.git/info/exclude": b"*.tmp\n"})
    assert we_see(tmp_path) == {b".gitignore", b"inner/x.log"}


def test_linked_work_tree_reads_the_common_exclude_file(tmp_path: Path) -> None:
    """In a linked work tree `.git` is a file; the exclude file is the main repository's."""
    main, linked = tmp_path / "main", tmp_path / "linked"
    main.mkdir()
    git(main, "init", "-q")
    git(main, "-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "--allow-empty", "-m", "m")
    git(main, "worktree", "add", "-q", str(linked))
    lay_out(main, {b".git/info/exclude": b"*.tmp\n"})
    lay_out(linked, {b"a.tmp": b"", b"b": b""})
    assert we_see(linked) - {b".git"} == git_sees(linked) == {b"b"}


def test_symlinked_ignore_file_is_not_followed(tmp_path: Path) -> None:
    """A .gitignore that is a symbolic link does not count, as in git."""
    git(tmp_path, "init", "-q")
    lay_out(tmp_path, {b"rules": b"secret\n", b"secret": b""})
    os.symlink("rules", tmp_path / ".gitignore")
    assert we_see(tmp_path) == {b"rules", b"secret"} == git_sees(tmp_path) - {b".gitignore"}


def test_outside_a_repository_ignore_files_count_from_the_argument_down(tmp_path: Path) -> None:
    """Without a repository a .gitignore holds for what is below it, unless a repository is asked
    for.
    """
    lay_out(
        tmp_path,
        {
            b".gitignore": b"a\n",
            b"a": b"",
            b"d/a": b"",
            b"d/b": b"",
            b"e/.gitignore": b"*\n",
            b"e/c": b"",
        },
    )
    assert we_see(tmp_path) == {b".gitignore", b"d/b"}
    everything = {b".gitignore", b"a", b"d/a", b"d/b", b"e/.gitignore", b"e/c"}
    assert seen(walk([tmp_path], WalkOptions(require_git=True)), tmp_path) == everything
    assert seen(walk([tmp_path], WalkOptions(respect_gitignore=False)), tmp_path) == everything


def test_an_arguments_own_ignore_file_cannot_hide_all_of_it(tmp_path: Path) -> None:
    """Outside a repository a list that leaves nothing of a named folder is put aside and noted;
    inside one it holds.
    """
    lay_out(tmp_path, {b".gitignore": b"*\n", b"a": b"", b"d/b": b"", b"d/.gitignore": b"b\n"})
    stats = WalkStats()
    found = seen(walk([tmp_path], stats=stats), tmp_path)
    assert found == {b".gitignore", b"a", b"d/.gitignore"}
    assert stats.unused_ignore_files == [str(tmp_path / ".gitignore")]
    git(tmp_path, "init", "-q")
    assert we_see(tmp_path) == set()


def test_explicit_arguments_are_taken_whatever_ignore_files_say(repository: Path) -> None:
    """An ignored file or directory that is named is scanned; what lies in it is judged by its own
    names.
    """
    lay_out(repository, {b".gitignore": b"dir/\n*.o\n"})
    try:
        assert [i.path for i in walk([repository / "a.o"])] == [str(repository / "a.o")]
        inside = {os.path.basename(i.path) for i in walk([repository / "dir"])}
        assert "foo" in inside and "a.o" not in inside
    finally:
        (repository / ".gitignore").unlink()


def test_patterns_beyond_one_regex_all_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ignore file too large for one RE2 program is split, and its first and last lines count."""
    monkeypatch.setattr(wildmatch, "_MAX_MEM", 1 << 20)
    lines = [b"q%d*" % i + b"?" * 230 for i in range(270)]
    assert len(wildmatch.compile_any(wildmatch.translate_name(line) for line in lines)) > 1
    git(tmp_path, "init", "-q")
    names = [b"q%dx" % i + b"z" * 230 for i in (0, 90, 269)]
    lay_out(tmp_path, {b".gitignore": b"\n".join(lines), b"keep": b"", **dict.fromkeys(names, b"")})
    assert we_see(tmp_path) == {b".gitignore", b"keep"} == git_sees(tmp_path)
