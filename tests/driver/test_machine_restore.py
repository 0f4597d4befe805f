"""ScanMachine goes on where another one ended: after every prefix of every ledger the scan ends
with the same findings, counts and problems.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from unittest.mock import patch

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from machine_fates import (
    SHARD_BYTES,
    SHARD_DOCUMENTS,
    Fate,
    documents_of,
    fates,
    inputs_of,
    work,
)
from machine_steps import rows_emitted

from vyre_dist.driver.events import (
    Abort,
    Action,
    Emit,
    Event,
    Finish,
    PlanEnded,
    PlanMore,
    Record,
    Recorded,
    ReportProblem,
    ShardPlanned,
    StartWorker,
    Submit,
    TaskDone,
    TaskFailed,
    Tick,
    WorkerReady,
)
from vyre_dist.driver.machine import ScanMachine
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.plan import Plan
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.tasks import Task
from vyre_dist.ledger.entries import Entry
from vyre_dist.ledger.records import Done, decode_record, encode_record, unpack


@dataclass
class Scan:
    """One driver's life, with a schedule of its own."""

    corpus: list[Fate]
    shards: list[ShardPlanned]
    choose: random.Random
    only_entries: bool = False
    emitted: list[FindingRow] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)
    ledger: list[Entry] = field(default_factory=list)
    done: list[Task] = field(default_factory=list)
    finished: bool = False

    def run(self) -> Scan:
        workers = 0 if self.only_entries else 2
        config = MachineConfig(max_failures=2, recorded=True, only_entries=self.only_entries)
        self.machine = ScanMachine(range(workers), config)
        self.plan = iter(self.shards)
        self.tasks: list[Submit] = []
        self.waiting: list[int] = []
        self.send(Tick(1.0))
        while not self.finished:
            if self.waiting and (not self.tasks or self.choose.random() < 0.3):
                number = self.choose.choice(self.waiting)
                self.waiting = [each for each in self.waiting if each > number]
                self.send(Recorded(number))
            else:
                self.do(self.tasks.pop(self.choose.randrange(len(self.tasks))))
        return self

    def do(self, given: Submit) -> None:
        if any(self.corpus[d].poison for d in documents_of(given.task)):
            self.send(TaskFailed(given.worker, given.task_id, "ValueError: poison"))
        else:
            self.done.append(given.task)
            result = work(given.task, self.corpus)
            self.send(TaskDone(given.worker, given.task_id, result))

    def send(self, event: Event) -> None:
        for action in self.machine.handle(event):
            self.carry_out(action)

    def carry_out(self, action: Action) -> None:
        match action:
            case StartWorker(worker):
                self.send(WorkerReady(worker))
            case Submit():
                self.tasks.append(action)
            case PlanMore():
                self.send(next(self.plan, PlanEnded()))
            case Record(number, entry):
                assert number == len(self.ledger)
                self.ledger.append(entry)
                self.waiting.append(number)
            case Emit(found) as emit:
                assert found
                self.emitted += rows_emitted(emit)
            case ReportProblem(document, reason, _):
                assert document not in self.problems
                self.problems[document] = reason
            case Finish():
                assert not self.waiting
                self.finished = True
            case Abort():
                raise AssertionError(action.detail)

    @property
    def outcome(self) -> tuple[object, ...]:
        totals = self.machine.totals
        counts = (totals.documents, totals.bytes, totals.skipped, totals.findings)
        return self.emitted, self.problems, counts


def planned(corpus: list[Fate]) -> list[ShardPlanned]:
    with patch("vyre_dist.engine.shards.ASSUMED_BYTES", 1):
        plan = Plan(inputs_of(corpus), SHARD_BYTES, SHARD_DOCUMENTS)
        shards: list[ShardPlanned] = []
        while isinstance(shard := plan.next(), ShardPlanned):
            shards.append(shard)
    return shards


def with_entries(shards: list[ShardPlanned], ledger: list[Entry]) -> list[ShardPlanned]:
    """The plan as a resume finds it."""
    known: list[list[Entry]] = [[] for _ in shards]
    for entry in ledger:
        record = decode_record(unpack(encode_record(Done(entry, 0))), "")
        assert isinstance(record, Done)
        known[entry.shard].append(record.entry)
    return [replace(s, entries=tuple(e)) for s, e in zip(shards, known, strict=True)]


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(fates, max_size=12), st.integers(0, 1 << 30))
def test_every_prefix_of_a_ledger_leads_to_the_same_end(corpus: list[Fate], seed: int) -> None:
    """Whatever the schedules of both drivers. What an entry covers is not scanned again."""
    shards = planned(corpus)
    undisturbed = Scan(corpus, shards, random.Random(seed)).run()
    for length in range(len(undisturbed.ledger) + 1):
        before = undisturbed.ledger[:length]
        resumed = Scan(corpus, with_entries(shards, before), random.Random(seed + length)).run()
        assert resumed.outcome == undisturbed.outcome, length
        twice = [*before, *resumed.ledger]
        again = Scan(corpus, with_entries(shards, twice), random.Random(seed)).run()
        assert again.outcome == undisturbed.outcome
        assert again.done == [] and again.ledger == []


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(fates, max_size=12), st.integers(0, 1 << 30))
def test_a_ledger_alone_gives_what_was_done(corpus: list[Fate], seed: int) -> None:
    """All of it when it is whole, else some of it, in order, and the rest is told of."""
    shards = planned(corpus)
    undisturbed = Scan(corpus, shards, random.Random(seed)).run()
    for length in range(len(undisturbed.ledger) + 1):
        before = with_entries(shards, undisturbed.ledger[:length])
        read = Scan(corpus, before, random.Random(0), only_entries=True).run()
        assert read.ledger == [] and read.done == []
        rest = [row for row in undisturbed.emitted if row in read.emitted]
        assert rest == read.emitted
        unfinished = read.machine.unfinished or "unfinished" in read.problems.values()
        assert unfinished or read.outcome == undisturbed.outcome
        assert not (unfinished and length == len(undisturbed.ledger))
