"""Records: what a run's two logs hold, as bytes (msgpack) and back with every value checked.

A frame of a log is what was committed at once: records, one behind the other. Bytes in part files
are named relative to the run directory, which may lie elsewhere when somebody reads it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgpack

from vyre_dist.engine.filed import Filed
from vyre_dist.engine.part_files import with_bytes
from vyre_dist.engine.spool import Kept
from vyre_dist.engine.task_codec import decode_result, decode_task, encode_result, encode_task
from vyre_dist.engine.tasks import Item, ScanTask, without_tuning
from vyre_dist.engine.wire import WireError
from vyre_dist.input_problem import InputProblem
from vyre_dist.ledger.entries import Covered, Entry

SCHEMA = 2

PARTS = "parts"
"""The folder of part files."""
PROOF = "proof"
"""How the file in it begins that tells workers that they reach it."""


class Begin(NamedTuple):
    """A driver has taken over the run.

    `lengths`: of the logs of the drivers before it, as far as they count. What one of these may
    append later, since it does not know yet, is behind that. `planned`: how many shards there are
    by then; what is done of others does not count.
    """

    epoch: int
    lengths: Mapping[str, int]
    planned: int


class Done(NamedTuple):
    """An entry. `began_ns`: a time before any of its documents was read, 0 if not known.
    `ended_ns`: when it came, and `worker` from whom, None if it is the driver's own.
    """

    entry: Entry
    began_ns: int
    ended_ns: int = 0
    worker: int | None = None


class Worker(NamedTuple):
    """A worker of this driver is ready, perhaps in another one's place. `processes`: how many tasks
    it does at once.
    """

    number: int
    host: str
    backend: str
    device: str
    processes: int


class Void(NamedTuple):
    """Some entries of a shard do not count any more: those at these places among its entries."""

    shard: int
    places: Sequence[int]


class Shard(NamedTuple):
    """A shard of the plan; in the ledger, what takes its place."""

    shard: int
    items: tuple[Item, ...]


class PlanEnd(NamedTuple):
    """The plan is whole. `skipped`: what the walk left out, by reason."""

    shards: int
    documents: int
    checksum: int
    skipped: Mapping[str, int]


Record: TypeAlias = Begin | Done | Void | Worker | Shard | InputProblem | PlanEnd


def encode_record(record: Record) -> bytes:
    """`record` as bytes."""
    match record:
        case Begin(epoch, lengths, planned):
            return _pack(["begin", SCHEMA, epoch, dict(lengths), planned])
        case Worker():
            return _pack(["worker", *record])
        case Done(entry, began_ns, ended_ns, worker):
            covered = entry.covered
            result = encode_result(without_tuning(with_bytes(entry.result, _relative)))
            body = [entry.shard, covered.documents, covered.pieces, entry.joined]
            return _pack(["done", *body, began_ns, ended_ns, worker, result])
        case Void(shard, places):
            return _pack(["void", shard, list(places)])
        case Shard(shard, items):
            return _pack(["shard", shard, encode_task(ScanTask(items))])
        case InputProblem(path, reason, detail):
            return _pack(["problem", path, reason, detail])
        case PlanEnd(shards, documents, checksum, skipped):
            return _pack(["end", shards, documents, checksum, dict(skipped)])


def decode_record(fields: Sequence[object], folder: str) -> Record:
    """The inverse, from what msgpack makes of the bytes. `folder`: the run directory.

    Raises WireError.
    """
    try:
        kind, *rest = fields
        if kind == "begin":
            schema, *rest = rest
            if schema != SCHEMA:
                raise ValueError(f"schema {schema!r:.60}, not {SCHEMA}")
            epoch, lengths, planned = rest
            return Begin(_number(epoch), _counts(lengths), _number(planned))
        if kind == "done":
            return _done(rest, folder)
        if kind == "worker":
            number, host, backend, device, processes = rest
            told = _text(host), _text(backend), _text(device)
            return Worker(_number(number), *told, _number(processes))
        if kind == "void":
            return Void(_number(rest[0]), _numbers(rest[1]))
        if kind == "shard":
            task = decode_task(_bytes(rest[1]))
            if not isinstance(task, ScanTask):
                raise ValueError("a shard that is a join")
            return Shard(_number(rest[0]), task.pieces)
        if kind == "problem":
            path, reason, detail = map(_text, rest)
            return InputProblem(path, reason, detail)
        if kind == "end":
            shards, documents, checksum, skipped = rest
            numbers = _number(shards), _number(documents), _number(checksum)
            return PlanEnd(*numbers, _counts(skipped))
        raise ValueError(f"a record of kind {kind!r:.60}")
    except (ValueError, IndexError) as error:
        raise WireError("record of a run", str(error)) from error


def unpack(data: bytes | memoryview) -> Sequence[object]:
    """One record's bytes as fields. Raises WireError."""
    try:
        fields = msgpack.unpackb(data, use_list=False, unicode_errors="surrogateescape")
    except (ValueError, msgpack.UnpackException) as error:
        raise WireError("record of a run", str(error)) from error
    if not isinstance(fields, tuple) or not fields:
        raise WireError("record of a run", f"{fields!r:.60} where a record belongs")
    return fields


def _pack(fields: Sequence[object]) -> bytes:
    return bytes(msgpack.packb(fields, unicode_errors="surrogateescape"))


def _done(fields: Sequence[object], folder: str) -> Done:
    shard, documents, pieces, joined, began_ns, ended_ns, worker, data = fields
    ranges = [_numbers(each) for each in _array(documents)]
    others = [_numbers(each) for each in _array(pieces)]
    covered = Covered(
        tuple([(first, end) for first, end in ranges]),
        tuple([(document, start, end) for document, start, end in others]),
    )

    def rooted(kept: Kept) -> Kept:
        if not isinstance(kept, Filed):
            return kept
        return Filed(os.path.join(folder, PARTS, kept.part), kept.offset, kept.size)

    result = with_bytes(decode_result(_bytes(data)), rooted)
    number, by = (None if each is None else _number(each) for each in (joined, worker))
    entry = Entry(_number(shard), result, covered, number)
    return Done(entry, _number(began_ns), _number(ended_ns), by)


def _relative(kept: Kept) -> Kept:
    if not isinstance(kept, Filed):
        return kept
    return Filed(os.path.basename(kept.part), kept.offset, kept.size)


def _number(value: object) -> int:
    if type(value) is int and value >= 0:
        return value
    raise ValueError(f"{value!r:.60} where a number from 0 on belongs")


def _array(value: object) -> Sequence[object]:
    if isinstance(value, tuple):
        return value
    raise ValueError(f"{value!r:.60} where an array belongs")


def _numbers(value: object) -> tuple[int, ...]:
    return tuple(map(_number, _array(value)))


def _counts(value: object) -> dict[str, int]:
    if isinstance(value, dict):
        return {_text(name): _number(number) for name, number in value.items()}
    raise ValueError(f"{value!r:.60} where counts belong")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{value!r:.60} where a text belongs")


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError(f"{value!r:.60} where bytes belong")
