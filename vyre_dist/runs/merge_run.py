"""MergeRun: writes what a run has found so far, from its directory, in any format."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.no_pool import NoPool
from vyre_dist.driver.recorded_plan import RecordedPlan
from vyre_dist.driver.run import Callbacks, ScanOutcome, run_scan
from vyre_dist.errors import UsageError
from vyre_dist.input_problem import InputProblem
from vyre_dist.ledger.history import History
from vyre_dist.ledger.identity import read_facts
from vyre_dist.ledger.run_directory import PACK
from vyre_dist.rules.codec import decode_pack
from vyre_dist.secret_key import SecretKey
from vyre_dist.sinks.destination import Destination
from vyre_dist.sinks.sinkset import open_sinks
from vyre_dist.sinks.summary import RunSummary
from vyre_dist.storage import open_storage

if TYPE_CHECKING:
    from vyre_dist.finding import FindingBatch
    from vyre_dist.runs.observer import RunObserver


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """`run`: the directory. The others are ScanOptions'."""

    run: str
    destinations: tuple[Destination, ...] = (Destination(),)
    report: str | None = None
    redact: int | None = None
    secret_key_file: str | None = None


class MergeRun:
    """Making it opens the run and the outputs, which are closed with `stack`. Raises UsageError,
    DamagedError, WireError and OSError.
    """

    def __init__(self, options: MergeOptions, stack: ExitStack) -> None:
        storage = open_storage(options.run)
        if read_facts(storage) is None:
            raise UsageError(f"there is no run in {options.run}")
        key = options.secret_key_file
        self._secret_key = None if key is None else SecretKey.load(key)
        self._rules = decode_pack(bytes(storage.read(PACK))).rules
        self._history = History(storage)
        self._sinks = stack.enter_context(
            open_sinks(
                options.destinations,
                report=options.report,
                redact_percent=options.redact,
                secret_ids=self._secret_key is not None,
            )
        )
        self._by_rule: Counter[str] = Counter()

    def merge(self, observer: RunObserver) -> RunSummary:
        """Write the findings to the outputs, whose files do not appear yet."""

        def on_findings(findings: FindingBatch) -> None:
            for rule, number in Counter(findings.rule).items():
                self._by_rule[findings.rules[rule].id] += number
            with observer.writing():
                self._sinks.write(findings)

        plan = RecordedPlan(self._history, None, (), 1)
        callbacks = Callbacks(on_findings, observer.problem, observer.say, observer.progress)
        config = MachineConfig(only_entries=True)
        outcome = run_scan(plan, NoPool(), self._rules, callbacks, config, self._secret_key)
        if (missing := self._missing(outcome)) is not None:
            outcome.problems.append(missing)
            observer.problem(missing)
        observer.ended()
        return self._summary(outcome)

    def publish(self, summary: RunSummary, observer: RunObserver) -> None:
        """Put the outputs in their places. Raises SinkWriteError and BrokenPipeError."""
        self._sinks.close(summary)
        observer.published(self._sinks.kept)

    def _missing(self, outcome: ScanOutcome) -> InputProblem | None:
        """What the run has not done yet."""
        told = []
        if outcome.unfinished:
            told.append(f"{outcome.unfinished:,} planned documents are not scanned")
        if self._history.end is None:
            told.append("not all inputs are listed")
        if not told:
            return None
        return InputProblem("", "unfinished", f"{', and '.join(told)}: resume the run")

    def _summary(self, outcome: ScanOutcome) -> RunSummary:
        totals, end = outcome.totals, self._history.end
        skipped = {} if end is None else dict(end.skipped)
        if totals.skipped:
            skipped["allowlisted-path"] = totals.skipped
        summary = RunSummary(
            metrics=totals,
            seconds=outcome.seconds,
            findings=totals.findings,
            findings_by_rule=dict(self._by_rule.most_common()),
            problems=tuple(outcome.problems),
            notes=tuple(outcome.notes),
            skipped=skipped,
            complete=outcome.complete,
        )
        if self._secret_key is not None:
            summary = replace(summary, secret_key=self._secret_key.fingerprint)
        return summary
