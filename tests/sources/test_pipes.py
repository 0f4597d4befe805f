"""Named pipes as documents: read to their end, several at the same time, and never waited for where
nobody named them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from privileges import without_privileges

from vyre_dist import Scanner
from vyre_dist.sources import (
    DocumentRef,
    InputProblem,
    WalkOptions,
    WalkStats,
    pipe_id,
    spool_pipes,
    walk,
)
from vyre_dist.sources.lists import SpoolError

Write = Callable[..., None]


@pytest.fixture
def fifo(here: Path) -> Path:
    os.mkfifo(here / "p")
    return Path("p")


@pytest.fixture
def write() -> Iterator[Write]:
    """write(path, *chunks): another thread opens the pipe and writes them."""
    threads: list[threading.Thread] = []

    def start(path: Path, *chunks: bytes) -> None:
        def run() -> None:
            with path.open("wb", buffering=0) as f:
                for chunk in chunks:
                    f.write(chunk)

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def content(found: object) -> bytes:
    assert isinstance(found, DocumentRef)
    data = Path(found.location()).read_bytes()
    assert len(data) == found.size
    return data


@pytest.mark.parametrize("size", [0, 1, 65536, 3 << 20])
def test_a_pipe_is_read_to_its_end(fifo: Path, tmp_path: Path, write: Write, size: int) -> None:
    """However much comes and in how many pieces, the copy has all of it, and no name."""
    chunks = [os.urandom(size // 3), b"", os.urandom(size - size // 3)]
    write(fifo, *chunks)
    (tmp_path / "spool").mkdir()
    with spool_pipes([str(fifo)], str(tmp_path / "spool")) as pipes:
        assert not list((tmp_path / "spool").iterdir())
        [item] = walk([str(fifo)], pipes=pipes)
        assert content(item) == b"".join(chunks)
        assert item.path == "p"


def test_pipes_that_one_program_writes_to_in_turn(here: Path, tmp_path: Path) -> None:
    """A program that writes to several pipes in turn is not kept waiting by the one that is not
    read yet.
    """
    paths = [here / f"p{i}" for i in range(3)]
    for path in paths:
        os.mkfifo(path)
    block = b"x" * 200_000  # more than a pipe holds

    def run() -> None:
        files = [path.open("wb", buffering=0) for path in reversed(paths)]
        for _ in range(5):
            for file in files:
                file.write(block)
        for file in files:
            file.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    with spool_pipes([str(path) for path in paths], str(tmp_path)) as pipes:
        assert [content(item) for item in walk(map(str, paths), pipes=pipes)] == [block * 5] * 3
    thread.join(20)


def test_a_pipe_that_is_named_twice_is_one_document(
    fifo: Path, tmp_path: Path, write: Write
) -> None:
    """Whichever way the second argument leads there: by a link, by another spelling."""
    Path("link").symlink_to("p")
    write(fifo, b"once")
    stats = WalkStats()
    arguments = ["p", "./p", "link"]
    with spool_pipes(arguments, str(tmp_path)) as pipes:
        [item] = walk(arguments, pipes=pipes, stats=stats)
        assert content(item) == b"once"
    assert stats.skipped == {"duplicate": 2}


@pytest.mark.parametrize("options", [{"exclude": ["p"]}, {"include": ["*.txt"]}])
def test_globs_hold_for_pipes(
    fifo: Path, tmp_path: Path, write: Write, options: dict[str, list[str]]
) -> None:
    """A pipe that is excluded is no document."""
    write(fifo, b"x")
    with spool_pipes(["p"], str(tmp_path)) as pipes:
        assert list(walk(["p"], WalkOptions(**options), pipes=pipes)) == []  # type: ignore[arg-type]


def test_what_nobody_named_is_not_read(fifo: Path, tmp_path: Path) -> None:
    """A pipe in a folder, in a list or under a glob is a problem, and nothing waits for its
    writer.
    """
    for items in (walk(["."]), walk([], names=["p"]), walk(["[p]"])):
        [problem] = items
        assert isinstance(problem, InputProblem) and (problem.path, problem.reason) == ("p", "fifo")
    with spool_pipes(["other"], str(tmp_path)) as pipes:
        assert pipes == {}


def test_a_pipe_that_nobody_writes_to_is_told_once(
    fifo: Path, tmp_path: Path, write: Write
) -> None:
    """Whoever waits is told what for; when a writer comes, it is read as any other."""
    told: list[list[str]] = []

    def waiting(paths: list[str]) -> None:
        told.append(list(paths))
        write(fifo, b"late")

    with spool_pipes(["p"], str(tmp_path), waiting) as pipes:  # type: ignore[arg-type]
        [item] = walk(["p"], pipes=pipes)
        assert content(item) == b"late"
    assert told == [["p"]]


def test_a_pipe_that_may_not_be_read_is_a_problem(fifo: Path, tmp_path: Path) -> None:
    """It is listed like any file that can't be opened."""
    tmp_path.chmod(0o755)
    fifo.chmod(0)
    with without_privileges(), spool_pipes(["p"], str(tmp_path)) as pipes:
        [problem] = walk(["p"], pipes=pipes)
    assert isinstance(problem, InputProblem) and (problem.path, problem.reason) == (
        "p",
        "permission",
    )


def test_a_copy_that_has_no_room_is_an_error(fifo: Path, tmp_path: Path) -> None:
    """Where temporary files can't be made, the message names the pipe, the folder and what to
    do.
    """
    with (
        pytest.raises(SpoolError, match=r"p cannot be kept in '.*/missing': .*set TMPDIR"),
        spool_pipes(["p"], str(tmp_path / "missing")),
    ):
        pass


def test_only_pipes_are_pipes(fifo: Path) -> None:
    """Files, folders, devices, what is not there and what is no name have no pipe's identity."""
    Path("f").write_text("x")
    assert [
        pipe_id(path) is not None for path in ("p", "f", ".", "/dev/null", "missing", "a\0b")
    ] == [
        True,
        *[False] * 5,
    ]


def test_a_scanner_reads_a_pipe(fifo: Path, write: Write) -> None:
    """The library's scan takes a pipe among other paths, also one that is cut into pieces."""
    Path("f").write_text("tok_b")
    write(fifo, b"x" * 100 + b"tok_a")
    result = Scanner({"r": "tok_[a-z]"}, shard_bytes=30).scan_paths(["p", "f"])
    assert [(f.path, f.start, f.match) for f in result] == [
        ("p", 100, b"tok_a"),
        ("f", 0, b"tok_b"),
    ]
    assert result.complete and result.documents == 2
