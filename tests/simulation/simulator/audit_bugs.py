"""Bugs of audits."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from simulator.planting import Bug, change, in_list
from vyre_dist.driver.audits import Audits
from vyre_dist.driver.events import ReportAudit
from vyre_dist.driver.intake import Intake
from vyre_dist.driver.machine import ScanMachine
from vyre_dist.driver.records import Records
from vyre_dist.driver.task_queue import TaskQueue
from vyre_dist.driver.totals import Totals
from vyre_dist.engine import task_codec
from vyre_dist.engine.tally import Tally
from vyre_dist.engine.tasks import AuditTask

BUGS: list[Bug] = []
bug = in_list(BUGS)


@bug("a resume does not audit what was scanned before")
def _(stack: ExitStack) -> None:
    def take_in(self: Intake, entry: Any, actions: list[Any], done: Any = None) -> None:
        if done is not None:
            entry = replace(entry, result=replace(entry.result, audits=[]))
        old(self, entry, actions, done)

    old = change(stack, Intake, "take_in", take_in)


@bug("the ledger does not keep what is to be audited")
def _(stack: ExitStack) -> None:
    def add(self: Records, entry: Any, actions: list[Any]) -> None:
        old(self, replace(entry, result=replace(entry.result, audits=[])), actions)

    old = change(stack, Records, "add", add)


@bug("the scan ends before its audits do")
def _(stack: ExitStack) -> None:
    def plan_or_finish(self: ScanMachine, actions: list[Any]) -> None:
        audits, self._queue.open_audits = self._queue.open_audits, 0
        old(self, actions)
        self._queue.open_audits = audits

    old = change(stack, ScanMachine, "_plan_or_finish", plan_or_finish)


@bug("audits wait for ever once all is scanned")
def _(stack: ExitStack) -> None:
    change(stack, Audits, "give_out_to_idle", lambda self, actions: None)


@bug("what an audit has found before its pause is forgotten")
def _(stack: ExitStack) -> None:
    def add_audit(self: TaskQueue, task: AuditTask, failures: int = 0) -> None:
        old(self, replace(task, cursor=task.cursor._replace(found=Tally())), failures)

    old = change(stack, TaskQueue, "add_audit", add_audit)


@bug("an audit begins anew after each pause")
def _(stack: ExitStack) -> None:
    def add_audit(self: TaskQueue, task: AuditTask, failures: int = 0) -> None:
        old(self, AuditTask(task.piece, task.evidence, task.found), failures)

    old = change(stack, TaskQueue, "add_audit", add_audit)


@bug("the audit that a lost worker had is lost")
def _(stack: ExitStack) -> None:
    def requeue(self: TaskQueue, assignment: Any) -> None:
        if isinstance(assignment.task, AuditTask):
            self.close(assignment)
        else:
            old(self, assignment)

    old = change(stack, TaskQueue, "requeue", requeue)


@bug("an audit is given up after its first failure")
def _(stack: ExitStack) -> None:
    def failed(self: Audits, assignment: Any, most: int, *told: Any) -> None:
        old(self, assignment, 1, *told)

    old = change(stack, Audits, "failed", failed)


@bug("an audit that ends its worker is tried for ever")
def _(stack: ExitStack) -> None:
    def failed(self: Audits, assignment: Any, *told: Any) -> None:
        assignment.failures = 0
        old(self, assignment, *told)

    old = change(stack, Audits, "failed", failed)


@bug("a document that can't be audited is not counted")
def _(stack: ExitStack) -> None:
    def failed(self: Audits, assignment: Any, most: int, *told: Any) -> None:
        before = self._totals.not_audited
        old(self, assignment, most, *told)
        self._totals.not_audited = before

    old = change(stack, Audits, "failed", failed)


@bug("a difference is counted, and not told")
def _(stack: ExitStack) -> None:
    def done(self: Audits, task: Any, result: Any, actions: list[Any]) -> None:
        before = len(actions)
        old(self, task, result, actions)
        actions[before:] = [a for a in actions[before:] if not isinstance(a, ReportAudit)]

    old = change(stack, Audits, "done", done)


@bug("an audit that is answered twice counts twice")
def _(stack: ExitStack) -> None:
    def done(self: ScanMachine, event: Any, actions: list[Any]) -> None:
        if event.result.audit is not None and not self._queue.is_open(event.task_id):
            self.totals.add(event.result, 0)
        old(self, event, actions)

    old = change(stack, ScanMachine, "_done", done)


@bug("what an audit took apart counts as scanned")
def _(stack: ExitStack) -> None:
    def add(self: Totals, result: Any, skipped: int) -> None:
        old(self, result, skipped)
        self.documents += result.audited

    old = change(stack, Totals, "add", add)


@bug("a tally loses a rule on its way")
def _(stack: ExitStack) -> None:
    def wire(task: AuditTask) -> Any:
        sums = dict(list(task.found.sums.items())[:1])
        return old(replace(task, found=Tally(task.found.shift, sums)))

    old = change(stack, task_codec, "_wire_audit", wire)
