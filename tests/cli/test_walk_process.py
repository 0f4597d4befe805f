"""Listing in a process of its own gives what listing in the driver does, and ends with the run."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from multiprocessing import Pipe
from pathlib import Path

import pytest

from vyre_dist.input_problem import InputProblem
from vyre_dist.runs import inputs, walk_process
from vyre_dist.runs.folder_listers import FolderListers
from vyre_dist.runs.inputs import ScanInputs
from vyre_dist.runs.options import ScanOptions
from vyre_dist.runs.walk_process import Item, WalkLostError, WalkProcess
from vyre_dist.sources import FolderFiles, WalkOptions, WalkStats, walk_folders


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Folders with names of all kinds, and with what is left out or a problem."""
    for folder in range(30):
        (tmp_path / f"{folder:02}").mkdir()
        for number in range(50):
            (tmp_path / f"{folder:02}" / f"{number}.txt").write_bytes(b"text")
    (tmp_path / os.fsdecode(b"not utf-8 \xff")).write_bytes(b"")
    (tmp_path / "a\nb").write_bytes(b"")
    (tmp_path / "link").symlink_to("00")
    (tmp_path / ".gitignore").write_bytes(b"/03\n7.txt\n")
    (tmp_path / "large").write_bytes(bytes(2000))
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def test_it_lists_what_the_driver_would(tree: Path) -> None:
    """The same items in the same order, and the same counts."""
    options = WalkOptions(max_file_size=1000)
    paths = [str(tree), str(tree / "00" / "1.txt"), str(tree / "none"), str(tree / "05")]
    stats, own = WalkStats(), WalkStats()
    with closing(WalkProcess(walk_folders(paths, options, stats=stats), stats)) as process:
        items = list(process)
    assert items == list(walk_folders(paths, options, stats=own))
    assert stats == own
    assert {FolderFiles, InputProblem} <= set(map(type, items))
    assert own.skipped["gitignored"] and own.skipped["too-large"] and own.skipped["duplicate"]


def test_it_begins_when_it_is_asked(tmp_path: Path) -> None:
    """The run opens its outputs after it has named its inputs."""
    (tmp_path / "early").write_bytes(b"")
    stats = WalkStats()
    with closing(WalkProcess(walk_folders([str(tmp_path)], stats=stats), stats)) as process:
        (tmp_path / "late").write_bytes(b"")
        assert list(process) == [FolderFiles(f"{tmp_path}/", ["early", "late"])]


def endless() -> Iterator[Item]:
    while True:
        yield FolderFiles("", ["name"] * 1000)


def test_it_ends_with_the_run() -> None:
    """However much there is still to be listed."""
    process = WalkProcess(endless(), WalkStats())
    pid = process._child.pid
    assert pid is not None
    assert next(iter(process)) == FolderFiles("", ["name"] * 1000)
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    process.close()


def dying() -> Iterator[Item]:
    yield FolderFiles("", ["name"] * 1000)
    os.kill(os.getpid(), signal.SIGKILL)


def failing() -> Iterator[Item]:
    yield FolderFiles("", ["name"] * 1000)
    raise LookupError("no such thing")


@pytest.mark.parametrize(
    ("walk", "words"),
    [(dying, "not all inputs are known: .*ended by signal 9"), (failing, "LookupError: no such")],
)
def test_its_loss_is_told(walk: object, words: str) -> None:
    """After what it had listed, but for what a killed one had not sent yet."""
    assert callable(walk)
    seen: list[Item] = []
    with (
        closing(WalkProcess(walk(), WalkStats())) as process,
        pytest.raises(WalkLostError, match=words),
    ):
        for item in process:
            seen.append(item)
    assert seen == [FolderFiles("", ["name"] * 1000)][: len(seen) or walk is failing]


def test_it_lists_on_while_nobody_takes_what_it_has_listed() -> None:
    """As much as a pipe holds many times, and not without a bound."""
    ours, theirs = Pipe()
    listed, waits = [0], threading.Event()

    def counting() -> Iterator[Item]:
        for number in range(1_000_000):
            listed[0] = number
            yield FolderFiles("", [f"{number:0250}"] * 1000)
            if number > walk_process._MOST_AHEAD // 4:
                waits.set()

    sender = threading.Thread(target=walk_process._list, args=(counting(), WalkStats(), theirs))
    sender.start()
    ours.send_bytes(b"ready")
    assert waits.wait(60)
    ours.close()
    sender.join(60)
    assert not sender.is_alive()
    assert listed[0] < 8 * walk_process._MOST_AHEAD


def test_a_run_has_it_list_folders(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it pays; not the names of a list, and not where there can be no process."""
    monkeypatch.setattr(inputs, "pays", lambda _: True)
    made: list[WalkProcess] = []

    class Noted(WalkProcess):
        def __init__(self, walk: Iterator[Item], stats: WalkStats, listers: FolderListers) -> None:
            super().__init__(walk, stats, listers)
            made.append(self)

    monkeypatch.setattr(inputs, "WalkProcess", Noted)

    def listed(options: ScanOptions) -> list[Item]:
        with ExitStack() as stack:
            given = ScanInputs(options, WalkStats(), stack, lambda _: None)
            return list(given.items(frozenset()))

    expected = list(walk_folders([str(tree)]))
    options = ScanOptions(packs=(), paths=(str(tree),))
    assert listed(options) == expected
    assert len(made) == 1 and made[0]._child.process is None

    (tree.parent / "list").write_text(f"{tree}\n")
    assert listed(ScanOptions(packs=(), files_from=str(tree.parent / "list"))) == expected
    assert listed(ScanOptions(packs=(), paths=(str(tree),), pool="ray")) == expected
    assert len(made) == 1

    def short(*_: object) -> WalkProcess:
        raise OSError("no more processes")

    monkeypatch.setattr(inputs, "WalkProcess", short)
    assert listed(options) == expected
