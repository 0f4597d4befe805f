"""ScanMachine by hand: documents in several pieces, joined, skipped or given up."""

from __future__ import annotations

import pytest
from machine_steps import (
    decoded,
    found,
    kept,
    names,
    part,
    planned,
    row,
    rows_emitted,
    shard,
    split,
    tasks,
    whole,
)

from vyre_dist.driver.events import (
    Emit,
    Finish,
    Forget,
    ReportProblem,
    TaskDone,
    TaskFailed,
)
from vyre_dist.engine.finding_rows import path_row
from vyre_dist.engine.tasks import (
    DocumentProblem,
    Piece,
    ScanTask,
    StitchTask,
    TaskResult,
)


def test_a_split_document_is_joined_when_its_last_part_has_come() -> None:
    """Parts that come in any order make one StitchTask with all of them in order; its findings are
    the document's.
    """
    pieces = split(25)
    machine, actions = planned(*[shard(p) for p in pieces], shard(whole(1)), workers=4)
    given = tasks(actions)
    assert (
        machine.handle(TaskDone(given[3][0], given[3][1], TaskResult(findings=found(row(1))))) == []
    )
    for i in (2, 0):
        assert not tasks(
            machine.handle(TaskDone(given[i][0], given[i][1], TaskResult(parts=[part(pieces[i])])))
        )
    ((worker, task_id, task),) = tasks(
        machine.handle(TaskDone(given[1][0], given[1][1], TaskResult(parts=[part(pieces[1])])))
    )
    assert task == StitchTask(Piece(0, "big", 25, 0, 25), tuple(map(part, pieces)))
    last = machine.handle(
        TaskDone(worker, task_id, TaskResult(findings=found(row(0, 19)), documents=1))
    )
    assert decoded(last) == [
        [row(0, 19)],
        Forget((range(1),)),
        [row(1)],
        Forget((range(1, 2),)),
        Finish(),
    ]


def test_a_finding_of_the_first_piece_waits_for_the_whole_document() -> None:
    """A path rule's finding comes with its piece; it is emitted in its place, or not at all if the
    document fails.
    """
    pieces = split(20)
    for fails in (False, True):
        machine, actions = planned(*map(shard, pieces), workers=2)
        (a, b) = tasks(actions)
        first = TaskResult(findings=found(path_row(0, 5)), parts=[part(pieces[0])])
        assert machine.handle(TaskDone(a[0], a[1], first)) == []
        if fails:
            problems = [DocumentProblem(0, "changed", "it shrank")]
            actions = machine.handle(TaskDone(b[0], b[1], TaskResult(problems=problems)))
            assert actions == [
                ReportProblem(0, "changed", "it shrank"),
                Forget((range(1),)),
                Finish(),
            ]
        else:
            ((worker, stitch, _),) = tasks(
                machine.handle(TaskDone(b[0], b[1], TaskResult(parts=[part(pieces[1])])))
            )
            rows = [row(0, 0, rule=2), row(0, 0, rule=9)]
            actions = machine.handle(TaskDone(worker, stitch, TaskResult(findings=found(*rows))))
            assert decoded(actions)[0] == [path_row(0, 5), *rows]


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_pieces_that_were_read_are_reported_of_a_document_that_fails(late: bool) -> None:
    """The findings of pieces that were done come out in its turn, whether they are done before or
    after it fails.
    """
    pieces = split(30)
    machine, actions = planned(*map(shard, pieces), shard(whole(1)), workers=4)
    a, b, c, d = tasks(actions)
    failing = [(b, TaskResult(problems=[DocumentProblem(0, "changed", "it shrank")]))]
    reading = [(a, TaskResult(parts=[kept(pieces[0])])), (c, TaskResult(parts=[kept(pieces[2])]))]
    done = machine.handle(TaskDone(d[0], d[1], TaskResult(findings=found(row(1)), documents=1)))
    for (worker, task_id, _), result in failing + reading if late else reading + failing:
        done += machine.handle(TaskDone(worker, task_id, result))
    emitted = [
        [(r.document, r.rule, r.start) for r in rows_emitted(a)]
        for a in done
        if isinstance(a, Emit)
    ]
    assert emitted == [[(0, 0, 3), (0, 0, 23)], [(1, 0, 0)]]
    assert [a.reason for a in done if isinstance(a, ReportProblem)] == ["changed"]
    # who reads the pieces' findings counts them
    assert done[-1] == Finish() and machine.totals.findings == 1


@pytest.mark.parametrize("fault", ["problem", "failure"])
def test_pieces_are_reported_of_a_document_that_cannot_be_joined(fault: str) -> None:
    """Where joining finds another file, or fails again and again, what the pieces found by
    themselves comes out.
    """
    pieces = split(20)
    machine, actions = planned(*map(shard, pieces), workers=2)
    for i, (worker, task_id, _) in enumerate(tasks(actions)):
        actions = machine.handle(TaskDone(worker, task_id, TaskResult(parts=[kept(pieces[i])])))
    for _ in range(1 if fault == "problem" else 2):
        ((worker, task_id, _),) = tasks(actions)
        changed = TaskDone(
            worker,
            task_id,
            TaskResult(problems=[DocumentProblem(0, "changed", "it is another one")]),
        )
        actions = machine.handle(
            changed if fault == "problem" else TaskFailed(worker, task_id, "no memory")
        )
    assert [a.reason for a in actions if isinstance(a, ReportProblem)] == [
        "changed" if fault == "problem" else "quarantined"
    ]
    assert [
        [(r.document, r.rule, r.start) for r in rows_emitted(a)]
        for a in actions
        if isinstance(a, Emit)
    ] == [[(0, 0, 3), (0, 0, 13)]]
    assert actions[-1] == Finish()


def test_a_problem_of_every_piece_is_one_problem() -> None:
    """A split document that changed is listed once, and pieces that nobody has begun are not
    begun.
    """
    pieces = split(100)
    machine, actions = planned(*map(shard, pieces), shard(whole(1)))
    assert len(tasks(actions)) == 2
    changed = TaskResult(problems=[DocumentProblem(0, "changed", "it shrank")])
    first = machine.handle(TaskDone(0, 0, changed))
    assert first[0] == ReportProblem(0, "changed", "it shrank")
    # what comes next is the other document
    assert [task for _, _, task in tasks(first)] == [ScanTask((whole(1),))]
    second = machine.handle(TaskDone(0, 1, changed))
    assert not [a for a in second if isinstance(a, ReportProblem)]


def test_a_skipped_split_document_counts_once() -> None:
    """Each piece of a document that an allowlist rules out says so; it is one skipped document."""
    pieces = split(30)
    machine, actions = planned(*map(shard, pieces), workers=3)
    for worker, task_id, _ in tasks(actions):
        last = machine.handle(TaskDone(worker, task_id, TaskResult(skipped=[0])))
    assert last == [Forget((range(1),)), Finish()]
    assert machine.totals.skipped == 1


def test_a_stitch_task_that_fails_puts_its_document_in_quarantine() -> None:
    """Joining is retried like any task; it cannot be cut in two."""
    pieces = split(20)
    machine, actions = planned(*map(shard, pieces), workers=2)
    for i, (worker, task_id, _) in enumerate(tasks(actions)):
        actions = machine.handle(TaskDone(worker, task_id, TaskResult(parts=[part(pieces[i])])))
    for _ in range(2):
        ((worker, task_id, _),) = tasks(actions)
        actions = machine.handle(TaskFailed(worker, task_id, "no memory"))
    assert [a.reason for a in actions if isinstance(a, ReportProblem)] == ["quarantined"]
    assert names(actions)[-2:] == ["Forget", "Finish"]
