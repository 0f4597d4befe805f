"""Files that vanish, change, or are no files any more: each is a problem in the result, and none is
skipped silently.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from privileges import without_privileges

from vyre_dist import EngineConfig, RulePack, Scanner
from vyre_dist.engine import ScanEngine
from vyre_dist.engine.document import BytesDocument, DocumentError
from vyre_dist.engine.files import FileDocument, read_whole
from vyre_dist.engine.read_buffer import ReadBuffer
from vyre_dist.engine.shards import cut
from vyre_dist.engine.tasks import FolderRun, Piece, ScanTask, StitchTask, TaskResult, piece_of
from vyre_dist.kernels.cuda.errors import DeviceMemoryError
from vyre_dist.sources import DocumentRef, walk

CONTENT = b"xx needle 1234\n" * 4


def planned(path: Path) -> Piece:
    """The file as the walk lists it."""
    [ref] = [entry for entry in walk([str(path)]) if isinstance(entry, DocumentRef)]
    return piece_of(0, ref)


def engine(shard_bytes: int = 1 << 20) -> ScanEngine:
    pack = RulePack.from_patterns({"r": r"needle (\d+)", "long": "x[^z]*4"}).data
    return ScanEngine(pack, EngineConfig(shard_bytes=shard_bytes))


def replace_by_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def replace_by_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def remove_parent(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()
    path.parent.write_bytes(b"")


# what happens to a file after it was listed -> the reason in the report
GONE: list[tuple[Callable[[Path], None], str]] = [
    (Path.unlink, "vanished"),
    (remove_parent, "vanished"),
    (lambda path: path.chmod(0), "permission"),
    (replace_by_fifo, "not-a-file"),
    (replace_by_socket, "not-a-file"),
    (replace_by_directory, "not-a-file"),
    (replace_by_device, "not-a-file"),
    (replace_by_loop, "symlink-loop"),
]


@pytest.mark.parametrize("shard_bytes", [1 << 20, 20], ids=["whole", "split"])
@pytest.mark.parametrize(("fault", "reason"), GONE)
def test_what_is_gone_is_a_problem(
    fault: Callable[[Path], None], reason: str, shard_bytes: int, tmp_path: Path
) -> None:
    """A file that can't be read any more is named with its reason; its neighbours are scanned."""
    os.chmod(tmp_path, 0o755)  # noqa: S103 - another user has to get in
    folder = tmp_path / "sub"
    folder.mkdir(mode=0o755)
    path, other = folder / "f", tmp_path / "other"
    path.write_bytes(CONTENT)
    other.write_bytes(CONTENT)
    piece, neighbour = planned(path), planned(other)._replace(document=1)
    fault(path)
    e = engine(shard_bytes)
    # a directory that nobody may enter is as good a reason; pytest's are root's own
    with without_privileges() if reason == "permission" else contextlib.nullcontext():
        result = e.run(ScanTask(tuple(cut(piece, shard_bytes))))
    assert {(document, why) for document, why, _ in result.problems} == {(0, reason)}
    assert all(detail for _, _, detail in result.problems)
    assert not result.findings
    assert not result.parts
    assert result.documents == 0
    assert scan_all(e, neighbour, shard_bytes).documents == 1


def scan_all(e: ScanEngine, piece: Piece, shard_bytes: int) -> TaskResult:
    result = e.run(ScanTask(tuple(cut(piece, shard_bytes))))
    return e.run(StitchTask(piece, tuple(result.parts))) if result.parts else result


def test_a_fifo_with_a_silent_writer_does_not_hang(tmp_path: Path) -> None:
    """Reading never waits for a writer, and nothing is taken from what a writer has sent beyond
    what was planned.
    """
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    piece = planned(path)
    replace_by_fifo(path)
    end = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        for sent in (b"", b"xx needle"):
            os.write(end, sent)
            [(_, reason, _)] = engine().run(ScanTask((piece,))).problems
            assert reason == "not-a-file"
    finally:
        os.close(end)


@pytest.mark.parametrize(
    "content", [b"", b"needle 1", b"needle 1 needle 22" * 9, CONTENT + b"x", CONTENT[:-1]]
)
def test_a_small_file_is_scanned_as_it_is_now(content: bytes, tmp_path: Path) -> None:
    """A file that is read at once may have changed since it was listed: what it holds now is what
    is scanned.
    """
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    piece = planned(path)
    path.write_bytes(content)
    e = engine()
    result = e.run(ScanTask((piece,)))
    assert not result.problems
    assert result.bytes == len(content)
    fresh = e.run(ScanTask((planned(path),)))
    assert result.findings == fresh.findings


def test_proc_files_are_read_whole() -> None:
    """A file that says 0 bytes, as those of /proc do, is read for what it has."""
    path = "/proc/self/status"
    if not os.path.exists(path):
        pytest.skip("no /proc here")
    assert os.stat(path).st_size == 0
    assert b"Name:" in read_whole(path, path, 0, 1 << 20)


def test_scanner_lists_a_problem_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of its pieces fail, a document is listed once, and the result says that it is not
    complete.
    """
    path = tmp_path / "a"
    path.write_bytes(CONTENT)
    (tmp_path / "b").write_bytes(CONTENT)
    scanner = Scanner({"r": "needle"}, shard_bytes=7)
    real = ScanEngine.run

    def run(self: ScanEngine, task: ScanTask | StitchTask) -> TaskResult:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return real(self, task)

    monkeypatch.setattr(ScanEngine, "run", run)
    result = scanner.scan_paths(tmp_path)
    assert [(p.path, p.reason) for p in result.problems] == [(str(path), "vanished")]
    assert not result.complete
    assert result.documents == 1
    assert {f.path for f in result} == {str(tmp_path / "b")}


def test_reads_beyond_the_end_say_where_it_is(tmp_path: Path) -> None:
    """A file that shrinks after it was opened gives an error that says what was planned and what is
    there.
    """
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    with FileDocument(str(path), "shown", len(CONTENT)) as document:
        assert document.read(3, 9) == CONTENT[3:9]
        path.write_bytes(CONTENT[:5])
        with pytest.raises(DocumentError) as caught:
            document.read(0, 20)
    assert (caught.value.path, caught.value.reason) == ("shown", "changed")
    assert "ends at 5" in caught.value.detail


def test_bytes_do_not_change() -> None:
    """A document in memory always verifies."""
    document = BytesDocument(CONTENT, "d")
    document.verify()
    assert document.read(0, len(CONTENT)) is CONTENT
    assert document.read(3, 9) == CONTENT[3:9]


# --- files of folders, whose sizes nobody has looked up


def run_of(*paths: Path) -> FolderRun:
    return FolderRun.of(0, f"{paths[0].parent}/", [path.name for path in paths])


@pytest.mark.parametrize(("fault", "reason"), GONE)
def test_what_is_gone_from_a_folder_is_a_problem(
    fault: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    """A file that was in a folder's listing and can't be read is named with its reason; its
    neighbours are scanned.
    """
    os.chmod(tmp_path, 0o755)  # noqa: S103 - another user has to get in
    folder = tmp_path / "sub"
    folder.mkdir(mode=0o755)
    path, other = folder / "f", tmp_path / "other"
    path.write_bytes(CONTENT)
    other.write_bytes(CONTENT)
    gone, neighbour = run_of(path), run_of(other)._replace(first=1)
    fault(path)
    e = engine()
    # pytest's directories are root's own: as nobody, the neighbour can't be entered either
    with without_privileges() if reason == "permission" else contextlib.nullcontext():
        results = [e.run(ScanTask((gone,) if reason == "permission" else (gone, neighbour)))]
    if reason == "permission":
        results.append(e.run(ScanTask((neighbour,))))
    problems = [problem for result in results for problem in result.problems]
    assert [(document, why) for document, why, _ in problems] == [(0, reason)]
    assert problems[0][2]
    assert sum(result.documents for result in results) == 1
    assert {row.document for result in results for row in result.findings} == {1}


def test_a_folders_fifo_with_a_silent_writer_is_a_problem(tmp_path: Path) -> None:
    """A FIFO that took a file's place is not read, whatever its writer has sent."""
    path = tmp_path / "f"
    os.mkfifo(path)
    end = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        for sent in (b"", b"xx needle"):
            os.write(end, sent)
            [(_, reason, _)] = engine().run(ScanTask((run_of(path),))).problems
            assert reason == "not-a-file"
    finally:
        os.close(end)


@pytest.mark.parametrize("size", [0, 1, 19, 20, 21, 500])
def test_a_folders_file_above_a_shard_is_left_to_be_cut(size: int, tmp_path: Path) -> None:
    """What is larger than a shard comes back as a document with its size, to be scanned in pieces;
    nothing else does.
    """
    path = tmp_path / "f"
    path.write_bytes(b"x" * size)
    result = engine(20).run(ScanTask((run_of(path),)))
    if size <= 20:
        assert (result.large, result.documents, result.bytes) == ([], 1, size)
        return
    info = path.stat()
    whole = Piece(
        0, str(path), size, 0, size, None, (info.st_mtime_ns, info.st_ino, info.st_ctime_ns)
    )
    assert result.large == [(whole, 20)]
    assert (result.documents, result.bytes, result.problems) == (0, 0, [])


def test_a_failed_task_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a task had read when its dispatch failed takes no room from the tasks after it."""
    monkeypatch.setattr(ReadBuffer, "_MOST", 1 << 20)
    e = engine(1 << 20)
    run_fused, run_prefilter = e.backend.run_fused, e.backend.run_prefilter
    files = [tmp_path / f"f{number}" for number in range(2)]
    for file in files:
        file.write_bytes(b"." * ((1 << 19) - 9) + b" needle 1")
    task = ScanTask((run_of(*files),))

    def fail(*_: object) -> None:
        raise DeviceMemoryError(1, 0)

    monkeypatch.setattr(e.backend, "run_fused", fail)
    monkeypatch.setattr(e.backend, "run_prefilter", fail)
    for _ in range(4):
        with pytest.raises(DeviceMemoryError):
            e.run(task)
    monkeypatch.setattr(e.backend, "run_fused", run_fused)
    monkeypatch.setattr(e.backend, "run_prefilter", run_prefilter)
    result = e.run(task)
    assert (len(result.findings), result.bytes, result.problems) == (2, 1 << 20, [])


def test_a_shards_bytes_end_a_task(tmp_path: Path) -> None:
    """A worker that has read a shard's bytes says how many documents it has not begun."""
    paths = []
    for i in range(10):
        paths.append(tmp_path / f"f{i}")
        paths[-1].write_bytes(b"needle 1\n")
    run = run_of(*paths)
    for limit, undone in ((1, 10), (9, 9), (10, 8), (45, 5), (89, 0), (90, 0), (1000, 0)):
        result = engine(limit).run(
            ScanTask(
                (run._replace(names=run.names[:5]), run._replace(first=5, names=run.names[5:]))
            )
        )
        if limit < 9:  # every file is larger than a shard
            assert len(result.large) == 10 and result.undone == 0
        else:
            assert result.undone == undone
            assert result.documents == 10 - undone
            assert [row.document for row in result.findings] == [*range(10 - undone)]
