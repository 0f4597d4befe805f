"""What tests of ScanMachine by hand are made of: shards, rows, parts, and reading its actions."""

from __future__ import annotations

from collections.abc import Sequence

from vyre_dist.driver.events import (
    Action,
    Event,
    PlanEnded,
    ShardPlanned,
    StartWorker,
    Submit,
    Tick,
    WorkerLost,
    WorkerReady,
)
from vyre_dist.driver.machine import MachineConfig, ScanMachine
from vyre_dist.engine.salvage import keep
from vyre_dist.engine.tasks import (
    FindingRow,
    PartResult,
    Piece,
    Task,
)

KILLED = "process 7 was ended by signal 9"


def whole(number: int, size: int = 10) -> Piece:
    return Piece(number, f"d{number}", size, 0, size)


def shard(*pieces: Piece) -> ShardPlanned:
    """A shard of whole documents, or of first pieces."""
    documents = tuple(Piece(p.document, p.path, p.size, 0, p.size) for p in pieces if p.start == 0)
    return ShardPlanned(pieces, documents)


def row(number: int, start: int = 0, rule: int = 0) -> FindingRow:
    return FindingRow(number, rule, start, start + 1, 1, 1, b"x", b"x", (), 0.0, 1, 1, 2)


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
    return PartResult(piece.document, piece.start, piece.end, (), b"")


def kept(piece: Piece) -> PartResult:
    """A part with one finding of its own, 3 bytes after its start."""
    rows = [row(piece.document, piece.start + 3)]
    return PartResult(piece.document, piece.start, piece.end, (0,), b"", b"", keep(rows, 0, 0, -1))
