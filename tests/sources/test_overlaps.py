"""walk() over arguments that overlap: each brings what it would bring alone, and no document comes
twice.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from documents_in_trees import make

from vyre_dist.sources import DocumentRef, InputProblem, WalkOptions, WalkStats, walk


def paths(arguments: list[str], stats: WalkStats | None = None, **options: object) -> list[str]:
    items = walk(arguments, WalkOptions(**options), stats=stats)  # type: ignore[arg-type]
    return [item.path for item in items if isinstance(item, DocumentRef)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`g` with folders whose files its ignore file names, and `g/venv`, which leaves out itself."""
    monkeypatch.chdir(tmp_path)
    for name in ("g/f", "g/sub/a.log", "g/sub/b", "g/sub/deep/c.log", "g/venv/lib/m", "g/whole/w"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "g/.gitignore").write_text("*.log\n.gitignore\n")
    (tmp_path / "g/venv/.gitignore").write_text("*\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "more", "skipped"),
    [
        (["g/sub"], ["g/sub/a.log", "g/sub/deep/c.log"], {"gitignored": 5, "duplicate": 1}),
        (["g/sub/deep"], ["g/sub/deep/c.log"], {"gitignored": 5}),
        (
            ["g/sub", "g/sub/deep"],
            ["g/sub/a.log", "g/sub/deep/c.log"],
            {"gitignored": 5, "duplicate": 2},
        ),
        (
            ["g/sub/a.log", "g/sub"],
            ["g/sub/a.log", "g/sub/deep/c.log"],
            {"gitignored": 5, "duplicate": 1},
        ),
        (["g/venv"], ["g/venv/.gitignore", "g/venv/lib/m"], {"gitignored": 5}),
        (["g/whole"], [], {"gitignored": 5, "duplicate": 1}),
        (["g", "g"], [], {"gitignored": 5, "duplicate": 2}),
    ],
)
def test_a_later_argument_brings_what_an_earlier_one_left_out(
    here: Path, arguments: list[str], more: list[str], skipped: dict[str, int]
) -> None:
    """An ignore file above an argument says nothing of it, also where the folder was met on the way
    down from there.
    """
    stats = WalkStats()
    assert paths(["g", *arguments], stats) == ["g/f", "g/sub/b", "g/whole/w", *more]
    assert stats.skipped == skipped
    assert sorted(paths([*reversed(arguments), "g"])) == sorted(
        ["g/f", "g/sub/b", "g/whole/w", *more]
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"exclude": ["/sub/b"]},
            ["g/f", "g/whole/w", "g/sub/a.log", "g/sub/b", "g/sub/deep/c.log"],
        ),
        ({"include": ["/b"]}, ["g/sub/b"]),
        ({"include": ["g/f", "/deep"]}, ["g/f", "g/sub/deep/c.log"]),
    ],
)
def test_a_glob_that_counts_from_the_argument_is_asked_for_each(
    here: Path, options: dict[str, object], expected: list[str]
) -> None:
    """What a path's glob left out below one argument may be wanted below the next."""
    assert paths(["g", "g/sub"], **options) == expected


def test_a_link_that_leads_to_what_was_met_brings_the_rest_of_it(here: Path) -> None:
    """What was left out behind a link that was passed over counts as left out of the folder that
    the link lies in.
    """
    (here / "t").mkdir()
    (here / "t/link").symlink_to("../g/sub")
    found = paths(["g", "t"], follow_symlinks=True)
    assert found == ["g/f", "g/sub/b", "g/whole/w", "t/link/a.log", "t/link/deep/c.log"]


def make_tree(rng: random.Random) -> list[str]:
    """Folders, files, links to either, ignore files, and perhaps a repository, in the working
    directory: what there is.
    """
    folders, there = ["."], []
    for i in range(rng.randint(1, 5)):
        folders.append(os.path.join(rng.choice(folders), f"d{i}"))
        os.mkdir(folders[-1])
    for i in range(rng.randint(1, 8)):
        there.append(os.path.join(rng.choice(folders), f"f{i}" + rng.choice([".py", ".c", ""])))
        Path(there[-1]).write_bytes(b"x" * rng.choice([1, 100]))
    for i in range(rng.randint(0, 6)):
        target, folder = rng.choice(folders + there), rng.choice(folders)
        there.append(os.path.join(folder, f"l{i}" + rng.choice([".py", ".c", ""])))
        os.symlink(os.path.relpath(target, folder), there[-1])
    for folder in folders:
        if rng.random() < 0.3:
            lines = rng.choices(
                ["f1*", "*.py", "d2", "/d1", "l*", "!f1.py", "*.c", "d3/", "*"], k=rng.randint(1, 2)
            )
            Path(folder, ".gitignore").write_text("\n".join(lines) + "\n")
    if rng.random() < 0.5:
        os.mkdir(".git")
        Path(".git/HEAD").touch()
    return folders + there


@pytest.mark.parametrize("seed", range(8))
def test_arguments_bring_together_what_each_brings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """For random trees, arguments and options: the union of all, each file once."""
    rng = random.Random(seed)
    for i in range(60):
        top = tmp_path / str(i)
        top.mkdir()
        monkeypatch.chdir(top)
        choice = [*make_tree(rng), "*", "**/*.py", "d*/", "*/*"]
        arguments = rng.sample(choice, k=rng.randint(2, 3))
        options: dict[str, object] = {
            "follow_symlinks": rng.random() < 0.6,
            "respect_gitignore": rng.random() < 0.8,
            "max_file_size": 50 if rng.random() < 0.2 else None,
            "exclude": [rng.choice(["*.c", "d1", "f1*", "/d2", "l*/"])]
            if rng.random() < 0.3
            else [],
            "include": [rng.choice(["*.c", "d1", "f1*", "/d2", "l*/"])]
            if rng.random() < 0.3
            else [],
        }
        together = [os.path.realpath(p) for p in paths(arguments, **options)]
        alone = {
            os.path.realpath(p) for argument in arguments for p in paths([argument], **options)
        }
        assert sorted(together) == sorted(alone), (arguments, options)
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(top)


def test_a_folder_named_again_says_its_problems_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was left out of it the first time: the second one would leave out the same."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "g/a", "g/b.o")
    (tmp_path / "g/.gitignore").write_text("*.o\n")
    (tmp_path / "g/dangling").symlink_to("nowhere")
    options = {"follow_symlinks": True}
    once = list(walk(["g"], WalkOptions(**options)))  # type: ignore[arg-type]
    assert [type(item) for item in once].count(InputProblem) == 1
    stats = WalkStats()
    assert list(walk(["g", "./g", "g/"], WalkOptions(**options), stats=stats)) == once  # type: ignore[arg-type]
    assert stats.skipped["duplicate"] == 2
