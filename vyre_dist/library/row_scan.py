"""RowScan: scans the many small documents of a program in arenas, and gives findings by row."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from vyre_dist.engine.finding_rows import report_order
from vyre_dist.engine.reported import Reporter
from vyre_dist.engine.row_paths import NamedRows, NumberedRows, RowPaths
from vyre_dist.engine.tasks import Piece
from vyre_dist.extract.row_arena import MOST_ROW_BYTES, RowArena, stretches, sums_of
from vyre_dist.finding import Finding
from vyre_dist.library.engines import Engines


class RowFinding(NamedTuple):
    """A finding in a row of a table.

    `row`: the row's number, from 0, over all batches. `row_id`: the row's value in the id column;
    None where there is none.
    """

    row: int
    row_id: str | bytes | int | None
    finding: Finding


class RowScan:
    """What Scanner does with rows.

    `shard_bytes`: larger documents are split. `shown`: how a finding is given. `scan_document`:
    gives those of a document.
    """

    def __init__(
        self,
        engines: Engines,
        reporter: Reporter,
        shard_bytes: int,
        shown: Callable[[Finding], Finding],
        scan_document: Callable[[Piece], list[Finding]],
    ) -> None:
        self._engines = engines
        self._reporter = reporter
        self.most_bytes = min(MOST_ROW_BYTES, shard_bytes)
        self._shown = shown
        self._scan_document = scan_document

    def in_rows(
        self, rows: Sequence[bytes], paths: NamedRows | NumberedRows
    ) -> Iterator[tuple[int, Finding]]:
        """(row, finding) of all `rows`, in order."""
        sums = sums_of(map(len, rows))
        for low, high in stretches(sums, self.most_bytes):
            part, own = rows[low:high], paths.part(low, high)
            if len(part) == 1 and len(part[0]) > self.most_bytes:
                found = self.in_document(part[0], own.of(0))
            elif len(part) == len(rows):
                found = self.in_arena(RowArena.of(rows, sums), own)
            else:
                found = self.in_arena(RowArena.of(part), own)
            for row, finding in found:
                yield low + row, finding

    def in_document(self, content: bytes, path: str) -> Iterator[tuple[int, Finding]]:
        """(0, finding) of a row that is too large for an arena."""
        piece = Piece(0, path, len(content), 0, len(content), inline=content)
        for finding in self._scan_document(piece):
            yield 0, finding

    def in_arena(self, arena: RowArena, paths: RowPaths) -> Iterator[tuple[int, Finding]]:
        """(row, finding) of the arena's rows, in order."""
        engine = self._engines.borrow()
        try:
            found = engine.rows.scan(arena, paths)
        finally:
            self._engines.give_back(engine)
        found.sort(key=report_order)
        for row, finding in self._reporter.findings(found, paths.of):
            yield row, self._shown(finding)


def lists_for(rows: Sequence[object]) -> list[list[Finding]]:
    """An empty list for each row.

    The collector would look at each of them seven times while a million are made, for a third of
    the time that the rows take. So it waits until these are there.
    """
    if not gc.isenabled():
        return [[] for _ in rows]
    gc.disable()
    try:
        return [[] for _ in rows]
    finally:
        gc.enable()
