"""Files that change while they are scanned in pieces: what was read whole is reported, and only
growth is no problem.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from vyre_dist import EngineConfig, RulePack, Scanner
from vyre_dist.engine import ScanEngine
from vyre_dist.engine.files import FileDocument
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.salvage import salvaged
from vyre_dist.engine.shards import cut
from vyre_dist.engine.tasks import (
    DocumentProblem,
    PartResult,
    Piece,
    ScanTask,
    StitchTask,
    TaskResult,
    piece_of,
)
from vyre_dist.sources import DocumentRef, walk

SHARD = 20
CONTENT = b"xx needle 1234\nyy needle 99\nnothing in here\nneedle 5\n"
PATTERNS = {"r": r"needle (\d+)", "long": "x[^z]*4"}


def engine(shard_bytes: int = SHARD) -> ScanEngine:
    return ScanEngine(RulePack.from_patterns(PATTERNS).data, EngineConfig(shard_bytes=shard_bytes))


def planned(path: Path) -> Piece:
    """The file as the walk lists it."""
    [ref] = [entry for entry in walk([str(path)]) if isinstance(entry, DocumentRef)]
    return piece_of(0, ref)


def old(path: Path, content: bytes = CONTENT) -> Piece:
    """A file whose later writes show, whatever the clock's grain."""
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    return planned(path)


class Found(NamedTuple):
    """What of a row these tests compare."""

    rule: int
    start: int
    end: int
    line: int
    column: int
    match: bytes


def places(rows: list[FindingRow]) -> list[Found]:
    """Rule, place, line, column and match of each row, in order."""
    return sorted(Found(r.rule, r.start, r.end, r.line, r.column, r.match) for r in rows)


def expected(content: bytes) -> list[Found]:
    """The same of `content`, scanned at once."""
    piece = Piece(0, "f", len(content), 0, len(content), inline=content)
    return places(engine(1 << 20).run(ScanTask((piece,))).findings)


def scan(
    piece: Piece, change: Callable[[], object], after: int
) -> tuple[TaskResult, list[PartResult], list[DocumentProblem]]:
    """A scan of the file in pieces, which meets `change` after so many; what joining gave, the
    parts, the problems.
    """
    e = engine()
    problems, parts = [], []
    pieces = cut(piece, SHARD)
    for number, part in enumerate(pieces):
        if number == after:
            change()
        result = e.run(ScanTask((part,)))
        assert not result.findings
        problems += result.problems
        parts += result.parts
    if after == len(pieces):
        change()
    joined = TaskResult()
    if not problems:
        joined = e.run(StitchTask(piece, tuple(parts)))
        problems += joined.problems
    return joined, parts, problems


EACH_MOMENT = pytest.mark.parametrize(
    "after", range(len(cut(Piece(0, "", len(CONTENT), 0, len(CONTENT)), SHARD)) + 1)
)


@EACH_MOMENT
@pytest.mark.parametrize(
    "added", [b"needle 77", b"\n", CONTENT * 40], ids=["match", "newline", "more-than-it-had"]
)
def test_what_is_appended_changes_no_finding(added: bytes, after: int, tmp_path: Path) -> None:
    """A file that grows, at whatever moment, has the findings of the bytes that it had when it was
    planned, and a note.
    """
    path = tmp_path / "f"
    piece = old(path)

    def grow() -> None:
        with path.open("ab") as f:
            f.write(added)

    joined, _, problems = scan(piece, grow, after)
    assert problems == []
    assert places(joined.findings) == expected(CONTENT)
    [(document, reason, detail)] = joined.notes
    assert (document, reason) == (0, "grew")
    assert str(len(CONTENT)) in detail and str(len(CONTENT + added)) in detail
    assert joined.documents == 1


@EACH_MOMENT
def test_a_file_that_is_only_touched_is_what_it_was(after: int, tmp_path: Path) -> None:
    """Another time of change over the same bytes is neither a problem nor a note."""
    path = tmp_path / "f"
    joined, _, problems = scan(old(path), path.touch, after)
    assert (problems, joined.notes) == ([], [])
    assert places(joined.findings) == expected(CONTENT)


def rewrite(path: Path) -> None:
    path.write_bytes(CONTENT.replace(b"needle", b"NEEDLE"))


def rewrite_one_byte(path: Path) -> None:
    with path.open("r+b") as f:
        f.seek(1)
        f.write(b"y")


def rewrite_and_hide_it(path: Path) -> None:
    """As `rsync --inplace --times` and `cp --preserve` may: same file, size and time."""
    rewrite(path)
    os.utime(path, ns=(1, 1))


def copy_truncate_and_grow(path: Path) -> None:
    """What `logrotate` does with copytruncate, and a busy writer after it."""
    with path.open("r+b") as f:
        f.truncate(0)
        f.write(b"another log\n" * 20)


def shrink(path: Path) -> None:
    os.truncate(path, 25)


def replace(path: Path) -> None:
    """By another file with the same time and size, as `mv` does."""
    fresh = path.with_name("fresh")
    fresh.write_bytes(CONTENT.replace(b"needle", b"NEEDLE"))
    os.utime(fresh, ns=(1, 1))
    fresh.replace(path)


def rotate(path: Path) -> None:
    """The name leads to a new, longer file; the old one is still there under another."""
    path.rename(path.with_name("f.1"))
    path.write_bytes(b"another log\n" * 20)


CHANGES = [
    rewrite,
    rewrite_one_byte,
    rewrite_and_hide_it,
    copy_truncate_and_grow,
    shrink,
    replace,
    rotate,
]


@pytest.mark.parametrize("change", CHANGES)
@EACH_MOMENT
def test_what_was_read_whole_before_a_change_is_reported(
    change: Callable[[Path], None], after: int, tmp_path: Path
) -> None:
    """A file that is replaced, cut or rewritten is a problem, beside the findings of the pieces
    that were read.
    """
    path = tmp_path / "f"
    piece = old(path)
    joined, parts, problems = scan(piece, lambda: change(path), after)
    now = path.read_bytes()[: len(CONTENT)]
    if after == 0 and len(now) == len(CONTENT) and change not in (replace, rotate):
        # nobody had read anything of what it was: it is what the first piece met
        assert problems == [] and places(joined.findings) == expected(now)
        return
    assert {reason for _, reason, _ in problems} == {"changed"}
    assert joined.findings == [] and joined.documents == 0
    kept = salvaged(parts)
    # each of the first pieces, in full, as it was
    read = SHARD * after
    wanted = [row for row in expected(CONTENT) if row.end <= read and row.rule == 1]
    assert set(wanted) <= set(places(kept))
    for row in kept:
        assert row.match in (CONTENT[row.start : row.end], now[row.start : row.end])


def test_a_change_while_pieces_are_joined_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write between the first and the last read of joining is noticed, whether or not a match is
    gone by then.
    """
    path = tmp_path / "f"
    for change in (rewrite, rewrite_one_byte, copy_truncate_and_grow):
        piece = old(path)
        e = engine()
        parts = e.run(ScanTask(tuple(cut(piece, SHARD)))).parts
        real = FileDocument.read

        def read(self: FileDocument, start: int, end: int) -> bytes:
            if path.stat().st_mtime_ns == 1:
                change(path)  # noqa: B023
            return real(self, start, end)  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(FileDocument, "read", read)
            result = e.run(StitchTask(piece, tuple(parts)))
        assert [reason for _, reason, _ in result.problems] == ["changed"]
        assert not result.findings


@pytest.mark.parametrize("gap", range(3))
def test_offsets_beyond_a_piece_that_nobody_read_are_exact(gap: int, tmp_path: Path) -> None:
    """Findings of pieces around a gap are where they were found; up to the gap their lines and
    columns are right, too.
    """
    piece = old(tmp_path / "f")
    parts = engine().run(ScanTask(tuple(cut(piece, SHARD)))).parts
    del parts[gap]
    for row in salvaged(parts):
        assert row.match == CONTENT[row.start : row.end]
        if row.start < gap * SHARD:
            before = CONTENT[: row.start]
            assert row.line == before.count(b"\n") + 1
            assert row.column == row.start - before.rfind(b"\n")


def test_a_match_across_two_kept_pieces_is_one(tmp_path: Path) -> None:
    """Where a match reaches into the next piece, what begins inside it there is not reported beside
    it.
    """
    piece = old(tmp_path / "f", b"." * 15 + b"needle 123456 needle 7" + b"." * 30)
    parts = engine().run(ScanTask(tuple(cut(piece, SHARD)))).parts
    assert [row.match for row in salvaged(parts)] == [b"needle 123456", b"needle 7"]


@pytest.mark.parametrize("listed", [b"", b"x", CONTENT[:SHARD]])
def test_a_small_file_that_outgrows_its_shard_is_scanned_in_pieces(
    listed: bytes, tmp_path: Path
) -> None:
    """A file that was small when it was listed comes back to be cut: it is neither read without end
    nor given up.
    """
    path = tmp_path / "f"
    piece = old(path, listed)
    path.write_bytes(CONTENT)
    result = engine().run(ScanTask((piece,)))
    assert (result.problems, result.documents) == ([], 0)
    [(grown, limit)] = result.large
    assert (grown.size, limit) == (len(CONTENT), SHARD)


def test_a_scanner_cuts_what_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's scan finds in a file that outgrew a shard what there is in it."""
    path = tmp_path / "f"
    path.write_bytes(b"x")
    real = ScanEngine.run
    contents = [CONTENT]

    def run(self: ScanEngine, task: ScanTask | StitchTask) -> TaskResult:
        if contents:
            path.write_bytes(contents.pop())
        return real(self, task)

    monkeypatch.setattr(ScanEngine, "run", run)
    result = Scanner(PATTERNS, shard_bytes=SHARD).scan_paths(path)
    assert (result.complete, result.documents) == (True, 1)
    assert sorted((f.start, f.end) for f in result) == sorted(
        (row.start, row.end) for row in expected(CONTENT)
    )


@pytest.mark.parametrize("change", [shrink, replace, rotate, Path.unlink])
def test_a_scanner_reports_what_it_read_before_a_change(
    change: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's scan lists the file as a problem once, beside the findings of the pieces that
    it had read.
    """
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    real = ScanEngine.run
    tasks: list[object] = []

    def run(self: ScanEngine, task: ScanTask | StitchTask) -> TaskResult:
        tasks.append(task)
        if len(tasks) == 2:
            change(path)
        return real(self, task)

    monkeypatch.setattr(ScanEngine, "run", run)
    result = Scanner(PATTERNS, shard_bytes=SHARD).scan_paths(path)
    assert [p.reason for p in result.problems] == [
        "vanished" if change is Path.unlink else "changed"
    ]
    assert [f.match for f in result if f.rule_id == "r"] == [b"needle 1234", b"needle 99"]


def test_a_scanner_notes_what_grew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's result is complete for a file that grew, and says that it did."""
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    real = ScanEngine.run

    def run(self: ScanEngine, task: ScanTask | StitchTask) -> TaskResult:
        with path.open("ab") as f:
            f.write(b"needle 6")
        return real(self, task)

    monkeypatch.setattr(ScanEngine, "run", run)
    result = Scanner(PATTERNS, shard_bytes=SHARD).scan_paths(path)
    assert result.complete and len(result) == len(expected(CONTENT))
    assert [(note.path, note.reason) for note in result.notes] == [(str(path), "grew")]
