"""What cannot be listed, entered or told apart: each is a problem in the walk's stream, and nothing
else is lost by it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from privileges import without_privileges

from vyre_dist.sources import DocumentRef, WalkOptions, WalkStats, walk


def shown(items: object) -> list[str]:
    return [i.path if isinstance(i, DocumentRef) else f"{i.reason}:{i.path}" for i in items]  # type: ignore[attr-defined]


@pytest.fixture
def modes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[dict[str, int]], None]]:
    """The working directory with `open/x.txt`, `open/sub/x.txt` and the same in further folders, of
    the modes given.
    """
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    made: list[Path] = []

    def make(folders: dict[str, int]) -> None:
        for name in ("open", *folders):
            (tmp_path / name / "sub").mkdir(parents=True)
            (tmp_path / name / "x.txt").write_bytes(b"x")
            (tmp_path / name / "sub/x.txt").write_bytes(b"x")
        for name, mode in folders.items():
            (tmp_path / name).chmod(mode)
            made.append(tmp_path / name)

    yield make
    for path in made:
        path.chmod(0o700)


# a mode has to hold for the owner, too, where the tests run without root
CLOSED, ENTERED_ONLY, LISTED_ONLY = 0, 0o111, 0o444


@pytest.mark.parametrize(
    ("mode", "pattern", "expected"),
    [
        (CLOSED, "*/x.txt", ["permission:d/x.txt", "open/x.txt"]),
        (CLOSED, "*/sub/x.txt", ["permission:d/sub", "open/sub/x.txt"]),
        (CLOSED, "*/*/x.txt", ["permission:d", "open/sub/x.txt"]),
        (CLOSED, "*/nothing", ["permission:d/nothing"]),
        (
            CLOSED,
            "**/x.txt",
            ["permission:d/x.txt", "permission:d", "open/x.txt", "open/sub/x.txt"],
        ),
        (ENTERED_ONLY, "*/x.txt", ["d/x.txt", "open/x.txt"]),
        (ENTERED_ONLY, "*/sub/x.txt", ["d/sub/x.txt", "open/sub/x.txt"]),
        (ENTERED_ONLY, "*/*/x.txt", ["permission:d", "open/sub/x.txt"]),
        (LISTED_ONLY, "*/x.txt", ["permission:d/x.txt", "open/x.txt"]),
        (LISTED_ONLY, "*/*.txt", ["permission:d/x.txt", "open/x.txt"]),
        (LISTED_ONLY, "*/*/x.txt", ["permission:d/sub/x.txt", "open/sub/x.txt"]),
        (LISTED_ONLY, "d*/s*/*", ["permission:d/sub"]),
    ],
)
def test_a_glob_lists_what_it_cannot_look_into(
    modes: Callable[[dict[str, int]], None], mode: int, pattern: str, expected: list[str]
) -> None:
    """Where a match may lie behind a directory that can't be listed or entered, that is a problem,
    not "no match".
    """
    modes({"d": mode})
    stats = WalkStats()
    with without_privileges():
        assert shown(walk([pattern], stats=stats)) == expected
    assert stats.problems == sum(e.startswith("permission:") for e in expected)


def test_a_glob_lists_a_link_that_leads_where_nobody_may_look(
    modes: Callable[[dict[str, int]], None],
) -> None:
    """It might be a directory; one that leads nowhere, or through a file, is none."""
    modes({"d": CLOSED})
    for name, target in {
        "link": "d/sub",
        "nowhere": "gone",
        "through": "open/x.txt/sub",
        "loop": "loop",
    }.items():
        Path(name).symlink_to(target)
    with without_privileges():
        assert shown(walk(["l*/*"])) == ["permission:link", "symlink-loop:loop"]
        assert shown(walk(["n*/x.txt"])) == ["not-found:n*/x.txt"]
        assert shown(walk(["t*/x.txt"])) == ["not-found:t*/x.txt"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["d", "d/x.txt"], ["permission:d", "d/x.txt"]),
        (["d/x.txt", "d"], ["d/x.txt", "permission:d"]),
        (["d", "d/x.txt", "d/x.txt", "d/sub"], ["permission:d", "d/x.txt", "d/sub/x.txt"]),
    ],
)
def test_a_directory_that_cannot_be_listed_stands_for_none_of_its_files(
    modes: Callable[[dict[str, int]], None], arguments: list[str], expected: list[str]
) -> None:
    """Its files are scanned where they are named themselves: nobody has met them yet."""
    modes({"d": ENTERED_ONLY})
    stats = WalkStats()
    with without_privileges():
        assert shown(walk(arguments, stats=stats)) == expected
    assert (stats.problems, stats.files) == (1, len(expected) - 1)


class Listing:
    """os.scandir's, of a filesystem that fails after `whole` entries, or tells no kinds: `untold`
    can't be asked for.
    """

    def __init__(self, entries: list[os.DirEntry[str]], whole: int, untold: frozenset[str]) -> None:
        self.entries = entries
        self.whole = whole
        self.untold = untold

    def __enter__(self) -> Listing:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[Entry]:
        for count, entry in enumerate(sorted(self.entries, key=lambda e: e.name)):
            if count == self.whole:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            yield Entry(entry, entry.name in self.untold)


class Entry:
    """An entry whose every question is an lstat, as without d_type."""

    def __init__(self, entry: os.DirEntry[str], untold: bool) -> None:
        self.name, self.path = entry.name, entry.path
        self._entry = entry
        self._untold = untold

    def _ask(self) -> os.DirEntry[str]:
        if self._untold:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), self.path)
        return self._entry

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._ask().is_dir(follow_symlinks=follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self._ask().is_file(follow_symlinks=follow_symlinks)

    def is_symlink(self) -> bool:
        return self._ask().is_symlink()

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return self._ask().stat(follow_symlinks=follow_symlinks)


def fake_listing(
    patch: pytest.MonkeyPatch, top: str, *, whole: int = -1, untold: tuple[str, ...] = ()
) -> None:
    """No filesystem that a test may mount does this: the entries are real, what they answer is
    not.
    """
    real = os.scandir

    def scandir(path: str) -> object:
        if os.path.normpath(path) != top:
            return real(path)
        with real(path) as listing:
            return Listing(list(listing), whole, frozenset(untold))

    patch.setattr(os, "scandir", scandir)


@pytest.mark.parametrize(
    ("arguments", "options", "expected", "skipped"),
    [
        (["d"], {}, ["d/a", "permission:d/b", "d/c", "d/s/f"], {}),
        (["d"], {"max_file_size": 9}, ["d/a", "permission:d/b", "d/c", "d/s/f"], {}),
        (
            ["d", "d/a"],
            {"follow_symlinks": True},
            ["d/a", "permission:d/b", "d/c", "d/s/f"],
            {"duplicate": 1},
        ),
        (["d"], {"exclude": ["b"]}, ["d/a", "d/c", "d/s/f"], {"excluded-glob": 1}),
        (["d*/*/f"], {}, ["permission:d/b", "d/s/f"], {}),
        (["d/**/f"], {}, ["permission:d/b", "d/s/f"], {}),
    ],
)
def test_an_entry_whose_kind_cannot_be_told_is_a_problem(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    options: dict[str, object],
    expected: list[str],
    skipped: dict[str, int],
) -> None:
    """On a filesystem without d_type each entry is asked for; one that does not answer is listed,
    the others come.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d/s").mkdir(parents=True)
    for name in ("a", "b", "c", "s/f"):
        (tmp_path / "d" / name).write_bytes(b"x")
    fake_listing(monkeypatch, "d", untold=("b",))
    stats = WalkStats()
    assert shown(walk(arguments, WalkOptions(**options), stats=stats)) == expected  # type: ignore[arg-type]
    assert stats.skipped == skipped


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["d", "d/a", "d/c"], ["io-error:d", "d/a", "d/c"]),
        (["d", "d/b", "link"], ["io-error:d", "d/a", "d/b"]),
        (["d/a", "d", "d/c"], ["d/a", "io-error:d", "d/c"]),
    ],
)
def test_a_listing_that_breaks_off_stands_for_the_files_it_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: list[str]
) -> None:
    """What came before the error is scanned once; what was left out of it, or came after, when it
    is named.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "d" / name).write_bytes(b"x")
    (tmp_path / "d/.gitignore").write_text("b\n.*\n")
    (tmp_path / "link").symlink_to("d/b")
    fake_listing(monkeypatch, "d", whole=3)  # .gitignore, a, b
    assert shown(walk(arguments)) == expected
