"""What `vyre-dist scan` does with its options: a plan, a pool, sinks and progress, handed to the
driver.

The options themselves are in scan.py.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from vyre_dist.cli.exit_codes import ExitCode
from vyre_dist.cli.rule_options import loading_messages
from vyre_dist.errors import UsageError
from vyre_dist.leftovers import removed_line

if TYPE_CHECKING:
    from vyre_dist.autotune.store import AutotuneStore
    from vyre_dist.cache_folder import CacheFolder
    from vyre_dist.cli.console import Console
    from vyre_dist.cli.scan_inputs import ScanInputs
    from vyre_dist.driver.pool import WorkerPool, WorkerSpec
    from vyre_dist.driver.run import Callbacks, ScanOutcome
    from vyre_dist.driver.worker_facts import WorkerFacts
    from vyre_dist.engine.config import EngineConfig
    from vyre_dist.finding import Finding
    from vyre_dist.rules.left_out import LeftOut
    from vyre_dist.secret_key import SecretKey
    from vyre_dist.sinks import RunSummary, SinkSet
    from vyre_dist.sources import WalkStats

T = TypeVar("T")


class ScanRun:
    """One run of the command, from its options (by their parameter names)."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._o = options
        self._by_rule: Counter[str] = Counter()
        self._left_out: tuple[LeftOut, ...] = ()
        self._store_problem = ""
        self._store_told = False

    @property
    def on_ray(self) -> bool:
        """Whether the workers are a Ray cluster's."""
        o = self._o
        return o["pool"] == "ray" or bool(o["address"]) or (o["pool"] == "auto" and _in_ray_job())

    def run(self, written: Callable[[int], object] = lambda _: None) -> int:
        """Scan, and give the exit code; `written` gets it, too, as soon as all outputs are in their
        places.
        """
        from vyre_dist.cli.console import Console
        from vyre_dist.cli.scan_inputs import ScanInputs, own_files_of
        from vyre_dist.driver.plan import Plan
        from vyre_dist.driver.pool import WorkerSpec
        from vyre_dist.driver.run import ScanAbortedError, run_scan
        from vyre_dist.driver.tuning import publish_all
        from vyre_dist.kernels import backend_warning, require_known
        from vyre_dist.program import ArtifactCache
        from vyre_dist.program.packs import load_pack, load_supported
        from vyre_dist.sinks import open_sinks
        from vyre_dist.sources import WalkStats

        o = self._o
        require_known(o["backend"])
        secret_key = self._secret_key()
        packs = ArtifactCache(self._cache_dir())
        if o["skip_unsupported"]:
            pack, warnings, self._left_out = load_supported(o["packs"], packs)
        else:
            pack, warnings = load_pack(o["packs"], packs)
        config = self._engine_config()
        pack_key = f"{pack.content_hash()} {config.max_match_bytes}"
        stats = WalkStats()
        with ExitStack() as stack:
            pool = self._open_pool(WorkerSpec(pack, config), stack)
            destinations, notes = self._destinations()
            inputs = ScanInputs(o, stats, stack)
            # neither what is written nor the key is for a report
            own_files = own_files_of(destinations, o["report"]) | (
                secret_key.own_files if secret_key else set()
            )
            plan = Plan(inputs.items(own_files), config.shard_bytes)
            opened = open_sinks(
                destinations,
                report=o["report"],
                redact_percent=o["redact"],
                secret_ids=secret_key is not None,
            )
            sinks = stack.enter_context(opened)
            report = [] if o["report"] is None else [("report", o["report"])]
            console = Console(o["progress"], [*destinations, *report])
            stack.callback(console.close)
            for note in notes:
                console.say(note)
            for path in sinks.remove_leftovers():
                console.say(removed_line(path))
            for message in loading_messages(warnings, self._left_out):
                console.say(message)
            if slow := backend_warning(config.backend):
                console.say(f"warning: {slow}")
            try:
                callbacks = self._callbacks(console, sinks, pack_key)
                outcome = run_scan(plan, pool, pack.rules, callbacks, secret_key=secret_key)
                aborted = None
            except ScanAbortedError as error:
                if error.refused and not error.outcome.totals.documents:
                    raise UsageError(str(error)) from error
                outcome, aborted = error.outcome, str(error)
            console.close(ended=True)
            for path in stats.unused_ignore_files:
                console.say(
                    f"{path} would leave out all of a folder that was asked for; it is not used"
                )
            if aborted is not None:
                console.given_up(aborted)
            self._tell_of_cache(console, [packs.trouble, *pool.notes()])
            if not self._store_problem:
                self._with_store(lambda store: publish_all(pack_key, store, outcome.uses))
                self._tell_of_store(console)
            summary = self._summary(outcome, pool.name, stats, aborted)
            summary = replace(summary, warnings=self._warnings(summary, inputs))
            for told in summary.warnings:
                console.say(f"warning: {told}")
            if secret_key is not None:
                summary = replace(summary, secret_key=secret_key.fingerprint)
            _publish(console, sinks, summary, given_up=aborted is not None)
            written(code := _exit_code(summary, console))
        return code

    def _callbacks(self, console: Console, sinks: SinkSet, pack_key: str) -> Callbacks:
        from vyre_dist.driver.run import Callbacks
        from vyre_dist.driver.tuning import Tuning

        def on_findings(findings: Sequence[Finding]) -> None:
            self._by_rule.update(f.rule_id for f in findings)
            with console.writing():
                sinks.write(findings)

        def threshold(facts: WorkerFacts) -> int | None:
            known = self._with_store(Tuning(pack_key, facts).threshold_pct)
            self._tell_of_store(console)
            return known

        return Callbacks(on_findings, console.problem, console.say, console.update, threshold)

    def _warnings(self, summary: RunSummary, inputs: ScanInputs) -> tuple[str, ...]:
        """What makes a result of no findings worth less than it looks."""
        if summary.metrics.documents or any(p.reason == "aborted" for p in summary.problems):
            return ()
        from vyre_dist.cli.nothing_scanned import cause

        o = self._o
        empty_list = o["files_from"] if o["files_from"] and not inputs.listed else None
        places = o["paths"] or ([] if o["files_from"] else ["."])
        told = cause(
            summary.skipped,
            include=o["include"],
            empty_list=empty_list,
            # a problem is told of by itself
            places=places if summary.complete else None,
        )
        return (told,) if told else ()

    def _secret_key(self) -> SecretKey | None:
        if self._o["secret_key_file"] is None:
            return None
        from vyre_dist.secret_key import SecretKey

        return SecretKey.load(self._o["secret_key_file"])

    @cached_property
    def _folder(self) -> CacheFolder:
        from vyre_dist.cache_folder import choose

        return choose(self._o["cache_dir"])

    def _cache_dir(self) -> str | None:
        # one that can only be read may still have what is needed
        return None if self._o["no_cache"] else self._folder.wanted or self._folder.path

    def _engine_config(self) -> EngineConfig:
        from vyre_dist.engine.config import DEFAULT_SHARD_BYTES, EngineConfig
        from vyre_dist.program import DEFAULT_MAX_MATCH_BYTES

        o = self._o
        return EngineConfig(
            backend=o["backend"],
            speculation=o["speculation"],
            shard_bytes=o["shard_size"] if o["shard_size"] is not None else DEFAULT_SHARD_BYTES,
            max_match_bytes=o["max_match_bytes"]
            if o["max_match_bytes"] is not None
            else DEFAULT_MAX_MATCH_BYTES,
            cache_dir=self._cache_dir(),
        )

    def _with_store(self, work: Callable[[AutotuneStore], T]) -> T:
        """`work` with the autotune store, whose first trouble is kept: until it is closed, it may
        still be waited for.
        """
        from vyre_dist.autotune.urls import FILE_NAME, open_store, uses_folder

        o = self._o
        url = "memory:" if o["no_cache"] and o["store"] is None else o["store"]
        path = None
        if uses_folder(url):
            if self._folder.path is None and url is None:
                url = "memory:"
            elif self._folder.path is not None:
                path = os.path.join(self._folder.path, FILE_NAME)
        store = open_store(url, local_path=path)
        try:
            return work(store)
        finally:
            store.close()
            self._store_problem = self._store_problem or store.trouble

    def _tell_of_store(self, console: Console) -> None:
        """Say once what the matter is with the store, unless the summary will where messages appear
        as well.
        """
        if self._store_problem and not self._store_told and not console.summed_up_here:
            self._store_told = True
            console.say(f"warning: {self._store_problem}; the scan does without it")

    def _tell_of_cache(self, console: Console, troubles: Iterable[str]) -> None:
        """Say once that the cache folder can't be used: what was found before the scan, or the
        first that it met.
        """
        known = self.__dict__.get("_folder")
        first = known.trouble if known is not None else ""
        if message := first or next(filter(None, troubles), ""):
            console.say(
                f"warning: {message}; --cache-dir names another folder, --no-cache does without"
            )

    def _open_pool(self, spec: WorkerSpec, stack: ExitStack) -> WorkerPool:
        o = self._o
        if o["pool"] == "local" and o["address"]:
            raise UsageError(
                "--address names a Ray cluster, which --pool local does not use: leave one of them "
                "out"
            )
        if self.on_ray:
            from vyre_dist.actors.ray_pool import RayPool

            ray_pool = RayPool(
                spec, o["workers"], o["address"], autoscale=o["autoscale"], stay_connected=True
            )
            # when the outputs are whole: a signal during it would take them along
            stack.callback(ray_pool.disconnect)
            return ray_pool
        if o["autoscale"]:
            raise UsageError(
                "--autoscale is for a Ray cluster: add --pool ray, or --address, or leave it out"
            )
        from vyre_dist.driver.local_pool import LocalPool

        return LocalPool(spec, o["workers"])

    def _destinations(self) -> tuple[list[tuple[str, str]], list[str]]:
        from vyre_dist.cli.destinations import destinations

        return destinations(self._o["outputs"], self._o["output"])

    def _summary(
        self, outcome: ScanOutcome, pool: str, stats: WalkStats, aborted: str | None
    ) -> RunSummary:
        from vyre_dist.input_problem import InputProblem
        from vyre_dist.kernels import resolve_backend
        from vyre_dist.rules.left_out import by_reason
        from vyre_dist.sinks import RunSummary, WorkerSummary

        totals = outcome.totals
        backends = dict.fromkeys(
            use.backend for use in sorted(outcome.uses, key=lambda use: -use.bytes)
        )
        skipped: dict[str, int] = {
            reason: count for reason, count in stats.skipped.items() if count
        }
        if totals.skipped:
            skipped["allowlisted-path"] = totals.skipped
        problems = list(outcome.problems)
        if aborted is not None:
            problems.append(InputProblem("", "aborted", aborted))
        return RunSummary(
            metrics=totals,
            seconds=outcome.seconds,
            findings=totals.findings,
            findings_by_rule=dict(self._by_rule.most_common()),
            problems=tuple(problems),
            notes=tuple(outcome.notes),
            workers=outcome.workers,
            pool=pool,
            backend=", ".join(backends) or resolve_backend(self._o["backend"]),
            workers_used=tuple(
                WorkerSummary(
                    use.worker,
                    use.facts.host,
                    use.facts.node,
                    use.backend,
                    use.facts.device,
                    use.facts.version,
                    use.facts.python,
                    use.facts.processes,
                    use.tasks,
                    use.bytes,
                    dict(sorted(use.scanned.items())),
                )
                for use in outcome.uses
            ),
            left_out=tuple(outcome.left_out),
            skipped=skipped,
            rules_left_out=by_reason(self._left_out),
            complete=not problems,
            store_problem=self._store_problem,
        )


def _publish(console: Console, sinks: SinkSet, summary: RunSummary, *, given_up: bool) -> None:
    """Put the outputs in their places, or beside them where the scan was given up.

    Raises SinkWriteError, when the others are there, and BrokenPipeError.
    """
    from vyre_dist.sinks import SinkWriteError

    failure: SinkWriteError | None = None
    try:
        sinks.close(summary, given_up=given_up)
    except SinkWriteError as error:
        failure = error
    console.point_to_problems()
    for destination, place in sinks.kept:
        console.say(f"{destination} is left as it was; what had been done by then is in {place}")
    if failure is not None:
        raise failure


def _exit_code(summary: RunSummary, console: Console) -> ExitCode:
    if not summary.complete or console.lost:
        return ExitCode.INCOMPLETE
    return ExitCode.FINDINGS if summary.findings else ExitCode.CLEAN


def _in_ray_job() -> bool:
    # RAY_ADDRESS alone is no sign: people export it for `submit`
    from vyre_dist.actors.jobs import in_ray_job

    return in_ray_job()
