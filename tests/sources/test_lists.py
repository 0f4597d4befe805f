"""Lists of paths and standard input."""

from __future__ import annotations

import errno
import io
import os
import resource
import signal
import stat
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from vyre_dist.errors import UsageError
from vyre_dist.sources import (
    FileListError,
    SpoolError,
    StdinTooLargeError,
    read_file_list,
    spool_stdin,
    walk,
)
from vyre_dist.sources.lists import MAX_LISTED_PATH


class Dribble(io.RawIOBase):
    """A pipe that hands out a few bytes at a time, and counts what it gave."""

    def __init__(self, data: bytes, step: int) -> None:
        self.data, self.step, self.given = data, step, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self.data[
            self.given : self.given + min(self.step, size if size >= 0 else self.step)
        ]
        self.given += len(piece)
        return piece


class Zeros(io.RawIOBase):
    """`left` bytes that are made as they are read."""

    def __init__(self, left: int) -> None:
        self.left = left

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = bytes(min(size, self.left))
        self.left -= len(piece)
        return piece


@pytest.fixture(params=[0, 1 << 16], ids=["raw", "buffered"])
def slow_pipe(request: pytest.FixtureRequest) -> Iterator[BinaryIO]:
    """A pipe in non-blocking mode that has nothing between its two lines, nor for a while before
    its end.
    """
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    waited = threading.Event()

    def write() -> None:
        with open(writer, "wb", buffering=0) as pipe:
            for line in (b"a\n", b"b\n"):
                waited.wait(0.2)
                pipe.write(line)
            waited.wait(0.2)

    thread = threading.Thread(target=write)
    with open(reader, "rb", buffering=request.param) as stream:
        assert stream.read(1) is None
        thread.start()
        yield stream  # type: ignore[misc]
        waited.set()
        thread.join()
        assert not os.get_blocking(reader)


def test_a_pipe_that_has_nothing_yet_is_not_at_its_end(slow_pipe: BinaryIO, tmp_path: Path) -> None:
    """Standard input in non-blocking mode, as some programs leave it, is waited for, and left in
    that mode.
    """
    with spool_stdin(slow_pipe, str(tmp_path)) as ref:
        assert Path(ref.open_path).read_bytes() == b"a\nb\n"


def test_a_list_that_is_not_there_yet_is_waited_for(slow_pipe: BinaryIO) -> None:
    """A list in non-blocking mode comes whole."""
    assert list(read_file_list("-", slow_pipe)) == ["a", "b"]


@pytest.mark.parametrize("step", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", ["a", "\ufeffb"]),
        (b"\xef\xbb\xbfa\0b", ["\ufeffa", "b"]),
        (b"", []),
        (b"\n\n", []),
        (b"a", ["a"]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\n\nb", ["a", "b"]),
        (b"a b\n # c\n", ["a b", " # c"]),
        (b"a\r\n", ["a\r"]),
        (b"a\0b\nc\0", ["a", "b\nc"]),
        (b"\0", []),
        (b"\xff\n", ["\udcff"]),
        (b"\xc3\xa9\n", ["é"]),
    ],
)
def test_items(data: bytes, expected: list[str], step: int) -> None:
    """Newlines separate, or NUL bytes if there are any, however the pipe cuts the list."""
    assert list(read_file_list("-", Dribble(data, step))) == expected  # type: ignore[arg-type]


def test_long_lists_cross_chunks(tmp_path: Path) -> None:
    """A list of several MiB gives every item."""
    names = [f"dir/{i:07d}" for i in range(300_000)]
    (tmp_path / "list").write_text("\n".join(names))
    assert list(read_file_list(str(tmp_path / "list"))) == names


def test_missing_files_of_a_list_become_problems(tmp_path: Path) -> None:
    """What a list names goes through the walk, so that a missing file is listed."""
    (tmp_path / "here").write_bytes(b"x")
    (tmp_path / "list").write_text(f"{tmp_path}/here\n{tmp_path}/gone\n")
    items = list(walk(read_file_list(str(tmp_path / "list"))))
    assert [type(i).__name__ for i in items] == ["DocumentRef", "InputProblem"]
    assert items[1].reason == "not-found"  # type: ignore[union-attr]


def test_unusable_lists_are_usage_errors(tmp_path: Path) -> None:
    """A list that is missing, a directory, or no list at all says so and names itself."""
    with pytest.raises(FileListError, match="No such file") as caught:
        list(read_file_list(str(tmp_path / "none")))
    assert caught.value.source == str(tmp_path / "none")
    assert isinstance(caught.value, UsageError)
    with pytest.raises(FileListError, match="directory"):
        list(read_file_list(str(tmp_path)))
    with pytest.raises(FileListError, match="not available"):
        list(read_file_list("-"))
    (tmp_path / "blob").write_bytes(b"x" * (3 * MAX_LISTED_PATH))
    with pytest.raises(FileListError, match="is it a list"):
        list(read_file_list(str(tmp_path / "blob")))


def test_a_list_is_opened_before_its_paths_are_asked_for(tmp_path: Path) -> None:
    """Whoever has other paths to scan first knows by then that the list is there; it is closed if
    nothing is read.
    """
    for source in (str(tmp_path / "none"), str(tmp_path), "-", "nul\0byte"):
        with pytest.raises(FileListError):
            read_file_list(source)
    (tmp_path / "list").write_text("a\n")
    paths = read_file_list(str(tmp_path / "list"))
    (tmp_path / "list").unlink()
    assert list(paths) == ["a"]
    (tmp_path / "list").write_text("a\n")
    read_file_list(str(tmp_path / "list"))


def has_no_unnamed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that knows no O_TMPFILE."""
    system_open = os.open

    def refusing(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return system_open(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refusing)


@pytest.mark.parametrize("unnamed", [True, False])
def test_stdin_becomes_a_private_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unnamed: bool
) -> None:
    """It is copied whole; the document shows <stdin> and opens the copy from any directory, and
    from other processes.
    """
    if not unnamed:
        has_no_unnamed_files(monkeypatch)
    data = os.urandom(3_000_001)
    with spool_stdin(Dribble(data, 70_000), str(tmp_path)) as ref:  # type: ignore[arg-type]
        assert os.listdir(tmp_path) == []
        assert (ref.path, ref.kind, ref.size) == ("<stdin>", "stdin", len(data))
        with open(ref.location("/elsewhere"), "rb") as file:
            assert file.read() == data
            assert (ref.mtime_ns, ref.inode) == (
                os.fstat(file.fileno()).st_mtime_ns,
                os.fstat(file.fileno()).st_ino,
            )
        assert os.stat(ref.open_path).st_dev == os.stat(tmp_path).st_dev
        assert stat.S_IMODE(os.stat(ref.open_path).st_mode) == 0o600
        assert (
            subprocess.run(["cat", ref.open_path], capture_output=True, check=True).stdout == data
        )
    assert not os.path.exists(ref.open_path)


def test_stdin_takes_bounded_memory(tmp_path: Path) -> None:
    """Spooling 64 MiB holds a few MiB at most."""
    tracemalloc.start()
    try:
        with spool_stdin(Zeros(64 << 20), str(tmp_path)) as ref:  # type: ignore[arg-type]
            peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ref.size == 64 << 20
    assert peak < 4 << 20


def test_too_much_stdin_leaves_no_file(tmp_path: Path) -> None:
    """Above the limit the copy is removed and the error carries the limit."""
    before = os.listdir("/proc/self/fd")
    with (
        pytest.raises(StdinTooLargeError) as caught,
        spool_stdin(io.BytesIO(b"x" * 101), str(tmp_path), max_bytes=100),
    ):
        pass
    assert caught.value.limit == 100
    assert len(os.listdir("/proc/self/fd")) == len(before)
    with spool_stdin(io.BytesIO(b"x" * 100), str(tmp_path), max_bytes=100) as ref:
        assert ref.size == 100


def test_a_folder_that_cannot_take_stdin_is_named(tmp_path: Path) -> None:
    """A missing folder, one that is a file, and a disk that is full in the middle of it."""
    (tmp_path / "file").touch()
    for folder in (tmp_path / "none", tmp_path / "file"):
        with (
            pytest.raises(SpoolError, match=rf"{folder}.*set TMPDIR"),
            spool_stdin(io.BytesIO(b"x"), str(folder)),
        ):
            pass
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(SpoolError) as caught, spool_stdin(Zeros(3 << 20), str(tmp_path)):  # type: ignore[arg-type]
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert str(tmp_path) in str(
        caught.value
    ) and "File too large (2097152 bytes of it had come)" in str(caught.value)
    assert caught.value.directory == str(tmp_path)


def test_stdin_that_cannot_be_read_is_not_blamed_on_the_folder(tmp_path: Path) -> None:
    """An error of standard input itself is told as one."""
    broken = os.open(tmp_path / "x", os.O_WRONLY | os.O_CREAT)
    with (
        open(broken, "wb", buffering=0) as stream,
        pytest.raises(UsageError, match="<stdin> cannot be read: "),
        spool_stdin(_Broken(stream), str(tmp_path)),  # type: ignore[arg-type]
    ):
        pass


class _Broken:
    """A stream whose descriptor can't be read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        return os.read(self._stream.fileno(), size)
