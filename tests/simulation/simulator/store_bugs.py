"""Bugs of what a run has of its autotune store."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from simulator.planting import Bug, change, in_list
from vyre_dist.autotune.choice import DEFAULT_CHOICE
from vyre_dist.autotune.codec import InvalidRecordError, decode
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.store import Counters, RecordStore
from vyre_dist.driver import tuning
from vyre_dist.driver.tuned_class import Stage, TunedClass
from vyre_dist.driver.tuned_kind import TunedKind, TunedWorker
from vyre_dist.driver.tuning import Tuning
from vyre_dist.driver.worker_facts import WorkerFacts
from vyre_dist.errors import VyreError
from vyre_dist.program.program_facts import ProgramFacts
from vyre_dist.runs.local_link import LocalLink
from vyre_dist.tuning.halving import Race

BUGS: list[Bug] = []
bug = in_list(BUGS)


@bug("a store that has failed is asked for each kind of worker (was there)")
def _(stack: ExitStack) -> None:
    def with_store(self: LocalLink, work: Any) -> Any:
        before, self.problem, self._waited = self.problem, "", 0.0
        try:
            return old(self, work)
        finally:
            self.problem = before or self.problem

    old = change(stack, LocalLink, "_with_store", with_store)


@bug("a slow store is asked for each kind of worker (was there)")
def _(stack: ExitStack) -> None:
    def with_store(self: LocalLink, work: Any) -> Any:
        self._waited = 0.0
        return old(self, work)

    old = change(stack, LocalLink, "_with_store", with_store)


@bug("the store is asked for each worker")
def _(stack: ExitStack) -> None:
    def runs(self: Tuning, state: TunedWorker, programs: ProgramFacts) -> None:
        if state.kind is None:
            self._kinds.clear()
        old(self, state, programs)

    old = change(stack, Tuning, "_runs", runs)


@bug("a worker runs what is best for the one before it")
def _(stack: ExitStack) -> None:
    def ready(self: Tuning, worker: int, facts: WorkerFacts) -> None:
        old(self, worker, facts)
        self._workers[worker].kind = self._workers[worker].kind or kinds.get((self, worker))

    def lost(self: Tuning, worker: int) -> None:
        if worker in self._workers:
            kinds[self, worker] = self._workers[worker].kind
        old_lost(self, worker)

    kinds: dict[tuple[Tuning, int], TunedKind | None] = {}
    old_lost = change(stack, Tuning, "lost", lost)
    old = change(stack, Tuning, "ready", ready)


@bug("whoever wins is published as the default")
def _(stack: ExitStack) -> None:
    def winner_record(*arguments: Any) -> StoredRecord | None:
        record: StoredRecord | None = old(*arguments)
        return record and replace(record, choice=DEFAULT_CHOICE)

    old = change(stack, tuning, "winner_record", winner_record)


@bug("a store that can't be used ends the run")
def _(stack: ExitStack) -> None:
    def with_store(self: LocalLink, work: Any) -> Any:
        found = old(self, work)
        if self.problem:
            raise VyreError(self.problem)
        return found

    old = change(stack, LocalLink, "_with_store", with_store)


@bug("why a store is of no use is forgotten")
def _(stack: ExitStack) -> None:
    def with_store(self: LocalLink, work: Any) -> Any:
        found = old(self, work)
        self.problem = ""
        return found

    old = change(stack, LocalLink, "_with_store", with_store)


@bug("what is no record ends the run")
def _(stack: ExitStack) -> None:
    def decoded(self: RecordStore, payload: bytes, key: Any) -> StoredRecord | None:
        stored = decode(payload)
        return stored if key in (None, stored.key) else None

    change(stack, RecordStore, "decoded", decoded)


@bug("what is no record is not counted")
def _(stack: ExitStack) -> None:
    def add(self: Counters, name: str, count: int = 1) -> None:
        if name != "invalid":
            old(self, name, count)

    old = change(stack, Counters, "add", add)


@bug("a record of another key counts")
def _(stack: ExitStack) -> None:
    def decoded(self: RecordStore, payload: bytes, key: Any) -> StoredRecord | None:
        try:
            return decode(payload)
        except InvalidRecordError:
            self._counters.add("invalid")
            return None

    change(stack, RecordStore, "decoded", decoded)


@bug("all kinds of workers are tuned as one")
def _(stack: ExitStack) -> None:
    def runs(self: Tuning, state: TunedWorker, programs: ProgramFacts) -> None:
        for kind in self._kinds.values():
            programs = kind.programs
        old(self, state, programs)

    old = change(stack, Tuning, "_runs", runs)


@bug("what a race has measured of one kind decides another's")
def _(stack: ExitStack) -> None:
    def decide(self: Tuning, tuned: TunedClass, race: Race) -> None:
        for each in self._classes.values():
            if each is tuned or each.stage is Stage.FREE:
                old(self, each, race)

    old = change(stack, Tuning, "_decide", decide)
