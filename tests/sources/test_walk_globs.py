"""walk(): arguments that are globs, and the globs of include and exclude."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from documents_in_trees import make, shown

from vyre_dist.sources import (
    InputProblem,
    WalkOptions,
    WalkStats,
    walk,
)

ROOT = Path(__file__).resolve().parents[2]


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
