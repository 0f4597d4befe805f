"""`vyre-dist scan`: options to a plan, a pool, sinks and progress; the driver does the rest."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from vyre_dist.cli.exit_codes import ExitCode
from vyre_dist.cli.sizes import SIZE
from vyre_dist.errors import UsageError

if TYPE_CHECKING:
    from vyre_dist.autotune.store import AutotuneStore
    from vyre_dist.driver.plan import Plan
    from vyre_dist.driver.pool import WorkerPool, WorkerSpec
    from vyre_dist.driver.run import ScanOutcome
    from vyre_dist.finding import Finding
    from vyre_dist.rules import RulePack
    from vyre_dist.sinks import Progress, RunSummary
    from vyre_dist.sources import DocumentRef, InputProblem, WalkStats

_FORMATS = ["human", "jsonl", "sarif", "csv", "parquet"]


class _Destination(click.ParamType[tuple[str, str]]):
    """FORMAT or FORMAT=FILE."""

    name = "format[=file]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        form, _, file = str(value).partition("=")
        if form not in _FORMATS:
            self.fail(
                f"unknown format {form!r}: use one of {', '.join(_FORMATS)}, or FORMAT=FILE", param, ctx
            )
        return form, file or "-"


@click.command()
@click.argument("paths", nargs=-1, type=click.Path())
@click.option(
    "--rules",
    "-r",
    "packs",
    multiple=True,
    metavar="PACK",
    help="A rule pack: a gitleaks or vyre TOML file, a noseyparker YAML file or folder, or a built-in pack's name. "
    "May be given several times. Default: everything built in.",
)
@click.option(
    "--format",
    "-f",
    "outputs",
    multiple=True,
    type=_Destination(),
    help="How findings are written: human, jsonl, sarif, csv or parquet, to standard output or FORMAT=FILE. "
    "May be given several times. Default: human.",
)
@click.option("--output", "-o", type=click.Path(), help="The file for a --format that names none.")
@click.option(
    "--redact",
    is_flag=False,
    flag_value=100,
    default=0,
    type=click.IntRange(0, 100),
    metavar="[PERCENT]",
    help="Mask secrets in every output (100 % of each, or the share given as --redact=PERCENT).",
)
@click.option(
    "--files-from",
    type=click.Path(),
    help="Scan the files that FILE lists ('-': standard input), one a line, or separated by NUL bytes.",
)
@click.option("--no-gitignore", is_flag=True, help="Also scan what .gitignore files exclude.")
@click.option("--follow", is_flag=True, help="Follow symbolic links to files and folders.")
@click.option(
    "--exclude", multiple=True, metavar="GLOB", help="Leave out paths that match, in gitignore's language."
)
@click.option("--include", multiple=True, metavar="GLOB", help="Scan only paths that match.")
@click.option("--max-file-size", type=SIZE, help="Leave out larger files; they are counted.")
@click.option(
    "--pool",
    type=click.Choice(["auto", "local", "ray"]),
    default="auto",
    show_default=True,
    help="Where workers run. auto: Ray inside a Ray job or with --address, else local processes.",
)
@click.option(
    "--workers",
    "-j",
    type=click.IntRange(min=1),
    help="How many workers. Default: one for each processor, or each GPU of the cluster.",
)
@click.option(
    "--address",
    help="The Ray cluster: HOST:PORT, ray://HOST:PORT, auto, or local for a new one on this machine.",
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="auto, cpu (Hyperscan and google-re2) or reference (google-re2 alone, slow).",
)
@click.option(
    "--speculation",
    type=click.Choice(["auto", "force", "disable"]),
    default="auto",
    show_default=True,
    help="Whether tiles are confirmed in the pass that finds candidates.",
)
@click.option(
    "--shard-size",
    type=SIZE,
    default=None,
    help="Bytes given to a worker at a time; larger files are split. Default: 16M.",
)
@click.option(
    "--max-match-bytes",
    type=SIZE,
    default=None,
    help="The longest match of a rule without an upper bound. Default: 64K.",
)
@click.option(
    "--cache-dir",
    type=click.Path(file_okay=False),
    help="Where compiled packs are kept. Default: the user's cache directory.",
)
@click.option("--no-cache", is_flag=True, help="Keep no compiled packs, and read none.")
@click.option(
    "--store",
    metavar="URL",
    help="The autotune store: memory:, sqlite:///PATH, redis://…, rediss://…, unix://…. "
    "Default: a SQLite file in the user's cache directory.",
)
@click.option("--report", type=click.Path(dir_okay=False), help="Write the run's summary to FILE, as JSON.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "never"]),
    default="auto",
    show_default=True,
    help="Progress on standard error: a bar on a terminal, JSON lines elsewhere.",
)
def scan(**options: Any) -> int:
    """Scan PATHS: files, folders, globs, or - for standard input. Default: the current folder.

    Exit codes: 0 nothing found, 1 findings, 2 bad usage or rules, 3 some input could not be scanned (it is listed).
    """
    return _Scan(options).run()


class _Scan:
    """One run of the command."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._o = options
        self._by_rule: Counter[str] = Counter()

    def run(self) -> int:
        """Scan, and give the exit code."""
        from vyre_dist.driver.plan import Plan
        from vyre_dist.driver.pool import WorkerSpec
        from vyre_dist.driver.run import Callbacks, ScanAbortedError, run_scan
        from vyre_dist.driver.tuning import Tuning
        from vyre_dist.sinks import open_sinks
        from vyre_dist.sources import WalkStats

        o = self._o
        pack = _load_packs(o["packs"])
        config = self._engine_config()
        tuning = Tuning(f"{pack.content_hash} {config.max_match_bytes}", config.backend)
        with self._open_store() as store:
            threshold = tuning.threshold_pct(store)
        if threshold is not None:
            config = replace(config, threshold_pct=threshold)
        stats = WalkStats()
        with ExitStack() as stack:
            pool = self._open_pool(WorkerSpec(pack.data, config))
            inputs = self._inputs(stats, stack)
            plan = Plan(inputs, config.shard_bytes)
            sinks = stack.enter_context(open_sinks(self._destinations(), redact_percent=o["redact"] or None))
            progress = _open_progress(o["progress"])

            def on_findings(findings: Sequence[Finding]) -> None:
                self._by_rule.update(f.rule_id for f in findings)
                sinks.write(findings)

            def on_progress(totals: Any, plan: Plan) -> None:
                attempted = totals.committed + totals.rolled_back
                if progress is None:
                    return
                progress.update(
                    bytes_done=totals.bytes,
                    bytes_total=plan.bytes_listed if plan.ended else None,
                    documents=totals.documents,
                    findings=totals.findings,
                    commit_rate_pct=100.0 * totals.committed / attempted if attempted else None,
                )

            callbacks = Callbacks(
                findings=on_findings,
                problem=lambda p: _say(f"not scanned: {p.path}: {p.reason}: {p.detail}"),
                warn=_say,
                progress=on_progress,
            )
            aborted = None
            try:
                outcome = run_scan(plan, pool, pack.rules, callbacks)
            except ScanAbortedError as error:
                outcome, aborted = error.outcome, str(error)
            for path in stats.unused_ignore_files:
                _say(f"{path} would leave out all of a folder that was asked for; it is not used")
            summary = self._summary(outcome, pool.name, stats, aborted)
            if progress is not None:
                progress.close()
            sinks.close(summary)
        with self._open_store() as store:
            tuning.publish(store, outcome.totals)
        if o["report"]:
            _write_report(o["report"], summary)
        if aborted is not None:
            click.echo(f"vyre-dist: the scan was given up: {aborted}", err=True)
        if not summary.complete:
            return ExitCode.INCOMPLETE
        return ExitCode.FINDINGS if summary.findings else ExitCode.CLEAN

    def _engine_config(self) -> Any:
        from vyre_dist.engine.worker import DEFAULT_SHARD_BYTES, EngineConfig
        from vyre_dist.program import DEFAULT_MAX_MATCH_BYTES
        from vyre_dist.program.cache import default_cache_dir

        o = self._o
        return EngineConfig(
            backend=o["backend"],
            speculation=o["speculation"],
            shard_bytes=o["shard_size"] if o["shard_size"] is not None else DEFAULT_SHARD_BYTES,
            max_match_bytes=o["max_match_bytes"]
            if o["max_match_bytes"] is not None
            else DEFAULT_MAX_MATCH_BYTES,
            cache_dir=None if o["no_cache"] else o["cache_dir"] or default_cache_dir(),
        )

    def _open_store(self) -> AbstractContextManager[AutotuneStore]:
        from vyre_dist.autotune.urls import open_store

        o = self._o
        folder = None if o["cache_dir"] is None else os.path.join(o["cache_dir"], "autotune.sqlite3")
        url = "memory:" if o["no_cache"] and o["store"] is None else o["store"]
        return closing(open_store(url, local_path=folder))

    def _open_pool(self, spec: WorkerSpec) -> WorkerPool:
        o = self._o
        if o["pool"] == "local" and o["address"]:
            raise UsageError(
                "--address names a Ray cluster, which --pool local does not use: leave one of them out"
            )
        if o["pool"] == "ray" or o["address"] or (o["pool"] == "auto" and _in_ray_job()):
            from vyre_dist.actors.ray_pool import RayPool

            return RayPool(spec, o["workers"], o["address"])
        from vyre_dist.driver.local_pool import LocalPool

        return LocalPool(spec, o["workers"])

    def _inputs(self, stats: WalkStats, stack: ExitStack) -> Iterator[DocumentRef | InputProblem]:
        from vyre_dist.sources import read_file_list, spool_stdin, walk

        o = self._o
        paths: Iterable[str] = o["paths"]
        parts: list[Iterable[DocumentRef | InputProblem]] = []
        if "-" in o["paths"]:
            if o["files_from"] == "-":
                raise UsageError("standard input can be a document (-) or a list (--files-from -), not both")
            paths = [p for p in o["paths"] if p != "-"]
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vyre-dist-"))
            parts.append([spool_stdin(sys.stdin.buffer, folder)])
        if o["files_from"]:
            listed = read_file_list(o["files_from"], sys.stdin.buffer)
            paths = chain(paths, listed)
        elif not o["paths"]:
            paths = ["."]
        parts.append(
            walk(
                paths,
                respect_gitignore=not o["no_gitignore"],
                follow_symlinks=o["follow"],
                include=o["include"],
                exclude=o["exclude"],
                max_file_size=o["max_file_size"],
                stats=stats,
            )
        )
        return chain.from_iterable(parts)

    def _destinations(self) -> list[tuple[str, str]]:
        o = self._o
        outputs: list[tuple[str, str]] = list(o["outputs"]) or [("human", "-")]
        if o["output"]:
            free = [form for form, file in outputs if file == "-"]
            if len(free) != 1:
                raise UsageError(
                    f"--output names one file, and {len(free)} formats have none: write --format FORMAT=FILE for each"
                )
            outputs = [(form, o["output"] if file == "-" else file) for form, file in outputs]
        return outputs

    def _summary(self, outcome: ScanOutcome, pool: str, stats: WalkStats, aborted: str | None) -> RunSummary:
        from vyre_dist.sinks import CommitReport, Problem, RunSummary

        totals = outcome.totals
        skipped: dict[str, int] = {reason: count for reason, count in stats.skipped.items() if count}
        if totals.skipped:
            skipped["allowlisted-path"] = totals.skipped
        problems = [Problem(p.path, p.reason, p.detail) for p in outcome.problems]
        if aborted is not None:
            problems.append(Problem("", "aborted", aborted))
        return RunSummary(
            documents=totals.documents,
            bytes=totals.bytes,
            seconds=outcome.seconds,
            findings=totals.findings,
            findings_by_rule=dict(self._by_rule.most_common()),
            problems=tuple(problems),
            commit=CommitReport(totals.committed, totals.rolled_back),
            capped_matches=totals.capped,
            workers=outcome.workers,
            pool=pool,
            backend=self._o["backend"] if self._o["backend"] != "auto" else "cpu",
            skipped=skipped,
            complete=not problems,
        )


def _load_packs(names: Sequence[str]) -> RulePack:
    from vyre_dist.rules import RulePack

    if not names:
        return RulePack.builtin()
    return RulePack.load_all(names)


def _open_progress(choice: str) -> Progress | None:
    from vyre_dist.sinks import open_progress

    return None if choice == "never" else open_progress()


def _say(message: str) -> None:
    from vyre_dist.sinks.text import visible

    click.echo(f"vyre-dist: {visible(message)}", err=True)


def _in_ray_job() -> bool:
    # set by Ray for a job's entry point; asking Ray itself would take a second to import it
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ or "RAY_ADDRESS" in os.environ


def _write_report(path: str, summary: RunSummary) -> None:
    import json
    from dataclasses import asdict

    body = {**asdict(summary), "megabytes_per_second": round(summary.megabytes_per_second, 1)}
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as f:
            json.dump(body, f, indent=2, default=dict)
            f.write("\n")
    except OSError as error:
        raise UsageError(f"--report {path}: cannot be written: {error.strerror}") from error
