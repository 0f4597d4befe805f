"""ScanRun: opens a plan, a pool, outputs and stores from options, and has the driver scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from vyre_dist.driver.gpu_signs import has_nvidia_driver
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.run import Callbacks, ScanAbortedError, ScanOutcome, run_scan
from vyre_dist.engine.audit_sample import new_seed
from vyre_dist.engine.config import DEFAULT_SHARD_BYTES, GPU_SHARD_BYTES, EngineConfig
from vyre_dist.errors import UsageError
from vyre_dist.kernels import backend_warning, require_known
from vyre_dist.ledger.staged import StagedRun
from vyre_dist.leftovers import removed_line
from vyre_dist.program import ArtifactCache
from vyre_dist.program.packs import LoadedPack, load_pack, load_supported
from vyre_dist.runs.inputs import ScanInputs, Waiting, own_files_of
from vyre_dist.runs.metered import metered
from vyre_dist.runs.options import ScanOptions
from vyre_dist.runs.pools import open_pool
from vyre_dist.runs.recording import open_recording, report_of, resume_command
from vyre_dist.runs.stores import RunStores
from vyre_dist.runs.summary import summary_of
from vyre_dist.sinks.destination import STDOUT
from vyre_dist.sinks.sinkset import SinkWriteError, open_sinks
from vyre_dist.sources import WalkStats
from vyre_dist.storage import is_url

if TYPE_CHECKING:
    from vyre_dist.finding import FindingBatch
    from vyre_dist.runs.observer import RunObserver
    from vyre_dist.secret_key import SecretKey
    from vyre_dist.sinks.summary import RunSummary


class ScanRun:
    """One run. Making it checks the options, loads the rules and opens the outputs; `scan` does the
    work, and `publish` puts the outputs in their places.

    All that it opens is closed with `stack`. Outputs that were not published are dropped then.
    Raises UsageError.
    """

    def __init__(self, options: ScanOptions, stack: ExitStack, waiting: Waiting) -> None:
        require_known(options.backend)
        self._options = options
        self._secret_key = _secret_key(options.secret_key_file)
        self._stores = RunStores(options)
        self._tuning = self._stores.tuning()
        stack.callback(self._stores.close)
        self._cache = ArtifactCache(self._stores.pack_folder)
        self._pack = _load(options, self._cache)
        self._config = EngineConfig(
            backend=options.backend,
            speculation=options.speculation,
            shard_bytes=shard_bytes(options),
            max_match_bytes=options.max_match_bytes,
            cache_dir=self._stores.pack_folder,
            audit_rate=options.audit,
            audit_seed=new_seed(),
        )
        self._pool = open_pool(
            WorkerSpec(self._pack.data, self._config),
            stack,
            kind=options.pool,
            workers=options.workers,
            address=options.address,
            autoscale=options.autoscale,
            gpus=options.gpus,
            # what reaches a place that is no file system has threads
            may_fork=options.run_dir is None or not is_url(options.run_dir),
            threads_later=self._stores.shares_store,
        )
        self._stats = WalkStats()
        self._inputs = ScanInputs(options, self._stats, stack, waiting)
        # a report must contain neither the outputs nor the key
        files = [file for _, file in options.destinations if file != STDOUT]
        own_files = own_files_of([*files, *([options.report] if options.report else [])])
        if self._secret_key is not None:
            own_files |= self._secret_key.own_files
        self._recording = open_recording(options, self._pack.data, self._stores.run_folder)
        if self._recording is not None:
            stack.callback(self._recording.close)
            own_files |= self._recording.own_files
        self._plan = self._planned(own_files)
        opened = open_sinks(
            options.destinations,
            report=options.report,
            redact_percent=options.redact,
            secret_ids=self._secret_key is not None,
        )
        self._sinks = stack.enter_context(opened)
        self._by_rule: Counter[str] = Counter()
        self._aborted: str | None = None

    def opening_messages(self) -> Iterator[str]:
        """Messages before the scan: on leftovers, which it removes, the rules and the backend."""
        yield from map(removed_line, self._sinks.remove_leftovers())
        if self._pack.warnings or self._pack.left_out:
            from vyre_dist.runs.pack_messages import pack_messages

            yield from pack_messages(self._pack.warnings, self._pack.left_out)
        if slow := backend_warning(self._config.backend):
            yield f"warning: {slow}"

    def scan(self, observer: RunObserver) -> RunSummary:
        """Scan, and write the findings to the outputs, whose files do not appear yet.

        Raises UsageError where no worker can do what was asked for, and what the outputs raise.
        """
        observer = metered(observer, self._pool)
        outcome = self._run(observer)
        observer.ended()
        for path in self._stats.unused_ignore_files:
            observer.say(f"{path} is not used: it would leave out all of the folder that was named")
        if self._aborted is not None:
            observer.aborted(self._aborted)
        if isinstance(self._recording, StagedRun) and self._recording.trouble:
            trouble = self._recording.trouble
            observer.say(f"warning: no later scan could have gone on with this one: {trouble}")
        self._warn_of_cache(observer, [self._cache.trouble, *self._pool.notes()])
        self._stores.close()
        if self._stores.problem:
            observer.store_failed(self._stores.problem)
        summary = summary_of(
            outcome,
            options=self._options,
            pool=self._pool.name,
            stats=self._stats,
            by_rule=self._by_rule,
            left_out=self._pack.left_out,
            store_problem=self._stores.problem,
            tuning=self._tuning.report() if self._tuning is not None else None,
            aborted=self._aborted,
            list_is_empty=self._inputs.listed == 0,
        )
        for warning in summary.warnings:
            observer.say(f"warning: {warning}")
        if self._secret_key is not None:
            summary = replace(summary, secret_key=self._secret_key.fingerprint)
        return summary

    def publish(self, summary: RunSummary, observer: RunObserver) -> None:
        """Put the outputs in their places, or beside them where the scan was aborted.

        Raises SinkWriteError, when the others are there, and BrokenPipeError.
        """
        failure: SinkWriteError | None = None
        try:
            self._sinks.close(summary, given_up=self._aborted is not None)
        except SinkWriteError as error:
            failure = error
        observer.published(self._sinks.kept)
        if failure is not None:
            raise failure
        if self._recording is not None and self._aborted is None:
            self._recording.finish(report_of(summary))

    def _planned(self, own_files: frozenset[tuple[int, int]]) -> Plan:
        items, shard_bytes = self._inputs.items(own_files), self._config.shard_bytes
        if self._recording is None:
            return Plan(items, shard_bytes)
        recording = self._recording
        recording.skipped = lambda: {str(k): n for k, n in self._stats.skipped.items() if n}
        if isinstance(recording, StagedRun):
            return Plan(items, shard_bytes)
        from vyre_dist.driver.recorded_plan import RecordedPlan

        return RecordedPlan(recording.history, recording.void, items, shard_bytes)

    def kept(self, arguments: Sequence[str]) -> str:
        """Of a scan that was interrupted: what a user should know of what was done; "" if none of
        it is kept. `arguments`: those of the command.
        """
        place = self._recording.kept_in if self._recording is not None else None
        if place is None:
            return ""
        return f"what was done is kept; go on with: {resume_command(arguments, place)}"

    def discard(self) -> None:
        """Nobody wants to go on with this scan: forget what was done, unless a place was named."""
        if self._recording is not None:
            self._recording.discard()

    def _run(self, observer: RunObserver) -> ScanOutcome:
        def on_findings(findings: FindingBatch) -> None:
            for rule, number in Counter(findings.rule).items():
                self._by_rule[findings.rules[rule].id] += number
            with observer.writing():
                self._sinks.write(findings)

        callbacks = Callbacks(on_findings, observer.problem, observer.say, observer.progress)
        try:
            return run_scan(
                self._plan,
                self._pool,
                self._pack.data.rules,
                callbacks,
                secret_key=self._secret_key,
                recording=self._recording,
                tuning=self._tuning,
            )
        except ScanAbortedError as error:
            if error.refused and not error.outcome.totals.documents:
                raise UsageError(str(error)) from error
            self._aborted = str(error)
            return error.outcome

    def _warn_of_cache(self, observer: RunObserver, troubles: Iterable[str]) -> None:
        """Warn that the cache folder can't be used: why it was not chosen, or the first of
        `troubles`.
        """
        if message := self._stores.folder_trouble or next(filter(None, troubles), ""):
            observer.say(
                f"warning: {message}; --cache-dir names another folder, --no-cache does without"
            )


def shard_bytes(options: ScanOptions) -> int:
    """The size that was asked for, or what suits the backend that is most likely to be used."""
    if options.shard_size is not None:
        return options.shard_size
    on_gpu = options.backend == "cuda" or (options.backend == "auto" and has_nvidia_driver())
    return GPU_SHARD_BYTES if on_gpu else DEFAULT_SHARD_BYTES


def _secret_key(file: str | None) -> SecretKey | None:
    if file is None:
        return None
    from vyre_dist.secret_key import SecretKey

    return SecretKey.load(file)


def _load(options: ScanOptions, cache: ArtifactCache) -> LoadedPack:
    if options.skip_unsupported:
        return load_supported(options.packs, cache)
    pack, warnings = load_pack(options.packs, cache)
    return LoadedPack(pack, warnings, ())
