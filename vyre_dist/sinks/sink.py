"""Sink: what every output format implements. The formats are declared in formats.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vyre_dist.finding import Finding
from vyre_dist.sinks.summary import RunSummary


class Sink(Protocol):
    """Where findings go. Nothing may be called after `close` or `abort`. All may raise OSError."""

    def write(self, findings: Sequence[Finding]) -> None:
        """Take the findings, in the order given."""

    def close(self, summary: RunSummary) -> None:
        """Finish with the run's summary; a file appears at its destination now."""

    def abort(self) -> None:
        """Finish without a result; a file destination keeps what it had."""
