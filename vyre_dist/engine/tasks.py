"""Tasks and results: what travels between the driver and its workers, as msgpack of plain values.

Descriptors only: a task names byte ranges of files, a result carries findings and spans; no
document crosses (but for `inline` documents, which no worker could open).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import msgpack

from vyre_dist.errors import VyreError
from vyre_dist.metrics import METRIC_NAMES, Metrics
from vyre_dist.sources.document import DocumentRef

SCHEMA = 5


class Piece(NamedTuple):
    """The part [start, end) of document number `document`; the whole of it when start is 0 and end
    is its size.

    `open_path`: what to open when that is not `path`. `inline`: the document's bytes when there is
    no file. `stamp`: (mtime_ns, inode, ctime_ns) as planned, checked when a document is scanned in
    several pieces.

    A NamedTuple, as two are made for every file of a tree, and it takes a third of a dataclass's
    time.
    """

    document: int
    path: str
    size: int
    start: int
    end: int
    open_path: str | None = None
    stamp: tuple[int, int, int] | None = None
    inline: bytes | None = None

    @property
    def whole(self) -> bool:
        """Whether this is all of the document."""
        return self.start == 0 and self.end == self.size


def piece_of(number: int, ref: DocumentRef) -> Piece:
    """A listed document as the one piece that is all of it."""
    stamp = (ref.mtime_ns, ref.inode, ref.ctime_ns)
    return Piece(number, ref.path, ref.size, 0, ref.size, ref.open_path or None, stamp)


class FolderRun(NamedTuple):
    """Whole files of one folder, documents number `first`, `first` + 1, …, whose sizes nobody has
    looked up.

    Their paths are `prefix` + name. `open_prefix`: what to put before a name to open it, where that
    is not `prefix`.
    """

    first: int
    prefix: str
    names: list[str]
    open_prefix: str | None = None


Item: TypeAlias = Piece | FolderRun


@dataclass(frozen=True, slots=True)
class PartResult:
    """What scanning one piece of a split document gave: raw spans, before filters, in document
    coordinates.

    `spans`: buffer of SPAN_DTYPE (`window` unused), each rule's in order. `newlines`: in [start,
    end), for each NEWLINE_BLOCK of it. `digest`: of all the bytes that were read for it
    (content.py). `kept`: the piece's own findings, for the case that the document can't be joined
    (salvage.py); they do not travel back to a worker.
    """

    document: int
    start: int
    end: int
    newlines: list[int]
    spans: bytes
    digest: bytes = b""
    kept: bytes = b""


@dataclass(frozen=True, slots=True)
class ScanTask:
    """Scan these, in this order.

    `threshold_pct`: the commit rate from which speculation pays, where that is known of the worker.
    """

    pieces: tuple[Item, ...]
    threshold_pct: int | None = None


@dataclass(frozen=True, slots=True)
class StitchTask:
    """Join the parts of one split document (`piece`: all of it) into its findings."""

    piece: Piece
    parts: tuple[PartResult, ...]


Task: TypeAlias = ScanTask | StitchTask


def count(pieces: Iterable[Item]) -> int:
    """How many pieces and files of folders there are in `pieces`."""
    return sum([len(item.names) if isinstance(item, FolderRun) else 1 for item in pieces])


def split_at(pieces: Sequence[Item], position: int) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """The first `position` of `pieces`, as `count` counts them, and the others."""
    for i, item in enumerate(pieces):
        size = len(item.names) if isinstance(item, FolderRun) else 1
        if position < size:
            if position == 0 or not isinstance(item, FolderRun):
                return tuple(pieces[:i]), tuple(pieces[i:])
            left = item._replace(names=item.names[:position])
            right = item._replace(first=item.first + position, names=item.names[position:])
            return (*pieces[:i], left), (right, *pieces[i + 1 :])
        position -= size
    return tuple(pieces), ()


FindingRow: TypeAlias = list[Any]
"""[document, rule number, start, end, line, column, match, secret, groups, entropy, end line, and
the columns in UTF-16 code units of the first character and after the last one]
"""


def path_row(document: int, rule: int) -> FindingRow:
    """What a rule that has only a path says of a document."""
    return [document, rule, 0, 0, 0, 0, b"", b"", (), 0.0, 0, 0, 0]


def report_order(row: FindingRow) -> tuple[int, int, int]:
    """The key that sorts rows as they are reported: by document, what its path alone says first,
    then by start and rule.
    """
    return row[0], row[2] if row[4] else -1, row[1]


RaceSums: TypeAlias = list[int]
"""[nanoseconds fused, bytes fused, nanoseconds serial, bytes serial] of the dispatches that
raced.
"""


@dataclass(slots=True)
class TaskResult(Metrics):
    """What a worker did, and its metrics. Every document of the task is in exactly one of:
    finished, `parts`, `problems`, `skipped`, `large`, or among the `undone`.

    `problems`: (document, reason, detail). `notes`: the same, of what is worth a word but lacks
    nothing. `skipped`: those that a global allowlist's path rules out. `large`: files that turned
    out to be larger than a shard, with the size to cut them to; nothing was scanned of them.
    `undone`: how many at the task's end were not begun, as its files held a shard's bytes before.
    `scanned`: bytes by the backend that scanned them.
    """

    findings: list[FindingRow] = field(default_factory=list)
    parts: list[PartResult] = field(default_factory=list)
    problems: list[tuple[int, str, str]] = field(default_factory=list)
    notes: list[tuple[int, str, str]] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    large: list[tuple[Piece, int]] = field(default_factory=list)
    undone: int = 0
    seconds: float = 0.0
    raced: RaceSums = field(default_factory=lambda: [0, 0, 0, 0])
    scanned: dict[str, int] = field(default_factory=dict)


class WireError(VyreError):
    """Bytes that are no task or result of this version."""

    def __init__(self, what: str, found: str) -> None:
        super().__init__(
            f"cannot read a {what}: {found}; driver and workers must run the same version of "
            "vyre-dist"
        )
        self.what = what


def encode_task(task: Task) -> bytes:
    """`task` as bytes."""
    if isinstance(task, ScanTask):
        body = [SCHEMA, "scan", [_item_row(p) for p in task.pieces], task.threshold_pct]
    else:
        body = [SCHEMA, "stitch", task.piece, [_part_row(p)[:-1] for p in task.parts]]
    return _pack(body)


def decode_task(data: bytes) -> Task:
    """The inverse of encode_task. Raises WireError."""
    body = _unpack("task", data)
    try:
        if body[1] == "scan":
            return ScanTask(tuple([_item(row) for row in body[2]]), body[3])
        return StitchTask(_piece(body[2]), tuple(PartResult(*row) for row in body[3]))
    except (TypeError, IndexError, ValueError) as error:
        raise WireError("task", str(error)) from error


def encode_result(result: TaskResult) -> bytes:
    """`result` as bytes."""
    r = result
    parts = [_part_row(p) for p in r.parts]
    sums = [r.metric_values(), r.seconds, r.raced, r.scanned]
    return _pack(
        [SCHEMA, r.findings, parts, r.problems, r.notes, r.skipped, r.large, r.undone, sums]
    )


def decode_result(data: bytes) -> TaskResult:
    """The inverse of encode_result. Raises WireError."""
    body = _unpack("result", data)
    try:
        _, findings, parts, problems, notes, skipped, large, undone, sums = body
        metrics, seconds, raced, scanned = sums
        return TaskResult(
            **dict(zip(METRIC_NAMES, metrics, strict=True)),
            findings=findings,
            parts=[PartResult(*p) for p in parts],
            problems=[(d, r, t) for d, r, t in problems],
            notes=[(d, r, t) for d, r, t in notes],
            skipped=skipped,
            large=[(_piece(row), limit) for row, limit in large],
            undone=undone,
            seconds=seconds,
            raced=raced,
            scanned=scanned,
        )
    except (TypeError, ValueError) as error:
        raise WireError("result", str(error)) from error


def _pack(body: list[Any]) -> bytes:
    # paths may hold bytes that are no UTF-8
    packed: bytes = msgpack.packb(body, unicode_errors="surrogateescape")
    return packed


def _unpack(what: str, data: bytes) -> list[Any]:
    try:
        body = msgpack.unpackb(data, unicode_errors="surrogateescape")
    except (ValueError, msgpack.UnpackException) as error:
        raise WireError(what, str(error)) from error
    if not isinstance(body, list) or not body or body[0] != SCHEMA:
        raise WireError(
            what, f"schema {body[0] if isinstance(body, list) and body else body!r}, not {SCHEMA}"
        )
    return body


def _item_row(item: Item) -> tuple[Any, ...]:
    if isinstance(item, FolderRun):
        return item  # four values, where a piece has three or eight
    document, path, size, start, end, open_path, _, inline = item
    if start == 0 and end == size and not open_path and inline is None:
        # nobody checks the stamp of what is read at once
        return document, path, size
    return item


def _item(row: list[Any]) -> Item:
    if len(row) == 4:
        first, prefix, names, open_prefix = row
        return FolderRun(first, prefix, names, open_prefix)
    return _piece(row)


def _piece(row: list[Any]) -> Piece:
    if len(row) == 3:
        document, path, size = row
        return Piece(document, path, size, 0, size)
    document, path, size, start, end, open_path, stamp, inline = row
    return Piece(
        document, path, size, start, end, open_path, tuple(stamp) if stamp else None, inline
    )


def _part_row(p: PartResult) -> list[Any]:
    return [p.document, p.start, p.end, p.newlines, p.spans, p.digest, p.kept]
