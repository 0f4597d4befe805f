"""Makes the summary of a run from the outcomes of the driver, the walk and the stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vyre_dist.driver.roster import WorkerUse
from vyre_dist.driver.run import ScanOutcome
from vyre_dist.input_problem import InputProblem
from vyre_dist.kernels import resolve_backend
from vyre_dist.rules.left_out import by_reason
from vyre_dist.sinks.summary import ChoiceSummary, RunSummary, TuningSummary, WorkerSummary
from vyre_dist.sources import WalkStats

if TYPE_CHECKING:
    from vyre_dist.driver.tuning_report import TunedReport, TuningReport
    from vyre_dist.rules.left_out import LeftOut
    from vyre_dist.runs.options import ScanOptions


def summary_of(
    outcome: ScanOutcome,
    *,
    options: ScanOptions,
    pool: str,
    stats: WalkStats,
    by_rule: Counter[str],
    left_out: Iterable[LeftOut],
    store_problem: str,
    aborted: str | None,
    list_is_empty: bool,
    tuning: TuningReport | None,
) -> RunSummary:
    """The summary. `left_out`: rules that the pack was loaded without. `aborted`: why the scan
    could not go on. `list_is_empty`: nothing was read from the list of files. `tuning`: None where
    there was none.
    """
    totals = outcome.totals
    backends = dict.fromkeys(
        use.backend for use in sorted(outcome.uses, key=lambda use: -use.bytes)
    )
    skipped: dict[str, int] = {reason: count for reason, count in stats.skipped.items() if count}
    if totals.skipped:
        skipped["allowlisted-path"] = totals.skipped
    problems = list(outcome.problems)
    if aborted is not None:
        problems.append(InputProblem("", "aborted", aborted))
    warnings: Sequence[str] = ()
    if not totals.documents and aborted is None:
        warnings = _nothing_scanned(options, skipped, problems, list_is_empty)
    return RunSummary(
        metrics=totals,
        seconds=outcome.seconds,
        findings=totals.findings,
        findings_by_rule=dict(by_rule.most_common()),
        problems=tuple(problems),
        notes=tuple(outcome.notes),
        warnings=tuple(warnings),
        workers=outcome.workers,
        pool=pool,
        backend=", ".join(backends) or resolve_backend(options.backend),
        workers_used=tuple(map(_worker, outcome.uses)),
        left_out=tuple(outcome.left_out),
        skipped=skipped,
        rules_left_out=by_reason(left_out),
        complete=not problems,
        store_problem=store_problem,
        tuning=None if tuning is None else _tuning(tuning),
    )


def _tuning(report: TuningReport) -> TuningSummary:
    return TuningSummary(
        trials=report.trials,
        seconds=report.seconds,
        probes=report.probes,
        drifted=report.drifted,
        hits=report.hits,
        misses=report.misses,
        taken=report.taken,
        published=report.published,
        kept=report.kept,
        refused=report.refused,
        chosen=tuple(map(_chosen, report.tuned)),
    )


def _chosen(each: TunedReport) -> ChoiceSummary:
    gain = each.gain
    return ChoiceSummary(
        device=each.adapter,
        program=each.program,
        workload=each.workload,
        stage=each.stage,
        source=each.source,
        choice=each.choice.plain(),
        ratio=None if gain is None else (gain.low, gain.ratio, gain.high),
        pairs=0 if gain is None else gain.pairs,
        decided_at=each.decided_at,
        workers=each.workers,
        taken_seconds=each.taken_seconds,
    )


def _nothing_scanned(
    options: ScanOptions,
    skipped: dict[str, int],
    problems: Sequence[InputProblem],
    list_is_empty: bool,
) -> Sequence[str]:
    """Why there was no document, unless problems tell why."""
    from vyre_dist.runs.nothing_scanned import cause

    paths = options.paths or (() if options.files_from else (".",))
    sentence = cause(
        skipped,
        include=options.walk.include,
        empty_list=options.files_from if options.files_from and list_is_empty else None,
        paths=None if problems else paths,
    )
    return (sentence,) if sentence else ()


def _worker(use: WorkerUse) -> WorkerSummary:
    facts = use.facts
    return WorkerSummary(
        worker=use.worker,
        node=facts.host,
        node_id=facts.node,
        backend=use.backend,
        device=facts.gpu if use.backend == "cuda" and facts.gpu else facts.device,
        version=facts.version,
        python=facts.python,
        processes=facts.processes,
        tasks=use.tasks,
        bytes=use.bytes,
        bytes_by_backend=dict(sorted(use.scanned.items())),
        gpus=facts.gpus,
    )
