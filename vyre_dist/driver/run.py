"""run_scan: the loop between the state machine, a plan, a pool and the callbacks."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vyre_dist.dispatch.report import MergedReport
from vyre_dist.driver.events import (
    Abort,
    Action,
    Emit,
    Event,
    Finish,
    Forget,
    PlanEnded,
    PlanMore,
    Record,
    Recorded,
    ReplaceWorker,
    ReportAudit,
    ReportNote,
    ReportProblem,
    ShardPlanned,
    StartWorker,
    Submit,
    TaskDone,
    TaskFailed,
    Tick,
    Warn,
    WorkerReady,
)
from vyre_dist.driver.handed_parts import HandedParts
from vyre_dist.driver.machine import ScanMachine
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.pool import WorkerPool
from vyre_dist.driver.roster import WorkerUse
from vyre_dist.driver.totals import Totals
from vyre_dist.driver.tuning_events import pass_time, tell
from vyre_dist.engine.finding_blocks import FindingBlock
from vyre_dist.engine.part_files import with_bytes
from vyre_dist.engine.reported import Reporter
from vyre_dist.engine.salvage import Salvage, salvaged_blocks
from vyre_dist.engine.spool import Spool
from vyre_dist.engine.tasks import ScanTask, TaskResult
from vyre_dist.errors import VyreError
from vyre_dist.finding import FindingBatch
from vyre_dist.ledger.records import Worker
from vyre_dist.rules.model import Rule
from vyre_dist.sources import InputNote, InputProblem

if TYPE_CHECKING:
    from vyre_dist.driver.recording import Recording
    from vyre_dist.driver.tuning import Tuning
    from vyre_dist.secret_key import SecretKey

_POLL_SECONDS = 0.2
_OPEN_LEASE = 0.4
"""What tasks have of their size while a scan is being tuned."""


class ScanAbortedError(VyreError):
    """The scan could not go on. `outcome` holds what had been done until then.

    `refused`: a worker could not start for a reason that any other would meet again.
    """

    def __init__(self, detail: str, outcome: ScanOutcome, refused: bool = False) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.refused = refused


@dataclass(slots=True)
class ScanOutcome:
    """What a scan came to. `problems`: inputs that were not scanned to their end.

    `notes`: what is worth a word about others. `workers`: how many there were, and `uses` what each
    of them did; `left_out`: why some were not used that could have been. `unfinished`: documents
    that nobody was to scan any more, and that are not done.
    """

    totals: Totals
    problems: list[InputProblem] = field(default_factory=list)
    notes: list[InputNote] = field(default_factory=list)
    seconds: float = 0.0
    workers: int = 0
    uses: list[WorkerUse] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    unfinished: int = 0

    @property
    def report(self) -> MergedReport:
        """The merged counter tails of all workers."""
        t = self.totals
        return MergedReport(t.committed, t.rolled_back, t.fused)

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for has been scanned."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Who is told what.

    `progress` gets the totals after every round of events, and the plan.
    """

    findings: Callable[[FindingBatch], None]
    problem: Callable[[InputProblem], None]
    warn: Callable[[str], None]
    progress: Callable[[Totals, Plan], None]


def run_scan(
    plan: Plan,
    pool: WorkerPool,
    rules: Sequence[Rule],
    callbacks: Callbacks,
    config: MachineConfig | None = None,
    secret_key: SecretKey | None = None,
    recording: Recording | None = None,
    clock: Callable[[], float] = time.monotonic,
    wall_ns: Callable[[], int] = time.time_ns,
    tuning: Tuning | None = None,
) -> ScanOutcome:
    """Scan everything in `plan` on `pool`, which is started here and closed whatever happens.

    Findings arrive at the callback in the order of the documents. With `recording`, they do so when
    what they come from is kept. Raises ScanAbortedError, and what starting the pool and recording
    raise. `clock`: seconds. `wall_ns`: the time that files are stamped with. `tuning`: says what
    workers run with; without it they run the default.
    """
    rounds = scan_rounds(
        plan, pool, rules, callbacks, config, secret_key, recording, clock, wall_ns, tuning
    )
    return deque(rounds, maxlen=1).pop()


def scan_rounds(
    plan: Plan,
    pool: WorkerPool,
    rules: Sequence[Rule],
    callbacks: Callbacks,
    config: MachineConfig | None = None,
    secret_key: SecretKey | None = None,
    recording: Recording | None = None,
    clock: Callable[[], float] = time.monotonic,
    wall_ns: Callable[[], int] = time.time_ns,
    tuning: Tuning | None = None,
) -> Generator[ScanOutcome, None, None]:
    """`run_scan` round by round: after each round of events the outcome so far, at last the whole.

    All of them are the same object. Closing the iterator closes the pool: the scan ends there.
    Raises what run_scan raises.
    """
    began = clock()
    try:
        if recording is not None:
            config = replace(config or MachineConfig(), recorded=True)
        machine = ScanMachine(pool.start(), config, pool.at_once)
        outcome = ScanOutcome(machine.totals, uses=machine.roster.uses, left_out=machine.left_out)
        reporter = Reporter(rules, secret_key)
        loop = _Loop(
            plan,
            pool,
            reporter,
            rules,
            callbacks,
            machine,
            outcome,
            recording,
            clock,
            wall_ns,
            tuning,
        )
        for _ in loop.rounds():
            yield outcome
    except FileNotFoundError:
        if recording is not None:
            recording.check_owner()  # who has taken the run over removes what it does not need
        raise
    finally:
        pool.close()
        if tuning is not None:
            tuning.close()
    outcome.seconds = clock() - began
    outcome.workers = machine.roster.count
    outcome.unfinished = machine.unfinished
    if loop.aborted is not None:
        raise ScanAbortedError(loop.aborted.detail, outcome, loop.aborted.refused)
    yield outcome


class _Loop:
    """Carries out actions, and feeds what comes of them back into the machine."""

    def __init__(
        self,
        plan: Plan,
        pool: WorkerPool,
        reporter: Reporter,
        rules: Sequence[Rule],
        callbacks: Callbacks,
        machine: ScanMachine,
        outcome: ScanOutcome,
        recording: Recording | None,
        clock: Callable[[], float],
        wall_ns: Callable[[], int],
        tuning: Tuning | None,
    ) -> None:
        self._clock, self._tuning = clock, tuning
        self._plan = plan
        self._pool = pool
        self._rule_ids = [rule.id for rule in rules]
        self._reporter = reporter
        self._callbacks = callbacks
        self._machine = machine
        self._outcome = outcome
        self._listed = 0
        self._spool = Spool()
        self._warned = False
        self._recording = recording
        self._shard = 0
        self._parts: HandedParts | None = None
        if recording is not None:
            self._parts = HandedParts(recording, pool.same_machine, wall_ns)
        self._began_ns: int | None = None
        self._answered: int | None = None
        self.aborted: Abort | None = None

    def rounds(self) -> Iterator[None]:
        """Go on until the machine says that it is over.

        Pauses after each round of events, and when findings were given: they come some thousand at
        a time, and who takes them need not hold more.
        """
        machine, handle = self._machine, self._carry_out
        yield from handle(machine.handle(Tick(self._clock())))
        while not machine.over:
            patience = _POLL_SECONDS
            if self._recording is not None:
                patience = self._recording.patience(patience)
            for event in self._pool.poll(patience):
                self._note(event)
                yield from handle(machine.handle(self._kept(event)))
            self._began_ns = self._answered = None
            yield from handle(machine.handle(Tick(self._clock())))
            if self._recording is not None:
                number = self._recording.commit(idle=not machine.busy)
                if number is not None:
                    yield from handle(machine.handle(Recorded(number)))
            self._callbacks.progress(machine.totals, self._plan)
            if self._tuning is not None:
                pass_time(self._tuning, machine.waiting, not self._plan.ended, self._callbacks.warn)
            yield
        if self.aborted is None and (detail := self._pool.unusable()):
            self.aborted = Abort(detail, refused=True)

    def _note(self, event: Event) -> None:
        """Tell the run directory, and what tunes the scan, what workers say."""
        if self._recording is not None and isinstance(event, WorkerReady) and event.facts:
            facts = event.facts
            device = facts.gpu if facts.backend == "cuda" and facts.gpu else facts.device
            worker = Worker(event.worker, facts.host, facts.backend, device, facts.processes)
            self._recording.worker(worker)
        if self._tuning is not None:
            tell(self._tuning, event)

    def _kept(self, event: Event) -> Event:
        """The event without the bytes that have to wait for their turn: a file has them."""
        self._began_ns, self._answered, part = None, None, ""
        if not isinstance(event, TaskDone | TaskFailed):
            return event
        if self._parts is not None:
            self._began_ns, part = self._parts.ended(event.worker, event.task_id)
        if isinstance(event, TaskFailed):
            return event
        self._answered, result = event.worker, event.result
        if self._parts is not None:
            result = self._parts.stored(event.worker, result, part)
        kept = self._spooled(result)
        if self._spool.trouble and not self._warned:
            self._warned = True
            self._callbacks.warn(self._spool.trouble)
        return replace(event, result=kept)

    def _spooled(self, result: TaskResult) -> TaskResult:
        return with_bytes(result, self._spool.keep, self._spool.keep_part)

    def _carry_out(self, actions: list[Action]) -> Iterator[None]:
        queue = deque(actions)
        while queue:
            match queue.popleft():
                case StartWorker(worker):
                    self._pool.begin(worker)
                case Submit(worker, task_id, task, shard):
                    if self._tuning is not None and isinstance(task, ScanTask):
                        task = self._tuning.given(worker, task_id, task)
                    if self._parts is not None:
                        task = self._parts.given(worker, task_id, task, shard)
                    self._pool.submit(worker, task_id, task)
                case Record(number, entry):
                    if self._recording is not None:
                        self._recording.record(number, entry, self._begun(), self._answered)
                case PlanMore():
                    self._plan.lease_bytes = self._lease_bytes()
                    queue.extend(self._machine.handle(self._planned()))
                case Emit(found):
                    path_of = self._plan.path_of
                    blocks = self._blocks(found)
                    for batch in self._reporter.batches(blocks, path_of, self._spool):
                        self._callbacks.findings(batch)
                        yield
                case ReportProblem(document, reason, detail):
                    self._problem(InputProblem(self._plan.path_of(document), reason, detail))
                case ReportNote(document, reason, detail):
                    self._outcome.notes.append(
                        InputNote(self._plan.path_of(document), reason, detail)
                    )
                case ReportAudit(InputProblem() as problem):
                    self._problem(problem)
                case ReportAudit(InputNote() as note):
                    self._outcome.notes.append(note)
                case Forget(documents):
                    self._plan.forget([numbers[-1] for numbers in documents])
                case Warn(message):
                    self._callbacks.warn(message)
                case ReplaceWorker(worker):
                    if self._tuning is not None:
                        self._tuning.lost(worker)
                    if self._parts is not None:
                        self._parts.gone(worker)
                    self._pool.replace(worker)
                case Finish():
                    pass
                case Abort() as abort:
                    self.aborted = abort

    def _begun(self) -> int:
        """A time before anything was read of what an entry is about: if no answer has led to it,
        it is about what a worker has that does not answer.
        """
        if self._began_ns is not None:
            return self._began_ns
        return self._parts.earliest if self._parts is not None else 0

    def _lease_bytes(self) -> int:
        """What the next shard should have, if that is more than the least."""
        size = self._machine.lease_bytes
        # a worker has a task before it and one that it is at: what is decided meanwhile is to reach
        # it within a second
        return int(size * _OPEN_LEASE) if self._tuning is not None and self._tuning.open else size

    def _planned(self) -> ShardPlanned | PlanEnded:
        """The plan's next shard."""
        planned = self._plan.next()
        if isinstance(planned, ShardPlanned) and planned.entries:
            entries = [replace(e, result=self._spooled(e.result)) for e in planned.entries]
            planned = replace(planned, entries=tuple(entries))
        listed = self._plan.problems[self._listed :]
        self._listed += len(listed)
        for problem in listed:
            self._problem(problem)
            if self._recording is not None:
                self._recording.listed(problem)
        self._outcome.notes += self._plan.notes
        self._plan.notes.clear()
        if self._recording is not None:
            if isinstance(planned, PlanEnded):
                self._recording.plan_ended()
            else:
                self._recording.planned(self._shard, planned.pieces)
                self._shard += 1
        return planned

    def _blocks(self, found: Iterable[FindingBlock | Salvage]) -> Iterator[FindingBlock]:
        for each in found:
            if isinstance(each, FindingBlock):
                yield each
                continue
            path = self._plan.path_of(each.document)
            for block in salvaged_blocks(each, self._rule_ids, path):
                self._machine.totals.findings += block.rows
                yield block

    def _problem(self, problem: InputProblem) -> None:
        self._outcome.problems.append(problem)
        self._callbacks.problem(problem)
