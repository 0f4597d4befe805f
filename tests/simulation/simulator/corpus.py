"""The documents of a simulated scan, what workers find in them, and what the whole scan must find.

A document's findings name its path, its version and their number, so that each one is known by
sight. What comes of pieces names them, too, and a join checks that it has all of them, once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from simulator.auditing import Auditing, ExpectedAudits
from simulator.rendered import rendered
from vyre_dist.engine.finding_blocks import Findings
from vyre_dist.engine.finding_rows import FindingRow, path_row
from vyre_dist.engine.shards import ASSUMED_BYTES
from vyre_dist.engine.spool import bytes_of
from vyre_dist.engine.tasks import (
    AuditTask,
    DocumentNote,
    DocumentProblem,
    FolderRun,
    LargeDocument,
    PartResult,
    Piece,
    ScanTask,
    Stamp,
    StitchTask,
    Task,
    TaskResult,
    count,
)
from vyre_dist.input_problem import InputProblem
from vyre_dist.rules.model import Rule
from vyre_dist.sources.document import DocumentRef, FolderFiles

UNIT = ASSUMED_BYTES
SHARD_BYTES = 4 * UNIT
SHARD_DOCUMENTS = 6
RULES = tuple(Rule(f"rule-{i}", "x") for i in range(9))
_PATH_RULE, _ROW_RULE = 7, 3
_LONG = 9_000
"""Bytes of a match, so that what is found is too much for the ledger."""


@dataclass(slots=True)
class Document:
    """A file. `units`: of its size. `deadly`: ends who scans it; `hangs`: forever. `missed`: there
    is a match that scans do not find. `audit_deadly`: ends who audits it. `long_audit`: is audited
    in turns.
    """

    path: str
    units: int
    rows: int
    by_path: bool = False
    long: bool = False
    skipped: bool = False
    problem: bool = False
    noted: bool = False
    deadly: bool = False
    raises: bool = False
    hangs: bool = False
    in_folder: bool = False
    unlisted: bool = False
    missed: bool = False
    audit_deadly: bool = False
    long_audit: bool = False
    version: int = 0
    changed: float = -1e6

    @property
    def poison(self) -> bool:
        """Whether nobody can scan it."""
        return self.deadly or self.raises or self.hangs

    @property
    def size(self) -> int:
        """Bytes."""
        return self.units * UNIT


@dataclass(slots=True)
class Expected:
    """What a scan must come to: lines of jsonl by document, problems by path, and counts."""

    lines: list[bytes]
    problems: dict[str, str]
    notes: dict[str, str]
    counts: dict[str, int]
    audits: ExpectedAudits


@dataclass
class Corpus:
    """`auditing`: says which documents are audited."""

    documents: list[Document]
    auditing: Auditing
    by_path: dict[str, int] = field(default_factory=dict)
    before: list[list[bytes]] = field(default_factory=list)
    """The lines of each document's earlier versions."""

    def __post_init__(self) -> None:
        self.before = [[] for _ in self.documents]
        self.by_path = {each.path: i for i, each in enumerate(self.documents)}

    def inputs(self) -> Iterator[DocumentRef | FolderFiles | InputProblem]:
        """As a walk may list them: with sizes, or a folder's names; or that it can't."""
        names: list[str] = []
        for i, each in enumerate(self.documents):
            if each.in_folder:
                names.append(each.path[2:])
                continue
            if names:
                yield FolderFiles("d/", names)
                names = []
            if each.unlisted:
                yield InputProblem(f"{each.path}-locked", "permission", "no")
            stamp = self._stamp(i)
            yield DocumentRef(
                each.path, each.size, stamp.mtime_ns, stamp.inode, ctime_ns=stamp.ctime_ns
            )
        if names:
            yield FolderFiles("d/", names)

    def stat(self, path: str) -> os.stat_result:
        """See os.stat."""
        number = self.by_path[path]
        if self.documents[number].problem:
            raise FileNotFoundError(path)
        stamp, size = self._stamp(number), self.documents[number].size
        seconds = stamp.mtime_ns // 10**9
        fields = (0o100600, stamp.inode, 1, 1, 0, 0, size, seconds, seconds, seconds)
        stamps = {"st_mtime_ns": stamp.mtime_ns, "st_ctime_ns": stamp.ctime_ns}
        return os.stat_result(fields, stamps)

    def _stamp(self, number: int) -> Stamp:
        each = self.documents[number]
        changed = int((1_700_000_000.0 + each.changed) * 1e9)
        return Stamp(changed, 1000 * number + each.version, changed)

    def change(self, number: int, now: float, random: Random) -> None:
        """Somebody writes to a document."""
        each = self.documents[number]
        self.before[number].append(rendered(RULES, self.rows(number), each.path))
        each.version += 1
        each.changed = now
        if random.random() < 0.5:
            each.rows = random.randint(0, 3)
        if random.random() < 0.5:
            each.units = random.randint(0, 14)

    def rows(self, number: int) -> list[FindingRow]:
        """What a scan finds in a document as it is now, in report order."""
        each = self.documents[number]
        rows = [path_row(number, _PATH_RULE)] if each.by_path else []
        return rows + [self._row(number, i) for i in range(each.rows)]

    def _row(self, number: int, i: int) -> FindingRow:
        each = self.documents[number]
        match = f"{each.path}#{each.version}#{i}".encode()
        if each.long:
            match += b"." * _LONG
        places = i, i + 1, 1, i + 1
        return FindingRow(number, _ROW_RULE, *places, match, match, (), 0.0, 1, i + 1, i + 2)

    def expected(self) -> Expected:
        """What a scan of all documents, as they are now, must come to."""
        lines: list[bytes] = []
        problems: dict[str, str] = {}
        notes: dict[str, str] = {}
        counts = dict.fromkeys(("documents", "bytes", "findings", "skipped", "committed"), 0)
        audits = ExpectedAudits()
        for number, each in enumerate(self.documents):
            rows: list[FindingRow] = []
            if each.unlisted and not each.in_folder:
                problems[f"{each.path}-locked"] = "permission"
            if each.skipped:
                counts["skipped"] += 1
            elif each.poison:
                problems[each.path] = "quarantined"
            elif each.problem:
                problems[each.path] = "vanished"
            else:
                rows = self.rows(number)
                counts["documents"] += 1
                counts["bytes"] += each.size
                counts["committed"] += each.units
                if each.noted:
                    notes[each.path] = "odd"
                if self.auditing.sample.has(number):
                    audits.add(each)
            lines.append(rendered(RULES, rows, each.path))
            counts["findings"] += len(rows)
        return Expected(lines, problems, notes, counts, audits)

    # --- what a worker does

    def work(self, task: Task) -> TaskResult:
        """What an engine answers."""
        result = TaskResult(findings=Findings([rule.id for rule in RULES]))
        if isinstance(task, StitchTask):
            self._join(task, result)
        elif isinstance(task, ScanTask):
            self._scan(task, result)
        else:
            self._audit(task, result)
        return result

    def _scan(self, task: ScanTask, result: TaskResult) -> None:
        pieces = list(pieces_of(task))
        findings = result.findings
        for position, piece in enumerate(pieces):
            number = piece.document
            each = self.documents[number]
            unsized = piece.stamp is None
            if unsized and result.bytes >= SHARD_BYTES:
                result.undone = len(pieces) - position
                break
            if each.skipped:
                result.skipped.append(number)
            elif each.problem:
                result.problems.append(DocumentProblem(number, "vanished", "no such file"))
            elif not piece.whole:
                self._scan_piece(piece, result)
            elif each.size > SHARD_BYTES:
                stamp = self._stamp(number)
                whole = Piece(number, piece.path, each.size, 0, each.size, None, stamp)
                result.large.append(LargeDocument(whole, SHARD_BYTES))
                findings.keep_apart(number)
            else:
                result.documents += 1
                result.bytes += each.size
                result.committed += each.units
                findings.add(each.path, self.rows(number))
                whole = piece._replace(size=each.size, end=each.size, stamp=None)
                self.auditing.choose(whole, each, self.rows(number), result)
                if each.noted:
                    result.notes.append(DocumentNote(number, "odd", "it is odd"))
        result.seconds = max(result.bytes, 1) / SHARD_BYTES

    def _scan_piece(self, piece: Piece, result: TaskResult) -> None:
        number = piece.document
        each = self.documents[number]
        if piece.stamp != self._stamp(number):
            problem = DocumentProblem(number, "changed", "it changed while it was scanned")
            result.problems.append(problem)
            return
        told = json.dumps([number, each.version, piece.start, piece.end]).encode()
        spans = told + b" " * _LONG if each.long else told
        result.bytes += piece.end - piece.start
        result.committed += (piece.end - piece.start) // UNIT
        result.parts.append(PartResult(number, piece.start, piece.end, b"", spans))
        result.findings.keep_apart(number)
        if each.by_path and piece.start == 0:
            result.findings.add_by_path(piece.path, path_row(number, _PATH_RULE))

    def _join(self, task: StitchTask, result: TaskResult) -> None:
        number = task.piece.document
        each = self.documents[number]
        if task.piece.stamp != self._stamp(number):
            result.problems.append(DocumentProblem(number, "changed", "it changed meanwhile"))
            return
        end = 0
        for part in task.parts:
            told = json.loads(bytes_of(part.spans))
            if told != [number, each.version, end, part.end] or part.start != end:
                raise JoinError(f"a join got {told} after byte {end}, version {each.version}")
            end = part.end
        if end != task.piece.size:
            raise JoinError(f"a join got {end} of {task.piece.size} bytes")
        result.documents = 1
        rows = [row for row in self.rows(number) if row.line]
        result.findings.add(each.path, rows, numbered=False)
        self.auditing.choose(task.piece, each, rows, result)
        if each.noted:
            result.notes.append(DocumentNote(number, "odd", "it is odd"))
        result.seconds = 0.1

    def _audit(self, task: AuditTask, result: TaskResult) -> None:
        number = task.piece.document
        each = self.documents[number]
        rows = [self._row(number, i) for i in range(each.rows + each.missed)]
        self.auditing.audit(task, each, rows, result)
        result.seconds = 0.1


class JoinError(AssertionError):
    """A join does not have all pieces of one version, once."""


def pieces_of(task: ScanTask) -> Iterator[Piece]:
    """The task's documents one by one; those of folders without a stamp."""
    number = 0
    for item in task.pieces:
        if isinstance(item, FolderRun):
            for i, name in enumerate(item.names):
                number += 1
                yield Piece(item.first + i, item.prefix + name, 1, 0, 1)
        else:
            number += 1
            yield item
    if number != count(task.pieces):
        raise AssertionError("a task's number of documents is another one")


def documents_of(task: Task) -> list[int]:
    """The documents that a task is about."""
    if isinstance(task, ScanTask):
        return [piece.document for piece in pieces_of(task)]
    return [task.piece.document]


def made_up(random: Random, auditing: Auditing) -> Corpus:
    """Documents of all kinds."""

    def rarely(chance: float) -> bool:
        return random.random() < chance

    documents: list[Document] = []
    poison = 0.04 if rarely(0.5) else 0.0
    in_folder = rarely(0.5)
    long = random.choice([0.05, 0.05, 0.4])
    for number in range(random.choice([1, 4, 8, 12, 16, 24, 40])):
        if rarely(0.15):
            in_folder = not in_folder
        large = rarely(0.12)
        documents.append(
            Document(
                f"d/{number:03}",
                units=random.randint(5, 14) if large else random.choice([0, 1, 1, 1, 2, 3, 4]),
                rows=random.choice([0, 0, 1, 2, 3]),
                by_path=rarely(0.1),
                long=rarely(long),
                skipped=rarely(0.03),
                problem=rarely(0.03),
                noted=rarely(0.05),
                deadly=rarely(poison),
                raises=rarely(poison),
                hangs=rarely(poison / 2),
                in_folder=in_folder,
                unlisted=rarely(0.05),
            )
        )
    auditing.plant(documents)
    return Corpus(documents, auditing)
