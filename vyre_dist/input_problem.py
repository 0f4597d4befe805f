"""Inputs that could not be scanned whole, and what else is to be said of an input.

Sources, readers and workers make them; the run's summary lists them.
"""

from __future__ import annotations

from dataclasses import dataclass

AUDIT_DIFFERS = "audit-differs"
"""The reason where a document was scanned, and its audit has found something else."""
NOT_AUDITED = "not-audited"
"""The reason of a note on a document that was chosen for an audit, and could not be audited."""


@dataclass(frozen=True, slots=True)
class InputProblem:
    """An input that was asked for and could not be scanned to its end, or not as it should be.

    `path` is how it is written (document_paths.py). `reason` is a short code, `detail` is for
    people. The sources' codes are in sources/document.py; readers and workers have more.
    """

    path: str
    reason: str
    detail: str = ""

    @property
    def of_audit(self) -> bool:
        """Whether it was scanned to its end, and something else found than should be."""
        return self.reason == AUDIT_DIFFERS

    @property
    def heading(self) -> str:
        """What a line for people about it begins with."""
        return "audit" if self.of_audit else "not scanned"


@dataclass(frozen=True, slots=True)
class InputNote:
    """A remark about an input that was scanned as planned: `grew`. Fields as InputProblem's."""

    path: str
    reason: str
    detail: str = ""
