"""What becomes of documents in the model of ScanMachine, and what an engine answers for them."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from vyre_dist.engine.finding_blocks import Findings
from vyre_dist.engine.finding_rows import FindingRow, path_row
from vyre_dist.engine.tasks import (
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
from vyre_dist.ledger.entries import Entry
from vyre_dist.sources import DocumentRef, FolderFiles

SHARD_BYTES = 4


SHARD_DOCUMENTS = 3


@dataclass(frozen=True)
class Fate:
    """A document with `rows` findings, and what happens to whoever scans it: `deadly` ends the
    worker, `raises` the task.
    """

    size: int
    rows: int = 0
    path_rule: bool = False
    problem: bool = False
    skipped: bool = False
    deadly: bool = False
    raises: bool = False
    in_folder: bool = False

    @property
    def poison(self) -> bool:
        return self.deadly or self.raises


fates = st.builds(
    Fate,
    size=st.integers(0, 14),
    rows=st.integers(0, 2),
    path_rule=st.booleans(),
    problem=st.sampled_from([False, False, False, False, True]),
    skipped=st.sampled_from([False, False, False, False, True]),
    deadly=st.sampled_from([False] * 7 + [True]),
    raises=st.sampled_from([False] * 7 + [True]),
    in_folder=st.booleans(),
)


def rows_of(number: int, fate: Fate) -> list[FindingRow]:
    """All findings of a document, in the order in which they are to come."""
    rows = [path_row(number, 7)] if fate.path_rule else []
    return rows + [
        FindingRow(number, 8 - i, i, i + 1, 1, i + 1, b"x", b"x", (), 0.0, 1, i + 1, i + 2)
        for i in range(fate.rows)
    ]


def work(task: Task, corpus: list[Fate]) -> TaskResult:
    """What an engine answers."""
    result = TaskResult(fused=1, seconds=1.0, findings=Findings([f"rule-{i}" for i in range(9)]))
    findings = result.findings
    if isinstance(task, StitchTask):
        assert [p.start for p in task.parts] == [*range(0, task.piece.size, SHARD_BYTES)]
        number = task.piece.document
        result.documents = 1
        rows = [row for row in rows_of(number, corpus[number]) if row.line]
        findings.add(f"d{number}", rows, numbered=False)
        return result
    pieces = pieces_of(task)
    for position, piece in enumerate(pieces):
        fate = corpus[piece.document]
        unsized = piece.stamp is None
        if unsized and result.bytes >= SHARD_BYTES:
            result.undone = len(pieces) - position
            break
        if fate.skipped:
            result.skipped.append(piece.document)
        elif fate.problem:
            result.problems.append(DocumentProblem(piece.document, "vanished", "no such file"))
        elif unsized and fate.size > SHARD_BYTES:
            stamp = Stamp(1, piece.document, 1)
            whole = Piece(piece.document, piece.path, fate.size, 0, fate.size, None, stamp)
            result.large.append(LargeDocument(whole, SHARD_BYTES))
            findings.keep_apart(piece.document)
        else:
            result.bytes += piece.end - piece.start
            rows = rows_of(piece.document, fate)
            if piece.whole:
                result.documents += 1
                findings.add(piece.path, rows)
            else:
                result.parts.append(PartResult(piece.document, piece.start, piece.end, b"", b""))
                findings.keep_apart(piece.document)
                if fate.path_rule and piece.start == 0:
                    findings.add_by_path(piece.path, path_row(piece.document, 7))
    return result


def pieces_of(task: ScanTask) -> list[Piece]:
    """The task's documents one by one; those of folders have no stamp, and a size that means
    nothing.
    """
    pieces: list[Piece] = []
    for item in task.pieces:
        if isinstance(item, FolderRun):
            for i, name in enumerate(item.names):
                pieces.append(Piece(item.first + i, item.prefix + name, 1, 0, 1))
        else:
            pieces.append(item)
    assert len(pieces) == count(task.pieces)
    return pieces


def documents_of(task: Task) -> set[int]:
    return (
        {p.document for p in pieces_of(task)}
        if isinstance(task, ScanTask)
        else {task.piece.document}
    )


def inputs_of(corpus: list[Fate]) -> list[DocumentRef | FolderFiles]:
    """The corpus as a walk may give it: documents with sizes, and runs of folders' files
    without.
    """
    inputs: list[DocumentRef | FolderFiles] = []
    for i, fate in enumerate(corpus):
        if not fate.in_folder:
            inputs.append(DocumentRef(f"d{i}", fate.size, 1, i))
        elif i and corpus[i - 1].in_folder and isinstance(last := inputs[-1], FolderFiles):
            last.names.append(str(i))
        else:
            inputs.append(FolderFiles("d", [str(i)]))
    return inputs


def check_coverage(entries: list[Entry], documents: int) -> None:
    """Each document is covered once, or each piece of it; none is left out."""
    whole = [
        document
        for entry in entries
        for first, end in entry.covered.documents
        for document in range(first, end)
    ]
    pieces = [piece for entry in entries for piece in entry.covered.pieces]
    assert len(set(whole)) == len(whole) and len(set(pieces)) == len(pieces)
    assert {*whole, *[document for document, _, _ in pieces]} == set(range(documents))
