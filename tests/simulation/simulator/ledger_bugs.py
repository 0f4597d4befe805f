"""Bugs of the ledger, of who owns a run, and of parts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from simulator.planting import Bug, change, in_list
from simulator.storage import ProcessStorage
from vyre_dist.engine.filed import Filed
from vyre_dist.ledger import history, owner
from vyre_dist.ledger.history import History
from vyre_dist.ledger.journal import Journal, _Writer
from vyre_dist.ledger.owner import DEAD_SECONDS, Owner, RunTakenError
from vyre_dist.ledger.records import PlanEnd
from vyre_dist.ledger.run_directory import RunDirectory
from vyre_dist.storage import frames

BUGS: list[Bug] = []
bug = in_list(BUGS)


# --- the ledger


@bug("done before sync")
def _(stack: ExitStack) -> None:
    def commit(self: RunDirectory, *, idle: bool) -> int | None:
        if self._since is not None and self._last is not None and not idle:
            last, self._last = self._last, None
            return last
        return old(self, idle=idle)

    old = change(stack, RunDirectory, "commit", commit)


@bug("a failed commit is taken for one")
def _(stack: ExitStack) -> None:
    def commit(self: Journal, **options: Any) -> None:
        with contextlib.suppress(OSError):
            old(self, **options)

    old = change(stack, Journal, "commit", commit)


@bug("a frame is numbered before it is written")
def _(stack: ExitStack) -> None:
    def commit(self: Any) -> None:
        if self.records:
            frame = frames.framed(self._frames, b"".join(self.records))
            self._frames += 1
            self._log.append(frame)
            self.records.clear()

    change(stack, _Writer, "commit", commit)


@bug("records wait for as long as anybody is at work")
def _(stack: ExitStack) -> None:
    def commit(self: RunDirectory, *, idle: bool) -> int | None:
        return old(self, idle=idle) if idle else None

    old = change(stack, RunDirectory, "commit", commit)


@bug("torn tail read")
def _(stack: ExitStack) -> None:
    def frame(view: memoryview, at: int) -> frames.Frame | None:
        if len(view) - at < frames.HEADER_BYTES:
            return None
        _, number, length, _ = frames._HEADER.unpack_from(view, at)
        start = at + frames.HEADER_BYTES
        return frames.Frame(number, start, view[start : start + length])

    change(stack, frames, "_frame", frame)


@bug("a torn tail is damage")
def _(stack: ExitStack) -> None:
    def check(name: str, data: bytes, at: int, number: int) -> None:
        raise frames.DamagedError(name, at, "it is torn")

    change(stack, frames, "_check_torn", check)


@bug("what counts of the logs of dead drivers is not synced (was there)")
def _(stack: ExitStack) -> None:
    change(stack, ProcessStorage, "sync", lambda self, name: None)


@bug("what does not count any more is not put down")
def _(stack: ExitStack) -> None:
    change(stack, RunDirectory, "void", lambda self, shard, places, items: None)


@bug("the end of the plan is put down too early")
def _(stack: ExitStack) -> None:
    def planned(self: RunDirectory, shard: int, items: Any) -> None:
        old(self, shard, items)
        if not self._ended and shard >= 2:
            end = PlanEnd(self._shards, self._documents, self._checksum, {})
            self._writer.plan(end)

    old = change(stack, RunDirectory, "planned", planned)


# --- the owner


@bug("epoch not compared")
def _(stack: ExitStack) -> None:
    change(stack, Owner, "check", lambda self: None)


@bug("the owner is looked at when it is time to beat, and not at each commit", rare=True)
def _(stack: ExitStack) -> None:
    def check(self: Owner) -> None:
        if self.due:
            old(self)

    old = change(stack, Owner, "check", check)


@bug("a driver that lives is taken for dead")
def _(stack: ExitStack) -> None:
    change(stack, owner, "lives", lambda *_: False)


@bug("an owner says once that it lives", rare=True)
def _(stack: ExitStack) -> None:
    change(stack, Owner, "due", property(lambda self: False))


@bug("what a fenced driver appends later counts")
def _(stack: ExitStack) -> None:
    change(stack, history, "_counted", lambda name, data, length: data)


@bug("a list that is late is a later owner (was there)")
def _(stack: ExitStack) -> None:
    def check(self: Owner) -> None:
        last = owner._last(self._storage)
        if last != self.epoch:
            raise RunTakenError(self._storage.place, last)
        old(self)

    old = change(stack, Owner, "check", check)


@bug("a beat from the future is a sign of life (was there)", rare=True)
def _(stack: ExitStack) -> None:
    def lives(driver: owner.Identity, clock: Callable[[], float], host: owner.Host) -> bool:
        if driver.ended or host.knows(driver):
            return old(driver, clock, host)
        return clock() - driver.beat < DEAD_SECONDS

    old = change(stack, owner, "lives", lives)


@bug("logs of a plan are those that are listed at the time (was there)", rare=True)
def _(stack: ExitStack) -> None:
    def logs_of(self: History, kind: str) -> list[tuple[str, int]]:
        listed = {f"{kind}/{name}" for name in self._storage.names(kind)}
        return [each for each in old(self, kind) if each[0] in listed]

    old = change(stack, History, "_logs_of", logs_of)


# --- parts


@bug("a part is named that could not be written")
def _(stack: ExitStack) -> None:
    def put(self: ProcessStorage, name: str, data: Any) -> None:
        with contextlib.suppress(OSError):
            old(self, name, data)

    old = change(stack, ProcessStorage, "put", put)


@bug("two tasks of a shard have one part")
def _(stack: ExitStack) -> None:
    def part(self: RunDirectory, shard: int, task_id: int | str) -> str:
        return f"{self._parts}/{shard}.{self._owner.epoch}"

    change(stack, RunDirectory, "part", part)


@bug("drivers give parts the same names")
def _(stack: ExitStack) -> None:
    def part(self: RunDirectory, shard: int, task_id: int | str) -> str:
        return f"{self._parts}/{shard}.{task_id}"

    change(stack, RunDirectory, "part", part)


@bug("all frames of a part begin where the first one does")
def _(stack: ExitStack) -> None:
    def read(self: Filed) -> bytes:
        return old(Filed(self.part, 0, self.size))

    old = change(stack, Filed, "read", read)
