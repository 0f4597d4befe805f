"""Metrics: the numbers that a scan counts. Each is declared here once, with how it is shown.

To add one, declare a field here and add to it where the work is done: `result.NAME += n` in
engine/worker.py, `counted.NAME += n` in engine/findings.py. Everything else follows from the field:
it travels in results, the driver adds it up, and the human summary, the jsonl summary and the
report show it. The summary's other facts (time, problems, workers) are in sinks/summary.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import NamedTuple


class Shown(NamedTuple):
    """How a metric is shown.

    `record`: its name in the jsonl summary and the report. `one`, `many`: its line in the human
    summary, with `{}` for the number; there is no line for 0.
    """

    record: str
    one: str
    many: str


def _metric(record: str, one: str, many: str) -> int:
    """The field of a metric that starts at 0 and that every summary shows."""
    return field(default=0, metadata={"shown": Shown(record, one, many)})


@dataclass(slots=True)
class Metrics:
    """What has been counted so far. All are sums of Python ints: a cluster's pass 32 bits.

    `documents` and `bytes` were scanned. `matches`: before filters, some left out that a filter
    drops. `capped`: google-re2's matches that are longer than their
    rule's cap. `committed` and `rolled_back`: speculative tiles that kept output, and that kept
    none. `fused` and `serial`: dispatches by path. `audited`: documents that were scanned again by
    the slow oracle, and `audit_differs` those of which it found something else; `not_audited`:
    those that were chosen for it, and could not be. Plain fields have a place of their own in the
    summaries, or none.
    """

    documents: int = 0
    bytes: int = 0
    matches: int = 0
    capped: int = _metric(
        "capped_matches",
        "capped: {} match longer than the rule's cap",
        "capped: {} matches longer than the rule's cap",
    )
    committed: int = 0
    rolled_back: int = 0
    fused: int = 0
    serial: int = 0
    audited: int = _metric(
        "audited_documents",
        "audited: {} document, scanned again with google-re2 alone",
        "audited: {} documents, scanned again with google-re2 alone",
    )
    audited_bytes: int = _metric(
        "audited_bytes", "audited: {} byte in all", "audited: {} bytes in all"
    )
    audit_differs: int = _metric(
        "audit_differences",
        "audited: {} document with other findings than google-re2's",
        "audited: {} documents with other findings than google-re2's",
    )
    not_audited: int = _metric(
        "not_audited",
        "not audited: {} document that was chosen",
        "not audited: {} documents that were chosen",
    )

    def add_metrics(self, other: Metrics) -> None:
        """Add what `other` has counted."""
        for name in METRIC_NAMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def metric_values(self) -> list[int]:
        """All of them, in the order of METRIC_NAMES."""
        return [getattr(self, name) for name in METRIC_NAMES]

    @property
    def commit_rate_pct(self) -> float | None:
        """Committed tiles in percent of the attempted ones; None where none was attempted."""
        attempted = self.committed + self.rolled_back
        return 100.0 * self.committed / attempted if attempted else None

    def metric_lines(self) -> list[str]:
        """The lines of the human summary."""
        numbers = [(shown, getattr(self, name)) for name, shown in _SHOWN.items()]
        return [
            (shown.one if number == 1 else shown.many).format(f"{number:,}")
            for shown, number in numbers
            if number
        ]

    def metric_record(self) -> dict[str, int]:
        """The fields of the jsonl summary and the report."""
        return {shown.record: getattr(self, name) for name, shown in _SHOWN.items()}


METRIC_NAMES = tuple(each.name for each in fields(Metrics))
_SHOWN: dict[str, Shown] = {
    each.name: each.metadata["shown"] for each in fields(Metrics) if each.metadata
}
