"""How sinks take batches: some rows at a time, or, where there are very many, by columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from vyre_dist.finding import Finding, FindingBatch

MANY_ROWS = 1 << 17
"""After so many rows it pays to import what writes by columns (arrow_text.py)."""
FEW_ROWS = 256
"""A batch with less is written row by row: a column costs some calls, however short it is."""
STEP_ROWS = 1024
"""So many rows are put together at once. Larger texts are given back to the system, and come back
as pages to be cleared, each time: that takes as long as making them.
"""

Columns = Callable[[FindingBatch], memoryview]


class RowsOrColumns:
    """`rows`: a batch's lines one by one. `columns`: gives them all at once, or raises
    NotPlainError where it can't.
    """

    def __init__(self, rows: Callable[[FindingBatch], Iterator[str]], columns: Columns) -> None:
        self._rows = rows
        self._columns = columns
        self._written = 0

    def of(self, findings: Sequence[Finding]) -> Iterator[bytes | memoryview]:
        """The findings' lines."""
        batch = FindingBatch.of(findings)
        self._written += len(batch)
        if self._written > MANY_ROWS and len(batch) >= FEW_ROWS:
            from vyre_dist.sinks.arrow_text import NotPlainError

            try:
                yield self._columns(batch)
                return
            except NotPlainError:
                pass
        for first in range(0, len(batch), STEP_ROWS):
            yield "".join(self._rows(batch.part(first, first + STEP_ROWS))).encode()
