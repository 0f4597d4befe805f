"""Folders that are listed ahead, by processes of their own: the walk gives what it would alone."""

from __future__ import annotations

import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vyre_dist.own_files import SUFFIX
from vyre_dist.runs import folder_listers
from vyre_dist.runs.folder_listers import FolderListers
from vyre_dist.runs.walk_process import Item, WalkProcess
from vyre_dist.sources import FolderFiles, WalkOptions, WalkStats, tree, walk_folders
from vyre_dist.sources.listings import PlainFolder, plain_folder

OPTIONS = [
    WalkOptions(),
    WalkOptions(respect_gitignore=False, git_dir=True),
    WalkOptions(hidden=False),
    WalkOptions(follow_symlinks=True),
    WalkOptions(exclude=("*.b",)),
    WalkOptions(include=("sub/",)),
    WalkOptions(max_file_size=2),
]
NAMES = st.sampled_from(
    ["a", "b.b", "sub", ".hidden", ".git", ".gitignore", "x!y", "é", os.fsdecode(b"\xff"), "z%25"]
)
KINDS = st.sampled_from(["file", "file", "file", "link", "fifo", "empty"])
TREES = st.recursive(KINDS, lambda inner: st.dictionaries(NAMES, inner, max_size=5), max_leaves=14)


def make(path: Path, what: object) -> None:
    """A tree: by name what is there, or a kind."""
    if isinstance(what, dict):
        path.mkdir()
        for name, inner in what.items():
            make(path / name, inner)
    elif what == "link":
        path.symlink_to("..")
    elif what == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(b"b.b\n" if what == "file" else b"")


def shown(items: Iterator[Item], stats: WalkStats) -> tuple[list[object], WalkStats]:
    """Folders' files one by one, and all else; what was counted."""
    found: list[object] = []
    for item in items:
        if isinstance(item, FolderFiles):
            opened = item.prefix if item.open_prefix is None else item.open_prefix
            found += [(item.prefix + name, opened + name) for name in item.names]
        else:
            found.append(item)
    return found, stats


class Inline:
    """Lists ahead in this process."""

    def __init__(self) -> None:
        self.asked: dict[str, PlainFolder | None] = {}
        self.told = Counter[bool]()

    def wants_more(self) -> bool:
        return len(self.asked) < 2

    def want(self, locations: Sequence[str]) -> None:
        for each in locations[: 2 - len(self.asked)]:
            self.asked.setdefault(each, plain_folder(os.fsencode(each), frozenset()))

    def of(self, location: str) -> PlainFolder | None:
        found = self.asked.pop(location, None)
        self.told[found is not None] += 1
        return found


@settings(max_examples=30, deadline=None)
@given(what=st.dictionaries(NAMES, TREES, max_size=6), options=st.sampled_from(OPTIONS))
def test_a_walk_gives_the_same_with_listings(what: dict[str, object], options: WalkOptions) -> None:
    """Whatever is in the folders, and whatever is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        make(root, what)
        walks = []
        for listings in (None, Inline()):
            stats = WalkStats()
            items = walk_folders([str(root)], options, stats=stats, listings=listings)
            walks.append(shown(items, stats))
        assert walks[0] == walks[1]


@contextmanager
def walking(paths: list[str], own: frozenset[tuple[int, int]] = frozenset()) -> Iterator[object]:
    """(the walk's process, its listers, its items and counts)."""
    stats, listers = WalkStats(), FolderListers(own)
    walk = walk_folders(paths, own_files=own, stats=stats, listings=listers)
    with closing(WalkProcess(walk, stats, listers)) as process:
        yield process, listers, lambda: shown(iter(process), stats)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Some hundred plain folders in others, and two that are not plain."""
    root = tmp_path / "root"
    for number in range(300):
        folder = root / f"{number % 7}" / f"{number:03}"
        folder.mkdir(parents=True)
        for file in range(3):
            (folder / f"{file}").write_bytes(b"x")
    (root / "3" / "003" / "link").symlink_to("nowhere")
    (root / "5" / ".gitignore").write_bytes(b"1\n")
    return root


def alone(paths: list[str]) -> tuple[list[object], WalkStats]:
    """The walk without any listings."""
    stats = WalkStats()
    return shown(walk_folders(paths, stats=stats), stats)


@pytest.mark.parametrize("processors", [8, 64])
def test_several_processes_list_ahead(
    processors: int, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk lists few folders itself; the processes end with it."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(processors))
    itself = folders.parent / "itself"
    walk_folder = tree._walk_folder

    def noted(frame: tree.Frame, *given: object) -> Iterator[object]:
        with itself.open("a") as file:
            file.write(f"{frame.location}\n")
        return walk_folder(frame, *given)  # type: ignore[arg-type]

    expected = alone([str(folders)])
    monkeypatch.setattr(tree, "_walk_folder", noted)
    with walking([str(folders)]) as (process, listers, items):
        pids = [child.pid for child in listers._children]
        assert len(pids) == min(processors // 8, 4)
        assert items() == expected
        # the first, one with a link in it, and what is below an ignore file
        assert len(set(itself.read_text().splitlines())) == 1 + 1 + 1 + 43
        process.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_lister_that_is_gone_leaves_folders_to_the_walk(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which gives the same then."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16))
    expected = alone([str(folders)])

    def killed_by(location: bytes, own_inodes: object) -> PlainFolder | None:
        if location.endswith(b"/050"):
            os.kill(os.getpid(), signal.SIGKILL)
        return plain_folder(location, own_inodes)  # type: ignore[arg-type]

    monkeypatch.setattr(folder_listers, "plain_folder", killed_by)
    with walking([str(folders)]) as (_, listers, items):
        assert items() == expected
        codes = [child.process.exitcode for child in listers._children]
        assert -signal.SIGKILL in codes


def test_without_processes_the_walk_lists_all(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that can't be started both, none is left behind."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16))
    fork: Callable[..., object] = folder_listers.fork

    def short(target: object, name: str, others: object) -> object:
        if name.endswith("1"):
            raise OSError("no more processes")
        return fork(target, name, others)

    monkeypatch.setattr(folder_listers, "fork", short)
    stats, listers = WalkStats(), FolderListers()
    walk = walk_folders([str(folders)], stats=stats, listings=listers)
    with pytest.raises(OSError, match="no more"):
        WalkProcess(walk, stats, listers)
    assert listers._children == [] and get_context("fork").active_children() == []
    assert shown(walk, stats) == alone([str(folders)])


def test_own_files_are_left_out(folders: Path) -> None:
    """Those that are known by their number, and half-written outputs."""
    own = folders / "2" / "002" / "1"
    (folders / "4" / "004" / f"out{SUFFIX}").write_bytes(b"")
    info = own.stat()
    with walking([str(folders)], frozenset([(info.st_dev, info.st_ino)])) as (_, _, items):
        found, stats = items()
    assert stats.skipped["own-file"] == 2
    expected, _ = alone([str(folders)])
    assert found == [each for each in expected if each != (str(own), str(own))]


@pytest.mark.parametrize(
    "name", [".gitignore", ".git", "a!b", "a%21", "own", "link", "fifo", "gone"]
)
def test_what_is_special_is_not_plain(name: str, tmp_path: Path) -> None:
    """A folder with it is left to the walk; one without is not."""
    (tmp_path / "b").mkdir()
    for file in ("z", "é", os.fsdecode(b"\xfe")):
        (tmp_path / file).write_bytes(b"")
    found = plain_folder(os.fsencode(tmp_path), frozenset())
    assert found == PlainFolder(found.files, found.folders)
    assert list(found.files) == ["z", "é", os.fsdecode(b"\xfe")] and list(found.folders) == ["b"]
    own = frozenset([(tmp_path / "z").stat().st_ino])
    assert plain_folder(os.fsencode(tmp_path), own) is None
    place = tmp_path
    match name:
        case "link":
            (tmp_path / name).symlink_to("z")
        case "fifo":
            os.mkfifo(tmp_path / name)
        case "own":
            (tmp_path / f"a{SUFFIX}").write_bytes(b"")
        case "gone":
            place = tmp_path / name
        case _:
            (tmp_path / name).write_bytes(b"")
    assert plain_folder(os.fsencode(place), frozenset()) is None
