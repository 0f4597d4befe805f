"""Audits: what becomes of documents that are scanned again with google-re2 alone.

Part of the state machine. Audits wait by themselves (task_queue.py), for workers that have nothing
else to do. Findings do not wait for them; the end of the scan does. An audit that fails is a note:
the scan of its document is whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vyre_dist.driver.events import Action, ReportAudit, Submit
from vyre_dist.driver.task_queue import Assignment, TaskQueue
from vyre_dist.driver.totals import Totals
from vyre_dist.driver.workforce import Workforce
from vyre_dist.engine.tasks import AuditTask, TaskResult
from vyre_dist.input_problem import AUDIT_DIFFERS, NOT_AUDITED, InputNote, InputProblem

_PATIENCE = 5.0


class Audits:
    """`waiting`: audits that may wait for a worker that has nothing else to do."""

    def __init__(
        self, queue: TaskQueue, workforce: Workforce, totals: Totals, waiting: int
    ) -> None:
        self._queue = queue
        self._workforce = workforce
        self._totals = totals
        self._waiting = waiting
        self._alone_since: float | None = None
        self._told = False

    def add(self, tasks: Iterable[AuditTask]) -> None:
        """Queue what a task that is done has chosen."""
        for task in tasks:
            self._queue.add_audit(task)

    def news(self, now: float, *, scanned: bool) -> str | None:
        """What to tell people, once, where all is `scanned` and audits go on for a while."""
        left = self._queue.open_audits
        if not scanned or not left or self._told:
            return None
        if self._alone_since is None:
            self._alone_since = now
        self._told = now - self._alone_since >= _PATIENCE
        number = "1 audit is" if left == 1 else f"{left:,} audits are"
        return f"all is scanned; {number} left" if self._told else None

    @property
    def too_many(self) -> bool:
        """Whether more wait than should: some have to be done first."""
        return self._queue.waiting_audits > self._waiting

    def give_out_the_oldest(self, depth: int, actions: list[Action]) -> None:
        """Where too many wait, have workers do some before they scan on."""
        self._give_out(self._queue.waiting_audits - self._waiting, range(1, depth + 1), actions)

    def give_out_to_idle(self, actions: list[Action]) -> None:
        """Have workers do some that have nothing else to do: a scan's task must not wait behind
        one.
        """
        if not self._queue:
            self._give_out(self._queue.waiting_audits, range(1, 2), actions)

    def _give_out(self, most: int, depths: range, actions: list[Action]) -> None:
        if most > 0:
            for worker in self._workforce.takers(most, depths):
                task_id, task = self._queue.give_out_audit()
                self._workforce.give(worker, task_id)
                actions.append(Submit(worker, task_id, task))

    def done(self, task: AuditTask, result: TaskResult, actions: list[Action]) -> None:
        """Take in what came of an audit, and queue what is left of it."""
        self._totals.add(result, 0)
        answer, path = result.audit, task.piece.path
        if answer is None:
            raise AssertionError("an audit has no answer")
        if answer.cursor is not None:
            self._queue.add_audit(replace(task, cursor=answer.cursor))
        elif answer.reason == AUDIT_DIFFERS:
            actions.append(ReportAudit(InputProblem(path, AUDIT_DIFFERS, answer.detail)))
        elif answer.reason:
            actions.append(ReportAudit(InputNote(path, answer.reason, answer.detail)))

    def failed(
        self, assignment: Assignment, most_failures: int, detail: str, actions: list[Action]
    ) -> None:
        """Retry an audit, or give it up."""
        task, failures = assignment.task, assignment.failures + 1
        if not isinstance(task, AuditTask):
            raise AssertionError("that is no audit")
        if failures < most_failures:
            self._queue.add_audit(task, failures)
            return
        self._totals.not_audited += 1
        why = f"auditing it failed {failures} times: {detail}"
        actions.append(ReportAudit(InputNote(task.piece.path, NOT_AUDITED, why)))
