"""Audits of simulated documents: which are chosen, and what google-re2 would say of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from vyre_dist.engine.audit_sample import AuditSample
from vyre_dist.engine.content import Evidence, digest_of
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.tally import Tally
from vyre_dist.engine.tasks import AuditAnswer, AuditCursor, AuditTask, Piece, TaskResult
from vyre_dist.input_problem import AUDIT_DIFFERS, NOT_AUDITED

if TYPE_CHECKING:
    from simulator.corpus import Document


@dataclass(slots=True)
class ExpectedAudits:
    """What all audits must come to. `differing`, `left`: paths of documents with other findings
    than google-re2's, and of those that can't be audited.
    """

    documents: int = 0
    bytes: int = 0
    differing: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """As a scan's totals have them."""
        return {
            "audited": self.documents,
            "audited_bytes": self.bytes,
            "audit_differs": len(self.differing),
            "not_audited": len(self.left),
        }

    def add(self, document: Document) -> None:
        """Count a document that is chosen."""
        if document.audit_deadly:
            self.left.append(document.path)
            return
        self.documents += 1
        self.bytes += document.size
        if document.missed:
            self.differing.append(document.path)


class Auditing:
    """Of one simulation. All of its drivers choose the same documents."""

    def __init__(self, random: Random) -> None:
        """Most worlds have no audits."""
        rate = random.choice([0.0, 0.0, 0.0, 0.4, 1.0])
        self.sample = AuditSample(rate, random.getrandbits(56))
        self._missed = random.choice([0.0, 0.1, 0.5])
        self._deadly = random.choice([0.0, 0.0, 0.04])
        self._long = random.choice([0.0, 0.3])
        self._random = random

    def plant(self, documents: list[Document]) -> None:
        """Have a scan miss a match in some documents, and have some end or hold up an audit."""
        if not self.sample:
            return
        for each in documents:
            each.missed = self._random.random() < self._missed
            each.audit_deadly = self._random.random() < self._deadly
            each.long_audit = self._random.random() < self._long

    def choose(
        self, piece: Piece, document: Document, found: list[FindingRow], result: TaskResult
    ) -> None:
        """`found` is what a scan has found in a document that is done now."""
        if self.sample.has(piece.document):
            tally = Tally()
            for row in found:
                if row.line:
                    tally.add(row)
            result.audits.append(AuditTask(piece, (_evidence(document),), tally))

    def audit(
        self, task: AuditTask, document: Document, rows: list[FindingRow], result: TaskResult
    ) -> None:
        """What a worker answers. `rows`: all that google-re2 finds in the document."""
        if task.evidence != (_evidence(document),):
            result.not_audited = 1
            result.audit = AuditAnswer(None, NOT_AUDITED, "changed: it was written to")
            return
        found, begin = task.cursor.found.copy(), task.cursor.rule
        end = min(begin + 1, len(rows)) if document.long_audit else len(rows)
        for row in rows[begin:end]:
            found.add(row)
        if end < len(rows):
            result.audit = AuditAnswer(AuditCursor(end, found=found))
            return
        result.audited, result.audited_bytes = 1, document.size
        differences = found.differences(task.found)
        result.audit_differs = int(bool(differences))
        detail = f"{len(differences)} differ" if differences else ""
        result.audit = AuditAnswer(None, AUDIT_DIFFERS if differences else "", detail)


def _evidence(document: Document) -> Evidence:
    """It tells a document's versions apart."""
    content = f"{document.path}#{document.version}".encode()
    return Evidence(0, document.size, digest_of(content))
