"""History: what all drivers of a run have put down: the plan, and what is done of each shard.

The ledger is read once, to know where a shard's entries are; they are decoded when the shard's turn
has come. So a run with many findings is no more to hold than one with few.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgpack

from vyre_dist.engine.tasks import FolderRun, Item
from vyre_dist.engine.wire import WireError
from vyre_dist.input_problem import InputProblem
from vyre_dist.ledger.journal import LEDGER, PLAN
from vyre_dist.ledger.records import (
    Begin,
    Done,
    PlanEnd,
    Record,
    Shard,
    Worker,
    decode_record,
    unpack,
)
from vyre_dist.storage import Storage
from vyre_dist.storage.frames import DamagedError, read_frames

Data = bytes | memoryview

_UNKNOWN = -1
"""The length of a log of which all that is whole counts."""


class _Place(NamedTuple):
    """A record: bytes of a ledger's log."""

    log: int
    start: int
    end: int


class KnownShard(NamedTuple):
    """A shard that was planned: its items, as they are now, and what counts of what was done."""

    shard: int
    items: tuple[Item, ...]
    done: tuple[Done, ...]


class History:
    """Of the run in `storage`. Raises DamagedError for what is not as it was written, and WireError
    for what another version has written.

    `lengths`: of the logs, as far as they count. `planned`: how many shards there are. `end`: None
    if the plan is not whole. `problems`: what the sources could not list. `workers`: the latest
    driver's, by number.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._logs: list[Data] = []
        self._places: dict[int, list[_Place]] = {}
        self._items: dict[int, _Place] = {}
        self.entries = 0
        self.workers: dict[int, Worker] = {}
        self.lengths: dict[str, int] = {}
        self._read_ledger()
        self.planned = 0
        self.documents = 0
        self.checksum = 0
        self.end: PlanEnd | None = None
        self.problems: list[InputProblem] = []
        for record, data in self._plan():
            if isinstance(record, Shard):
                self.planned += 1
                self.documents = max(self.documents, documents_to(record.items))
                self.checksum = zlib.crc32(data, self.checksum)
            elif isinstance(record, InputProblem):
                self.problems.append(record)
            elif isinstance(record, PlanEnd):
                self.end = record
        # a log that is not there counts for nothing, even if somebody makes it later
        self.lengths = {name: max(length, 0) for name, length in self.lengths.items()}
        self._check_end()

    def shards(self) -> Iterator[KnownShard]:
        """The shards in the order of the plan."""
        for record, _ in self._plan():
            if isinstance(record, Shard):
                number = record.shard
                if (place := self._items.get(number)) is not None:
                    record = self._record(place)
                if not isinstance(record, Shard):
                    raise AssertionError("no shard in a shard's place")
                done = [self._record(place) for place in self._places.get(number, ())]
                entries = tuple([each for each in done if isinstance(each, Done)])
                yield KnownShard(number, record.items, entries)

    def paths(self) -> Iterator[str]:
        """The paths of all planned documents, in order."""
        for record, _ in self._plan():
            if isinstance(record, Shard):
                yield from paths_of(record.items)

    def _read_ledger(self) -> None:
        """Find out which bytes of which logs count, and where each shard's records are."""
        names = [f"{LEDGER}/{name}" for name in self._storage.names(LEDGER)]
        data = {name: self._storage.read(name) for name in names}
        for name in reversed(names):
            first = next(_records(name, data[name]), None)
            if first is not None:
                begin = decode_record(first[1], self._storage.place)
                if not isinstance(begin, Begin):
                    raise DamagedError(name, 0, "it does not begin as a ledger does")
                self.lengths = dict(begin.lengths)
                self.lengths.setdefault(name, len(data[name]))
                plan = f"{PLAN}/{name.partition('/')[2]}"
                self.lengths.setdefault(plan, _UNKNOWN)
                break
        for name, length in self._logs_of(LEDGER):
            log = data[name] if name in data else self._log(name, length)
            if log is not None:
                self._index(name, _counted(name, log, length))

    def _logs_of(self, kind: str) -> list[tuple[str, int]]:
        """The logs that count, in order: a store may list late, but it has what is asked for."""
        return sorted(each for each in self.lengths.items() if each[0].startswith(f"{kind}/"))

    def _log(self, name: str, length: int) -> Data | None:
        try:
            return self._storage.read(name)
        except FileNotFoundError:
            if length > 0:
                raise DamagedError(name, 0, f"it is gone, and had {length:,} bytes") from None
            return None

    def _index(self, name: str, data: Data) -> None:
        log = len(self._logs)
        self._logs.append(data)
        end = 0
        for frame in read_frames(name, data):
            end = frame.start + len(frame.data)
            for start, stop, fields in _unpacked(frame.data):
                kind, shard = fields[0], fields[1]
                place = _Place(log, frame.start + start, frame.start + stop)
                if not isinstance(shard, int):
                    raise WireError("record of a run", f"{shard!r:.60} where a number belongs")
                if kind == "begin":
                    self._forget_from(decode_record(fields, self._storage.place))
                    self.workers.clear()
                elif kind == "worker":
                    worker = decode_record(fields, self._storage.place)
                    if isinstance(worker, Worker):
                        self.workers[worker.number] = worker
                elif kind == "done":
                    self._places.setdefault(shard, []).append(place)
                    self.entries += 1
                elif kind == "shard":
                    self._items[shard] = place
                elif kind == "void":
                    gone = set(_places(fields[2]))
                    known = self._places.get(shard, [])
                    self._places[shard] = [p for i, p in enumerate(known) if i not in gone]
                    self.entries -= len(gone)
        self._settle(name, end)

    def _forget_from(self, begin: Record) -> None:
        """What drivers before `begin` have done of shards that it did not find planned."""
        if isinstance(begin, Begin):
            for shard in [shard for shard in self._places if shard >= begin.planned]:
                self.entries -= len(self._places.pop(shard))

    def _settle(self, name: str, end: int) -> None:
        """A log was whole up to `end`. Only the latest one may end in what is torn."""
        if self.lengths[name] not in (end, _UNKNOWN) and name != self._latest(name):
            raise DamagedError(name, end, "records that were counted are not there any more")
        self.lengths[name] = end

    def _latest(self, name: str) -> str:
        kind = name.partition("/")[0]
        return max(each for each in self.lengths if each.startswith(kind))

    def _record(self, place: _Place) -> Record:
        data = self._logs[place.log][place.start : place.end]
        return decode_record(unpack(data), self._storage.place)

    def _plan(self) -> Iterator[tuple[Record, Data]]:
        for name, length in self._logs_of(PLAN):
            log = self._log(name, length)
            if log is None:
                continue
            end = 0
            for frame in read_frames(name, _counted(name, log, length)):
                end = frame.start + len(frame.data)
                for start, stop, fields in _unpacked(frame.data):
                    yield decode_record(fields, self._storage.place), frame.data[start:stop]
            self._settle(name, end)

    def _check_end(self) -> None:
        end = self.end
        found = (self.planned, self.documents, self.checksum)
        if end is not None and (end.shards, end.documents, end.checksum) != found:
            raise DamagedError(
                f"{self._storage.place}/{PLAN}",
                0,
                f"it has {self.planned:,} shards of {self.documents:,} documents, and its end says "
                f"{end.shards:,} of {end.documents:,}, or others",
            )


def paths_of(items: Sequence[Item]) -> Iterator[str]:
    """The paths of the documents that begin in a shard."""
    for item in items:
        if isinstance(item, FolderRun):
            for name in item.names:
                yield item.prefix + name
        elif item.start == 0:
            yield item.path


def documents_to(items: Sequence[Item]) -> int:
    """The number behind the last document of a shard."""
    last = items[-1]
    return last.first + len(last.names) if isinstance(last, FolderRun) else last.document + 1


def _counted(name: str, data: Data, length: int) -> Data:
    if length == _UNKNOWN:
        return data
    if len(data) < length:
        raise DamagedError(name, len(data), f"it ends here, and had {length:,} bytes")
    return data[:length]


def _records(name: str, data: Data) -> Iterator[tuple[int, Sequence[object]]]:
    for frame in read_frames(name, data):
        for start, _, fields in _unpacked(frame.data):
            yield frame.start + start, fields


def _unpacked(data: memoryview) -> Iterator[tuple[int, int, Sequence[object]]]:
    """(start, end, fields) of each record of a frame."""
    unpacker = msgpack.Unpacker(
        use_list=False, unicode_errors="surrogateescape", max_buffer_size=max(len(data), 1)
    )
    unpacker.feed(data)
    start = 0
    try:
        for fields in unpacker:
            end = unpacker.tell()
            yield start, end, fields
            start = end
    except (ValueError, msgpack.UnpackException) as error:
        raise WireError("record of a run", str(error)) from error


def _places(value: object) -> Sequence[int]:
    if isinstance(value, tuple) and all(isinstance(each, int) for each in value):
        return value
    raise WireError("record of a run", f"{value!r:.60} where places belong")
