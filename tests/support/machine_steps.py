"""What tests of ScanMachine by hand are made of: shards, rows, parts, and reading its actions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from vyre_dist.driver.events import (
    Action,
    Emit,
    Event,
    PlanEnded,
    ShardPlanned,
    StartWorker,
    Submit,
    Tick,
    WorkerLost,
    WorkerReady,
)
from vyre_dist.driver.machine import ScanMachine
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.engine.finding_blocks import Findings, RowBlock, encode_rows, rows_of
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.salvage import Salvage, keep, salvaged
from vyre_dist.engine.tasks import PartResult, Piece, Task

KILLED = "process 7 was ended by signal 9"


def whole(number: int, size: int = 10) -> Piece:
    return Piece(number, f"d{number}", size, 0, size)


def shard(*pieces: Piece) -> ShardPlanned:
    """A shard of whole documents, or of first pieces."""
    documents = tuple(Piece(p.document, p.path, p.size, 0, p.size) for p in pieces if p.start == 0)
    return ShardPlanned(pieces, documents)


def row(number: int, start: int = 0, rule: int = 0) -> FindingRow:
    return FindingRow(number, rule, start, start + 1, 1, 1, b"x", b"x", (), 0.0, 1, 1, 2)


def found(*rows: FindingRow) -> Findings:
    """The findings of a task, a block for each document."""
    findings = Findings([f"rule-{i}" for i in range(10)])
    for document, own in itertools.groupby(rows, lambda row: row.document):
        findings.keep_apart(document)
        findings.add(f"d{document}", own)
    return findings


def decoded(actions: Sequence[Action]) -> list[Action | list[FindingRow]]:
    """The actions, with the rows in place of what is emitted."""
    return [rows_emitted(a) if isinstance(a, Emit) else a for a in actions]


def rows_emitted(action: Emit) -> list[FindingRow]:
    rows: list[FindingRow] = []
    for each in action.found:
        rows += salvaged(each.parts) if isinstance(each, Salvage) else rows_of([each])
    return rows


def lost_by_itself(worker: int, detail: str) -> WorkerLost:
    return WorkerLost(worker, detail, unrelated_to_tasks=True)


def tasks(actions: Sequence[Action]) -> list[tuple[int, int, Task]]:
    return [(a.worker, a.task_id, a.task) for a in actions if isinstance(a, Submit)]


def names(actions: Sequence[Action]) -> list[str]:
    return [type(a).__name__ for a in actions]


def send(machine: ScanMachine, *events: Event) -> list[Action]:
    """The actions of all `events`, in a row."""
    return [action for event in events for action in machine.handle(event)]


def planned(
    *shards: ShardPlanned, workers: int = 1, **config: float
) -> tuple[ScanMachine, list[Action]]:
    """A machine with ready workers to which the whole plan is known, and its actions so far."""
    machine = ScanMachine(range(workers), MachineConfig(**config))  # type: ignore[arg-type]
    ready = [WorkerReady(w) for w in range(workers)]
    return machine, send(machine, Tick(1.0), *ready, *shards, PlanEnded())


def started(actions: Sequence[Action]) -> list[int]:
    return [a.worker for a in actions if isinstance(a, StartWorker)]


def split(size: int, step: int = 10, number: int = 0) -> list[Piece]:
    return [Piece(number, "big", size, at, min(at + step, size)) for at in range(0, size, step)]


def part(piece: Piece) -> PartResult:
    return PartResult(piece.document, piece.start, piece.end, b"", b"")


def kept(piece: Piece) -> PartResult:
    """A part with one finding of its own, 3 bytes after its start."""
    rows = [row(piece.document, piece.start + 3)]
    kept = keep([RowBlock(len(rows), encode_rows(rows))], 0, 0, -1)
    return PartResult(piece.document, piece.start, piece.end, bytes(4), b"", b"", kept)
