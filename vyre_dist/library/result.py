"""What a scan of paths comes to: the findings, and what else there is to know."""

from __future__ import annotations

from dataclasses import dataclass, field

from vyre_dist.dispatch.report import MergedReport
from vyre_dist.finding import Finding
from vyre_dist.input_problem import InputNote, InputProblem


@dataclass(slots=True)
class ScanTotals:
    """What a scan has come to so far.

    `problems`: inputs that could not be scanned to their end. `notes`: what is worth a word but
    lacks nothing, such as a file that grew. `documents`, `bytes`: what was scanned. `skipped`: how
    many documents no rule applies to, by their path; they were not read. `left_out`: how many
    entries the walk passed over, by reason. `capped`: how many of google-re2's matches are longer
    than `max_match_bytes`; what is reported in their place is what fits, if anything does.
    `report`: commits and rollbacks of the speculative dispatches. `ended`: nothing more comes;
    `cancelled`: because somebody said so.
    """

    problems: list[InputProblem] = field(default_factory=list)
    notes: list[InputNote] = field(default_factory=list)
    documents: int = 0
    bytes: int = 0
    skipped: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    capped: int = 0
    report: MergedReport = field(default_factory=MergedReport)
    ended: bool = False
    cancelled: bool = False

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
