"""RunStatus: how a run is, from its run directory alone, which is only read.

What counts of what was done is decided by the state machine that scans, as for `merge`; but no part
file is opened, since the ledger says how many findings of each rule there are.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vyre_dist import __version__
from vyre_dist.driver.events import Action, Emit, ReportNote, ReportProblem
from vyre_dist.driver.machine import ScanMachine
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.recorded_plan import planned
from vyre_dist.engine.finding_blocks import FindingBlock
from vyre_dist.engine.salvage import salvaged
from vyre_dist.engine.tasks import FolderRun, Item
from vyre_dist.engine.wire import WireError
from vyre_dist.errors import UsageError
from vyre_dist.input_problem import InputProblem
from vyre_dist.ledger.entries import Done as DoneSoFar
from vyre_dist.ledger.history import History, KnownShard
from vyre_dist.ledger.identity import read_facts
from vyre_dist.ledger.owner import THIS_HOST, Host, Identity, lives, owner_of
from vyre_dist.ledger.run_directory import PACK, REPORT
from vyre_dist.rules.codec import decode_pack
from vyre_dist.runs.run_rate import RunRate
from vyre_dist.storage import open_storage

if TYPE_CHECKING:
    from vyre_dist.ledger.records import Done, Worker

State = Literal["running", "interrupted", "over"]
UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class DriverStatus:
    """The driver that a run belongs to, or belonged to at last. `number`: how many it has had.
    `lives`: as far as can be told from here. `silent`: seconds since its last sign of life. `left`:
    whether it has let go of the run.
    """

    number: int
    host: str
    pid: int
    lives: bool
    silent: float
    left: bool


@dataclass(slots=True)
class WorkerStatus:
    """A worker of the latest driver, with all that its entries in the ledger add up to. `silent`:
    seconds since its last answer, None if there was none.
    """

    worker: Worker
    tasks: int = 0
    bytes: int = 0
    silent: float | None = None


@dataclass(frozen=True, slots=True)
class RunStatus:
    """`listed`: whether all inputs are, so that what is planned is all there is. `rate`: bytes a
    second, of the latest ten minutes in which anything was done; None if nothing was. `left`:
    seconds, None where nobody can tell. Findings are those of documents that are whole.
    """

    run: str
    version: str
    state: State
    driver: DriverStatus | None
    listed: bool
    shards: int
    shards_done: int
    documents: int
    documents_done: int
    bytes: int
    rate: float | None
    left: float | None
    workers: Sequence[WorkerStatus]
    findings_by_rule: Mapping[str, int]
    problems: Sequence[InputProblem]
    notes: int

    @property
    def findings(self) -> int:
        """How many there are."""
        return sum(self.findings_by_rule.values())


def run_status(
    run: str, clock: Callable[[], float] = time.time, host: Host = THIS_HOST
) -> RunStatus:
    """How the run in directory `run` is. Raises UsageError for what is no run directory or is of
    another version, DamagedError for one that is not as it was written, and OSError.
    """
    storage = open_storage(run)
    facts = read_facts(storage)
    if facts is None:
        raise UsageError(f"there is no run in {run}: name a directory that scan --run-dir has made")
    owner = owner_of(storage)
    over = REPORT in storage.names()
    rules = [rule.id for rule in decode_pack(bytes(storage.read(PACK))).rules]
    now = clock()
    driver = None if owner is None else _driver(*owner, now, lives(owner[1], clock, host))
    try:
        history = History(storage)
        tally = _Tally(history.workers)
        for shard in history.shards():
            tally.add(shard)
    except WireError as error:
        if facts.get("version") == __version__:
            raise
        raise UsageError(
            f"the run in {run} was begun by vyre-dist {facts.get('version')}, and this is "
            f"{__version__}, which can't read it: use the other one"
        ) from error
    running = driver is not None and driver.lives and not over
    rate = tally.rate.of(now if running else None)
    by_rule = {rules[rule]: count for rule, count in tally.by_rule.most_common()}
    return RunStatus(
        run=run,
        version=str(facts.get("version")),
        state="over" if over else "running" if running else "interrupted",
        driver=driver,
        listed=history.end is not None,
        shards=history.planned,
        shards_done=tally.shards,
        documents=history.documents,
        documents_done=tally.documents,
        bytes=tally.bytes,
        rate=rate,
        left=None if history.end is None else tally.seconds_left(rate),
        workers=tally.workers(now),
        findings_by_rule=by_rule,
        problems=[*history.problems, *tally.problems],
        notes=tally.notes,
    )


def _driver(number: int, identity: Identity, now: float, living: bool) -> DriverStatus:
    silent = max(0.0, now - identity.beat)
    return DriverStatus(number, identity.host, identity.pid, living, silent, identity.ended)


class _Tally:
    """Adds up a run's shards, which come in order. `workers`: the latest driver's."""

    def __init__(self, workers: Mapping[int, Worker]) -> None:
        self._machine = ScanMachine((), MachineConfig(only_entries=True))
        self._workers = {number: WorkerStatus(each) for number, each in workers.items()}
        self._heard: dict[int, int] = {}
        self._open_bytes = self._open_documents = 0
        self._whole_bytes = self._whole_documents = 0
        self._given_up = 0
        self.rate = RunRate()
        self.shards = self.notes = 0
        self.by_rule = Counter[int]()
        self.problems: list[InputProblem] = []

    @property
    def documents(self) -> int:
        """Those of which nothing more is to be scanned."""
        totals = self._machine.totals
        return totals.documents + totals.skipped + self._given_up

    @property
    def bytes(self) -> int:
        """Those that were scanned."""
        return self._machine.totals.bytes

    def seconds_left(self, rate: float | None) -> float | None:
        """An estimate, for what is planned."""
        if not self._open_bytes and not self._open_documents:
            return 0.0
        if not rate or (self._open_documents and not self._whole_documents):
            return None
        mean = self._whole_bytes / max(self._whole_documents, 1)
        return (self._open_bytes + self._open_documents * mean) / rate

    def workers(self, now: float) -> list[WorkerStatus]:
        """In the order of their numbers."""
        for number, heard in self._heard.items():
            self._workers[number].silent = max(0.0, now - heard / 1e9)
        return [self._workers[number] for number in sorted(self._workers)]

    def add(self, shard: KnownShard) -> None:
        """Take a shard into account."""
        for done in shard.done:
            self._answered(done)
        before = self._machine.unfinished
        actions = self._machine.handle(planned(shard.items, shard.done))
        open_documents = {
            action.document
            for action in actions
            if isinstance(action, ReportProblem) and action.reason == UNFINISHED
        }
        for action in actions:
            self._take(action, shard.items, open_documents)
        if open_documents or self._machine.unfinished > before:
            self._still_to_do(shard)
        else:
            self.shards += 1

    def _answered(self, done: Done) -> None:
        result = done.entry.result
        self.rate.add(done.began_ns, done.ended_ns, result.bytes)
        if result.documents and not result.parts and done.entry.joined is None:
            self._whole_bytes += result.bytes
            self._whole_documents += result.documents
        worker = None if done.worker is None else self._workers.get(done.worker)
        if worker is not None:
            worker.tasks += 1
            worker.bytes += result.bytes
            number = worker.worker.number
            self._heard[number] = max(self._heard.get(number, 0), done.ended_ns)

    def _take(self, action: Action, items: Iterable[Item], open_documents: set[int]) -> None:
        match action:
            case Emit(found):
                for each in found:
                    if isinstance(each, FindingBlock):
                        self.by_rule.update(dict(each.by_rule))
                    elif each.document not in open_documents:
                        self.by_rule.update([row.rule for row in salvaged(each.parts)])
            case ReportProblem(document, reason, detail) if reason != UNFINISHED:
                self._given_up += 1
                self.problems.append(InputProblem(_path_of(document, items), reason, detail))
            case ReportNote():
                self.notes += 1

    def _still_to_do(self, shard: KnownShard) -> None:
        """Count what is left of a shard. Sizes of most files are known when they are opened."""
        done = DoneSoFar([each.entry for each in shard.done])
        for item in done.rest_of(shard.items):
            if isinstance(item, FolderRun):
                self._open_documents += len(item.names)
            else:
                self._open_bytes += item.end - item.start
        results = [each.entry.result for each in shard.done]
        for large in (each for result in results for each in result.large):
            parts = [part for result in results for part in result.parts]
            own = [p.end - p.start for p in parts if p.document == large.piece.document]
            self._open_bytes += max(0, large.piece.size - sum(own))


def _path_of(document: int, items: Iterable[Item]) -> str:
    for item in items:
        if isinstance(item, FolderRun):
            if 0 <= document - item.first < len(item.names):
                return item.prefix + item.names[document - item.first]
        elif item.document == document:
            return item.path
    return ""
