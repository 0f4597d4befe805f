"""Findings as the bytes of the jsonl format."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import cast

from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.reported import Reporter
from vyre_dist.finding import Finding
from vyre_dist.rules.model import Rule
from vyre_dist.sinks.jsonl import JsonLinesSink
from vyre_dist.sinks.output import Output


class _Memory:
    """See Output."""

    def __init__(self) -> None:
        self.stream = io.BytesIO()

    def commit(self) -> None:
        """See Output."""

    def abort(self) -> None:
        """See Output."""


class Lines:
    """Takes findings, and has their lines."""

    def __init__(self) -> None:
        self._memory = _Memory()
        self._sink = JsonLinesSink(cast(Output, self._memory))

    def write(self, findings: Sequence[Finding]) -> None:
        """Append."""
        self._sink.write(findings)

    def whole(self) -> bytes:
        """All lines so far."""
        return self._memory.stream.getvalue()


def rendered(rules: Sequence[Rule], rows: Iterable[FindingRow], path: str) -> bytes:
    """The lines of one document's findings."""
    found = [finding for _, finding in Reporter(rules).findings(rows, lambda _: path)]
    if not found:
        return b""
    lines = Lines()
    lines.write(found)
    return lines.whole()
