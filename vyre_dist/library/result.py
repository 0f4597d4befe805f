"""What a scan of paths comes to: the findings, and what else there is to know."""

from __future__ import annotations

from dataclasses import dataclass, field

from vyre_dist.dispatch.report import MergedReport
from vyre_dist.finding import Finding
from vyre_dist.input_problem import InputNote, InputProblem
from vyre_dist.metrics import Metrics


@dataclass(slots=True)
class ScanTotals(Metrics):
    """What a scan has come to so far: the metrics, and what else is counted.

    `problems`: inputs that could not be scanned to their end. `notes`: remarks about inputs that
    were, such as a file that grew. `skipped`: how many documents no rule applies to, by their path;
    they were not read. `left_out`: how many entries the walk passed over, by reason. `ended`:
    nothing more comes. `cancelled`: the scan was ended before it was through.
    """

    problems: list[InputProblem] = field(default_factory=list)
    notes: list[InputNote] = field(default_factory=list)
    skipped: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    ended: bool = False
    cancelled: bool = False

    @property
    def report(self) -> MergedReport:
        """The counter tails of all dispatches, added up."""
        return MergedReport(self.committed, self.rolled_back, self.fused)

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for has been scanned."""
        return self.ended and not self.cancelled and not self.problems


class ScanResult(list[Finding]):
    """The findings of a scan, with its totals: `result.problems` is `result.totals.problems`."""

    def __init__(self, totals: ScanTotals) -> None:
        super().__init__()
        self.totals = totals

    @property
    def problems(self) -> list[InputProblem]:
        """Inputs that could not be scanned to their end."""
        return self.totals.problems

    @property
    def notes(self) -> list[InputNote]:
        """What is worth a word about inputs that were scanned."""
        return self.totals.notes

    @property
    def documents(self) -> int:
        """How many documents were scanned."""
        return self.totals.documents

    @property
    def bytes(self) -> int:
        """How many bytes were scanned."""
        return self.totals.bytes

    @property
    def skipped(self) -> int:
        """How many documents no rule applies to, by their path."""
        return self.totals.skipped

    @property
    def capped(self) -> int:
        """How many matches are longer than `max_match_bytes`."""
        return self.totals.capped

    @property
    def report(self) -> MergedReport:
        """The counter tails of all dispatches, added up."""
        return self.totals.report

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for has been scanned."""
        return self.totals.complete
