"""ScanMachine by hand: documents of which several tasks join a stretch each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from machine_steps import (
    found,
    kept,
    names,
    planned,
    row,
    rows_emitted,
    send,
    shard,
    split,
    tasks,
)

from vyre_dist.driver import joins
from vyre_dist.driver.events import Action, Emit, ReportProblem, TaskDone, TaskFailed
from vyre_dist.driver.machine import ScanMachine
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.tasks import Reach, StitchTask, TaskResult


def reported(actions: Sequence[Action]) -> list[list[FindingRow]]:
    return [rows_emitted(action) for action in actions if isinstance(action, Emit)]


def stretches_of(
    monkeypatch: pytest.MonkeyPatch, reaches: tuple[tuple[int, int], ...] = ()
) -> tuple[ScanMachine, dict[int, tuple[int, int, StitchTask]]]:
    """A document of three stretches that are given out, by the start of each."""
    monkeypatch.setattr(joins, "STRETCH_BYTES", -1)
    pieces = split(30)
    machine, actions = planned(*map(shard, pieces), workers=3)
    parts = [replace(kept(piece), reaches=reaches) for piece in pieces]
    for i, (worker, task_id, _) in enumerate(tasks(actions)):
        actions = machine.handle(TaskDone(worker, task_id, TaskResult(parts=[parts[i]])))
    given = {task.parts[0].start: (worker, number, task) for worker, number, task in tasks(actions)}
    assert sorted(given) == [0, 10, 20]
    return machine, given  # type: ignore[return-value]


def stretch(start: int, **more: Any) -> TaskResult:
    return TaskResult(findings=found(row(0, start)), documents=int(start == 20), **more)


def test_stretches_are_reported_in_order_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is done first, the document's findings come out in order when all are done."""
    machine, given = stretches_of(monkeypatch)
    for start in (20, 0):
        worker, number, _ = given[start]
        assert machine.handle(TaskDone(worker, number, stretch(start))) == []
        assert machine.totals.documents == 0
    worker, number, _ = given[10]
    done = machine.handle(TaskDone(worker, number, stretch(10)))
    assert reported(done) == [[row(0, 0), row(0, 10), row(0, 20)]]
    assert names(done)[-1] == "Finish" and machine.totals.documents == 1


def test_a_stretch_is_joined_again_where_its_neighbour_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its first answer is dropped, whether it has come or is to come."""
    for late in (False, True):
        machine, given = stretches_of(monkeypatch, ((1, 12),))
        assert given[10][2].stretch and given[10][2].stretch.reaches == (Reach(1, 12),)
        first = TaskDone(given[0][0], given[0][1], stretch(0, reaches=(Reach(1, 15),)))
        wrong = TaskDone(given[10][0], given[10][1], stretch(11, reaches=(Reach(1, 12),)))
        last = TaskDone(given[20][0], given[20][1], stretch(20))
        actions = send(machine, *([first, wrong] if late else [wrong, first]))
        ((worker, number, task),) = tasks(actions)
        assert isinstance(task, StitchTask) and task.stretch
        assert task.parts[0].start == 10 and task.stretch.reaches == (Reach(1, 15),)
        assert machine.handle(last) == []
        right = stretch(13, reaches=(Reach(1, 12),))
        done = machine.handle(TaskDone(worker, number, right))
        assert reported(done) == [[row(0, 0), row(0, 13), row(0, 20)]]


def test_a_stretch_that_fails_twice_gives_the_document_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pieces' own findings come out once, whatever the other stretches say before and after."""
    machine, given = stretches_of(monkeypatch)
    done: list[Action] = []
    waiting = [given[0], given[10], given[20]]
    while waiting:
        worker, number, task = waiting.pop(0)
        start = task.parts[0].start
        event = (
            TaskFailed(worker, number, "no memory")
            if start == 10
            else TaskDone(worker, number, stretch(start))
        )
        actions = machine.handle(event)
        done += actions
        waiting += tasks(actions)  # type: ignore[arg-type]
    assert [a.reason for a in done if isinstance(a, ReportProblem)] == ["quarantined"]
    assert [[r.start for r in rows] for rows in reported(done)] == [[3, 13, 23]]
    assert machine.totals.documents == 0 and names(done)[-1] == "Finish"
