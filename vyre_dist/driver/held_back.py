"""HeldBack: what workers have said, until it may be told.

They begin while a GPU is looked for that was asked for, but nothing is to have been scanned where
there is none. That they are ready is told at once, so that they have tasks; who they are when it is
known, and before what they did.
"""

from __future__ import annotations

from collections.abc import Callable

from vyre_dist.driver.events import Event, TaskDone, TaskFailed, WorkerLost, WorkerReady
from vyre_dist.driver.worker_facts import WorkerFacts

_ON_GPU = 2
"""Tasks that a worker with a GPU does at the same time: one is on the device while it reads the
next. The first is told to be done when the next has been begun.
"""


class HeldBack:
    """`facts`: gives those of a worker, once anything may be told."""

    def __init__(self, facts: Callable[[int], WorkerFacts]) -> None:
        self._facts = facts
        self._events: list[Event] = []
        self._unknown: set[int] = set()  # ready, and nobody was told who they are
        self._known: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._events or self._unknown)

    def add(self, event: Event) -> None:
        """A worker said this."""
        self._events.append(event)

    def know_better(self, worker: int) -> None:
        """The facts of a worker that is ready have changed."""
        if worker in self._known:
            self._unknown.add(worker)

    def told(self, everything: bool) -> list[Event]:
        """What may be told now: everything, or only who is ready."""
        events: list[Event] = []
        kept: list[Event] = []
        for event in self._events:
            if isinstance(event, WorkerReady):
                self._unknown.add(event.worker)
                if not everything:
                    events.append(event)
            elif not everything:
                kept.append(event)
            else:
                if isinstance(event, TaskDone | TaskFailed) and event.worker in self._unknown:
                    events.append(self._introduce(event.worker))
                elif isinstance(event, WorkerLost):
                    self._unknown.discard(event.worker)
                    self._known.discard(event.worker)
                events.append(event)
        self._events = kept
        if everything:
            events += [self._introduce(worker) for worker in sorted(self._unknown)]
        return events

    def _introduce(self, worker: int) -> WorkerReady:
        self._unknown.discard(worker)
        self._known.add(worker)
        facts = self._facts(worker)
        return WorkerReady(worker, _ON_GPU if facts.gpu else 1, facts)
