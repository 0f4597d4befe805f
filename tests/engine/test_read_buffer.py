"""ReadBuffer: files around its room and its end, its memory, and files read into a room."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.engine.document import DocumentError
from vyre_dist.engine.files import FileDocument, LargeFile
from vyre_dist.engine.lines import NEWLINE_BLOCK, NewlineSums, pack_counts, unpack_counts
from vyre_dist.engine.open_document import DocumentReader
from vyre_dist.engine.read_buffer import ReadBuffer
from vyre_dist.engine.shards import cut
from vyre_dist.engine.tasks import Piece, piece_of
from vyre_dist.engine.wire import WireError
from vyre_dist.extract import Window
from vyre_dist.extract.file_windows import FileWindows
from vyre_dist.sources import DocumentRef, walk


def planned(path: Path) -> Piece:
    """The file as the walk lists it."""
    [ref] = [entry for entry in walk([str(path)]) if isinstance(entry, DocumentRef)]
    return piece_of(0, ref)


@pytest.mark.parametrize("size", [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_files_around_the_buffers_room_are_read_whole(size: int, tmp_path: Path) -> None:
    """Where a file is too large for the buffer it is read all the same, to its last byte."""
    path = tmp_path / "f"
    data = os.urandom(1000) * (size // 1000) + b"y" * (size % 1000)
    path.write_bytes(data)
    buffer = ReadBuffer(1 << 20, 4 << 20)
    assert bytes(buffer.read(str(path))) == data
    with pytest.raises(LargeFile) as caught:
        ReadBuffer(1 << 20, size - 1).read(str(path))
    assert caught.value.size == size


def test_files_in_the_buffer_do_not_touch_each_other(tmp_path: Path) -> None:
    """What was read stays as it is while more is read, until the buffer is cleared."""
    buffer = ReadBuffer(1 << 20, 1 << 20)
    contents = [bytes([i]) * (i * 37) for i in range(50)]
    views = []
    for i, content in enumerate(contents):
        (tmp_path / f"f{i}").write_bytes(content)
        views.append(buffer.read(str(tmp_path / f"f{i}")))
    assert list(map(bytes, views)) == contents


@given(
    sizes=st.lists(st.integers(0, 90), min_size=1, max_size=20),
    batch_bytes=st.integers(1, 60),
    clears=st.booleans(),
)
def test_files_at_the_buffers_end_are_read_whole(
    sizes: list[int], batch_bytes: int, clears: bool
) -> None:
    """However little room is left, by what was read before and what lies between, even if nobody
    clears it in time.
    """
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patches:
        patches.setattr(ReadBuffer, "_AT_FIRST", 8)
        patches.setattr(ReadBuffer, "_MOST", 32)
        buffer = ReadBuffer(batch_bytes, 90)
        read, kept = 0, []
        for number, size in enumerate(sizes):
            data = bytes([number + 1]) * size
            path = Path(folder, str(number))
            path.write_bytes(data)
            kept.append((data, buffer.read(str(path))))
            read += size
            if clears and read >= batch_bytes:
                assert all(bytes(got) == want for want, got in kept)
                buffer.clear()
                kept.clear()
                read = 0
        assert all(bytes(got) == want for want, got in kept)


def test_the_buffers_memory_is_given_and_shared_out(tmp_path: Path) -> None:
    """It is asked for once, when it is first needed; what lies in it begins at multiples of 16,
    where `place` says.
    """
    given: list[memoryview] = []

    def allocate(size: int) -> memoryview:
        given.append(memoryview(bytearray(size)))
        return given[-1]

    buffer = ReadBuffer(1 << 10, 1 << 20, allocate)
    assert given == []
    (tmp_path / "f").write_bytes(b"seventeen bytes..")
    buffer.read(str(tmp_path / "f"))
    first = buffer.position
    taken = buffer.take(33)
    assert taken is not None
    taken[:] = b"x" * 33
    second = buffer.position
    buffer.read(str(tmp_path / "f"))
    (memory,) = given
    assert (first, second, buffer.position) == (0, 32, 80)
    assert memory[:17] == memory[80:97] == b"seventeen bytes.."
    assert memory[32:65] == b"x" * 33
    half = len(memory) // 2
    assert buffer.take(half - 96) is None
    assert buffer.take(half - 112) is not None
    # the other half is filled while this one is read
    buffer.clear()
    assert buffer.take(half + 1) is None
    assert buffer.take(half) is not None and buffer.position == half
    buffer.restart()
    assert buffer.take(1) is not None and buffer.position == half
    assert memory[:17] == memory[80:97] == b"seventeen bytes.."
    buffer.clear()
    assert buffer.take(1) is not None and buffer.position == 0


@pytest.mark.parametrize(("start", "size"), [(0, 0), (0, 3), (3, 97), (0, 100)])
def test_a_files_bytes_are_read_into_a_room(start: int, size: int, tmp_path: Path) -> None:
    """From anywhere in the file, as many as there is room for."""
    data = os.urandom(100)
    (tmp_path / "f").write_bytes(data)
    room = memoryview(bytearray(size))
    with FileDocument(str(tmp_path / "f"), "f", 100) as document:
        document.read_into(room, start)
    assert room == data[start : start + size]


def test_a_file_that_shrinks_is_not_read_into_a_room(tmp_path: Path) -> None:
    """What is missing is an error with the place, like in a read."""
    path = tmp_path / "f"
    path.write_bytes(b"y" * 100)
    with FileDocument(str(path), "f", 100) as document:
        os.truncate(path, 60)
        with pytest.raises(DocumentError, match="it ends at 60, planned were 100 bytes") as caught:
            document.read_into(memoryview(bytearray(80)), 10)
    assert caught.value.reason == "changed"


def test_newlines_of_blocks_come_back_as_they_went() -> None:
    """Four bytes for each; anything else is an error."""
    counts = [0, 1, 256, 65536]
    assert pack_counts(counts)[4:12] == b"\1\0\0\0\0\1\0\0"
    assert list(unpack_counts(pack_counts(counts))) == counts
    with pytest.raises(WireError, match="5 bytes where newlines belong"):
        unpack_counts(b"12345")


@pytest.mark.parametrize("size", [0, 1, 70_000, (1 << 18) + 1, 600_000])
def test_newlines_are_counted_in_views_too(size: int) -> None:
    """A view has as many as the bytes, block by block."""
    data = (b".\n..\n\n." * size)[:size]
    for low, high in ((0, size), (size // 3, size - size // 5), (min(1, size), size)):
        blocks = range(low, high, NEWLINE_BLOCK)
        counts = [data[at : min(at + NEWLINE_BLOCK, high)].count(b"\n") for at in blocks]
        for text in (data, memoryview(data)):
            sums = NewlineSums.of_window(Window(text, 0, low, high, False))
            assert not sums.asked
            assert [sums.before(at) for at in blocks] == [
                (at, data.count(b"\n", 0, at)) for at in blocks
            ]
            assert list(sums.counts()) == counts


def test_a_folders_proc_file_is_read_whole() -> None:
    """A file that says 0 bytes, and gives its content in small parts, is read for what it has."""
    if not os.path.exists("/proc/self/maps"):
        pytest.skip("no /proc here")
    assert os.stat("/proc/self/maps").st_size == 0
    read = bytes(ReadBuffer(1 << 20, 1 << 20).read("/proc/self/maps"))
    assert len(read) > 4096 and read.endswith(b"\n") and b"[stack]" in read
    with pytest.raises(DocumentError, match="has 0 bytes, and gives more than 100"):
        ReadBuffer(1 << 20, 100).read("/proc/self/maps")


def test_pieces_share_one_memory(tmp_path: Path) -> None:
    """A large file's pieces are read into the same bytes, one after the other; one for which too
    little is left has its own.
    """
    path = tmp_path / "f"
    path.write_bytes(bytes(range(200)))
    reader = DocumentReader(5, 100, 10, None)
    whole = planned(path)
    first, second = cut(whole, 100)
    one = reader.window(first)
    assert isinstance(one.data, memoryview) and one.data == bytes(range(105))
    own = reader.window(second)
    assert own.data == bytes(range(99, 200)) and one.data == bytes(range(105))
    reader.clear()
    again = reader.window(second)
    assert again.data == own.data and isinstance(again.data, memoryview)
    assert again.data.obj is one.data.obj and one.data[:101] == own.data
    assert again.position == -1  # it is no memory of a backend's


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """How often what reads files is called."""
    calls: Counter[str] = Counter()

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any, **named: Any) -> Any:
            calls[name] += 1
            return call(*given, **named)

        return noted

    with pytest.MonkeyPatch.context() as patches:
        for name in ("open", "lseek", "preadv", "readv", "read", "fstat", "close", "closerange"):
            patches.setattr(os, name, counted(name, getattr(os, name)))
        yield calls


@contextmanager
def no_gaps() -> Iterator[None]:
    """With the descriptors below the highest taken: those that are opened follow each other."""
    highest = max(map(int, os.listdir("/proc/self/fd")))
    held = [os.open(os.devnull, os.O_RDONLY)]
    while held[-1] < highest:
        held.append(os.open(os.devnull, os.O_RDONLY))
    os.close(held.pop())
    try:
        yield
    finally:
        for fd in held:
            os.close(fd)


def read_folder(
    folder: Path, names: list[str], *, aligned: bool, room: int = 1 << 30
) -> tuple[list[bytes | str], FileWindows]:
    """The content of each file as one loop reads it, or why it can't be read; and the windows of
    those that were read with others.
    """
    allocate = (lambda size: memoryview(bytearray(size))) if aligned else None
    buffer, windows = ReadBuffer(4 << 20, 1 << 20, allocate), FileWindows()
    read: list[bytes | str] = []
    raw = list(map(os.fsencode, names))
    while len(read) < len(names):
        before = len(windows)
        last = buffer.read_files(f"{folder}/", raw, len(read), len(names), windows, room)
        read += [bytes(window.data) for window in windows[before:]]
        assert len(read) == last
        if len(windows) == before:
            try:
                read.append(bytes(buffer.read(f"{folder}/{names[last]}")))
            except DocumentError as error:
                read.append(error.reason)
    return read, windows


@pytest.mark.parametrize("aligned", [False, True])
def test_a_small_file_takes_three_calls_and_a_share(aligned: bool, tmp_path: Path) -> None:
    """It is opened in its folder, asked for its size and read; those of a folder are closed
    together.
    """
    contents = [bytes([65 + i % 20]) * (1 + 37 * i) for i in range(130)]
    names = [f"f{i}" for i in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        (tmp_path / name).write_bytes(content)
    with no_gaps(), counted_calls() as calls:
        read, windows = read_folder(tmp_path, names, aligned=aligned)
    assert read == contents
    assert len(windows.others) == 0
    assert {start % 16 for start in windows.starts} == ({0} if aligned else set(range(16)))
    assert calls["open"] == 130 + 1
    assert (calls["lseek"], calls["preadv"]) == (130, 130)
    assert calls["closerange"] + calls["close"] <= 3 + 3
    assert calls["read"] + calls["readv"] + calls["fstat"] == 0


def test_descriptors_are_closed_wherever_they_are(tmp_path: Path) -> None:
    """Whatever lies between them stays open, and none of theirs does."""
    names = [f"f{i}" for i in range(70)]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    held = [os.open(tmp_path, os.O_RDONLY) for _ in range(9)]
    others = held[1::2]
    try:
        for fd in held[::2]:
            os.close(fd)
        before = os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else []
        read, _ = read_folder(tmp_path, [*names, "missing", "."], aligned=False)
        assert read == [b"x"] * 70 + ["vanished", "not-a-file"]
        assert (os.listdir("/proc/self/fd") if before else []) == before
        assert all(os.fstat(fd) for fd in others)
    finally:
        for fd in others:
            os.close(fd)


def test_odd_files_among_others_are_told_one_by_one(tmp_path: Path) -> None:
    """What is read with others is what each of them alone is read as; and where many are odd, few
    are opened twice.
    """
    names = []
    for number in range(200):
        path = tmp_path / f"{number:03}"
        names.append(path.name)
        match number % 8:
            case 0:
                path.write_bytes(b"")
            case 1:
                os.mkfifo(path)
            case 2:
                path.mkdir()
            case 3:
                path.symlink_to(path)
            case 4:
                path.symlink_to("/dev/null")
            case 5:
                path.symlink_to("/proc/self/stat")
            case 6:
                path.write_bytes(b"y" * (1 << 20))
            case _:
                path.write_bytes(b"xyz")
    with counted_calls() as calls:
        read, windows = read_folder(tmp_path, [*names, "gone"], aligned=False)
    odd = ["not-a-file", "not-a-file", "symlink-loop", "not-a-file"]
    for at in range(0, 200, 8):
        assert [read[at], *read[at + 1 : at + 5]] == [b"", *odd]
        assert isinstance(read[at + 5], bytes) and read[at + 5].startswith(b"%d (" % os.getpid())
        assert read[at + 6 : at + 8] == [b"y" * (1 << 20), b"xyz"]
    assert read[200] == "vanished"
    assert len(windows) == 25
    assert calls["open"] < 201 * (8 + 2)


@pytest.mark.parametrize("now", [b"", b"x" * 20, b"other bytes, more of them" * 9])
def test_a_file_that_changes_while_others_are_read_is_read_anew(
    now: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size is known, and then it is written to: it is scanned as it is, and so are those that
    lie behind it.
    """
    names = [f"f{i}" for i in range(40)]
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 10)
    preadv, calls = os.preadv, 0

    def changing(fd: int, *given: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 18:
            (tmp_path / "f17").write_bytes(now)
        return preadv(fd, *given)

    monkeypatch.setattr(os, "preadv", changing)
    read, windows = read_folder(tmp_path, names, aligned=True)
    assert read == [now if name == "f17" else name.encode() * 10 for name in names]
    assert len(windows) == 40 - (not now)  # an empty one is told from a device by itself


@pytest.mark.parametrize("prefix", ["", "./", "long"])
def test_files_are_read_whatever_stands_before_their_names(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing, for the working directory; or so much that only a whole path tells if it is too
    long.
    """
    monkeypatch.chdir(tmp_path)
    if prefix == "long":
        for _ in range(16):
            os.mkdir("d" * 239)
            os.chdir("d" * 239)
            prefix = f"{os.getcwd()}/"
        while len(prefix) < 4096 - 200:
            os.mkdir("d" * 20)
            os.chdir("d" * 20)
            prefix = f"{os.getcwd()}/"
    Path("short").write_bytes(b"short")
    Path("n" * 220).write_bytes(b"far")
    buffer, windows = ReadBuffer(1 << 20, 1 << 20), FileWindows()
    names = ["short", "n" * 220]
    far = len(prefix) < 1000
    raw = list(map(os.fsencode, names))
    assert buffer.read_files(prefix, raw, 0, 2, windows, 1 << 20) == 1 + far
    assert [bytes(w.data) for w in windows] == [b"short", b"far"][: 1 + far]
    if not far:
        with pytest.raises(DocumentError) as caught:
            buffer.read(prefix + names[1])
        assert caught.value.reason == "path-too-long"
