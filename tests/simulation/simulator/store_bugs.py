"""Bugs of what a run has of its autotune store."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from simulator.planting import Bug, change, in_list
from vyre_dist.autotune.codec import InvalidRecordError, decode
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.store import Counters, RecordStore
from vyre_dist.cli.console import Console
from vyre_dist.driver import tuning
from vyre_dist.driver.run import _Loop
from vyre_dist.errors import VyreError
from vyre_dist.runs.stores import RunStores

BUGS: list[Bug] = []
bug = in_list(BUGS)


@bug("a store that has failed is asked for each kind of worker (was there)")
def _(stack: ExitStack) -> None:
    def with_store(self: RunStores, work: Any) -> Any:
        before, self.problem, self._waited = self.problem, "", 0.0
        try:
            return old(self, work)
        finally:
            self.problem = before or self.problem

    old = change(stack, RunStores, "_with_store", with_store)


@bug("a slow store is asked for each kind of worker (was there)")
def _(stack: ExitStack) -> None:
    def with_store(self: RunStores, work: Any) -> Any:
        self._waited = 0.0
        return old(self, work)

    old = change(stack, RunStores, "_with_store", with_store)


@bug("the store is asked for each worker")
def _(stack: ExitStack) -> None:
    def tune(self: _Loop, event: Any) -> None:
        self._kinds.clear()
        old(self, event)

    old = change(stack, _Loop, "_tune", tune)


@bug("a worker has the threshold of the one before it")
def _(stack: ExitStack) -> None:
    def tune(self: _Loop, event: Any) -> None:
        before = dict(self._thresholds)
        old(self, event)
        self._thresholds.update(before)

    old = change(stack, _Loop, "_tune", tune)


@bug("a store that can't be used ends the run")
def _(stack: ExitStack) -> None:
    def with_store(self: RunStores, work: Any) -> Any:
        found = old(self, work)
        if self.problem:
            raise VyreError(self.problem)
        return found

    old = change(stack, RunStores, "_with_store", with_store)


@bug("why a store is of no use is forgotten")
def _(stack: ExitStack) -> None:
    def with_store(self: RunStores, work: Any) -> Any:
        found = old(self, work)
        self.problem = ""
        return found

    old = change(stack, RunStores, "_with_store", with_store)


@bug("why a store is of no use is told again and again")
def _(stack: ExitStack) -> None:
    def store_failed(self: Console, problem: str) -> None:
        self._store_told = False
        old(self, problem)

    old = change(stack, Console, "store_failed", store_failed)


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


@bug("what all kinds of workers have measured is put together")
def _(stack: ExitStack) -> None:
    def publish_all(pack_key: str, store: Any, uses: Any) -> None:
        if uses:
            tuning.Tuning(pack_key, uses[0].facts).publish(store, uses)

    change(stack, tuning, "publish_all", publish_all)
