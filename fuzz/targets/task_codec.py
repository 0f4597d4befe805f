"""The codec of tasks and results: what is read is written as it was, or is a WireError."""

from __future__ import annotations

import re
from collections.abc import Hashable

from vyre_dist.autotune.choice import Choice
from vyre_dist.engine.finding_blocks import Findings
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.lines import pack_counts
from vyre_dist.engine.task_codec import decode_result, decode_task, encode_result, encode_task
from vyre_dist.engine.tasks import (
    DocumentNote,
    DocumentProblem,
    FolderRun,
    LargeDocument,
    PartResult,
    Piece,
    ScanTask,
    Stamp,
    StitchTask,
    TaskResult,
)
from vyre_dist.engine.wire import WireError


class TaskCodec:
    """The same bytes, as a task and as a result."""

    words = (
        b"\x90", b"\x91", b"\x94", b"\x98", b"\xc0", b"\xc2", b"\xc4\x01a", b"\xa4scan", b"\x81",
        b"\xa6stitch", b"\xcf" + b"\xff" * 8, b"\xcb" + b"\x00" * 8, b"\xdc\xff\xff", b"\x04",
    )  # fmt: skip

    def seeds(self) -> list[bytes]:
        """Tasks and results with everything in them."""
        piece = Piece(7, "a/b", 100, 10, 60, "/x/a/b", Stamp(1, 2, 3))
        part = PartResult(7, 10, 60, pack_counts([3]), b"s" * 8, b"d" * 8, b"k")
        inline = Piece(1, "<stdin>", 3, 0, 3, inline=b"abc")
        run = FolderRun.of(2, "a/", ["b", "c\udcff"], "/x/a/")
        row = FindingRow(1, 2, 3, 4, 5, 6, b"match", b"secret", (b"g", None), 2.5, 7, 8, 9)
        findings = Findings(["a", "b", "c"])
        findings.add("p", [row, row])
        return [
            encode_task(
                ScanTask((piece, inline, run, Piece(9, "c", 5, 0, 5)), Choice.of(threshold_pct=15))
            ),
            encode_task(StitchTask(piece, (part, part))),
            encode_result(TaskResult()),
            encode_result(
                TaskResult(
                    findings=findings,
                    parts=[part],
                    problems=[DocumentProblem(1, "io-error", "x")],
                    notes=[DocumentNote(2, "grew", "")],
                    skipped=[4],
                    large=[LargeDocument(piece, 10)],
                    undone=2,
                    scanned={"cpu": 5},
                )
            ),
        ]

    def check(self, data: bytes) -> Hashable:
        """What was read is written, and reads again as the same bytes; numbers are numbers."""
        return self._task(data), self._result(data)

    def _task(self, data: bytes) -> Hashable:
        try:
            task = decode_task(data)
        except WireError as error:
            return _kind(error)
        again = encode_task(task)
        assert encode_task(decode_task(again)) == again
        return type(task).__name__

    def _result(self, data: bytes) -> Hashable:
        try:
            result = decode_result(data)
        except WireError as error:
            return _kind(error)
        again = encode_result(result)
        assert encode_result(decode_result(again)) == again
        try:
            # a block is looked into when its turn comes
            rows = list(result.findings)
        except WireError as error:
            return _kind(error)
        for row in rows:
            assert isinstance(row.document, int) and isinstance(row.match, bytes), row
        return len(rows), len(result.parts)


def _kind(error: WireError) -> str:
    return re.sub(r"\d+|'[^']*'", "", str(error))[:60]
