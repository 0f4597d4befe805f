"""ScanEngine: does tasks. One pack, one backend, one speculator; no processes, no retries.

A pool's worker, whatever it runs in, owns one ScanEngine and calls `run` with what the driver sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from itertools import groupby
from typing import TYPE_CHECKING

from vyre_dist.dispatch.backend import SpeculationMode
from vyre_dist.dispatch.speculator import AdaptiveSpeculator, ProbingSpeculator
from vyre_dist.engine.audit_sample import AuditSample
from vyre_dist.engine.batch import Batch
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.content import Evidence, digest_of
from vyre_dist.engine.dispatches import Dispatches
from vyre_dist.engine.document import BytesDocument, DocumentError
from vyre_dist.engine.files import LargeFile
from vyre_dist.engine.finding_blocks import Findings
from vyre_dist.engine.finding_rows import path_row
from vyre_dist.engine.findings import FindingBuilder
from vyre_dist.engine.join import Joiner
from vyre_dist.engine.open_document import DocumentReader
from vyre_dist.engine.pack_filters import byte_filters, load_filters
from vyre_dist.engine.piece_results import PieceResults
from vyre_dist.engine.same_findings import same_findings
from vyre_dist.engine.shards import size_of
from vyre_dist.engine.tally import Tally
from vyre_dist.engine.task_run import TaskRun
from vyre_dist.engine.tasks import (
    AuditTask,
    DocumentProblem,
    FolderRun,
    LargeDocument,
    Piece,
    ScanTask,
    Task,
    TaskResult,
    count,
)
from vyre_dist.errors import WorkerUnusableError
from vyre_dist.extract import Window
from vyre_dist.extract.overrun import Overrun
from vyre_dist.kernels import BackendOptions, open_backend, require_backend
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome
from vyre_dist.kernels.overruns import load_overruns
from vyre_dist.program import ArtifactCache, compile_pack
from vyre_dist.rules.keyword_table import KeywordTable
from vyre_dist.rules.model import PackData
from vyre_dist.rules.path_filters import PathDecision

if TYPE_CHECKING:
    from vyre_dist.engine.audit import Auditor

_MOST_FOUND = 32 << 20
"""Bytes of findings that a task's result has at most, but for what its last document adds."""

_LEAST_LEASE = 1 << 20
"""Bytes of a task that is a lease, and not some files whose sizes nobody knows."""


class ScanEngine:
    """One worker's scanner. Not thread-safe."""

    def __init__(
        self,
        pack: PackData,
        config: EngineConfig,
        gpu: str = "",
        cache: ArtifactCache | None = None,
    ) -> None:
        """Compile `pack` (or load it from the cache) and open the backend.

        `gpu`: see BackendOptions. `cache`: used in place of one in the config's folder. Raises
        UsageError.
        """
        require_backend(config.backend, gpu)  # before the pack is compiled, which may take seconds
        cache = self.cache = cache or ArtifactCache(config.cache_dir)
        self.pack = pack
        self.config = config
        self.compiled = compile_pack(pack, max_match_bytes=config.max_match_bytes, cache=cache)
        self.filters = load_filters(pack, self.compiled.key, cache)
        self.backend = open_backend(
            config.backend,
            self.compiled,
            cache,
            BackendOptions(
                lambda: byte_filters(pack),
                gpu,
                lambda: self.filters.contents,
                lambda: KeywordTable.of(self.filters.keywords),
            ),
        )
        self.speculator = ProbingSpeculator(
            AdaptiveSpeculator(config.threshold_pct), config.probe_every
        )
        self.sample = AuditSample(config.audit_rate, config.audit_seed)
        """Which documents are to be audited; may be set between two scans."""
        self._builder = FindingBuilder(pack, self.filters, self.backend.matchers)
        self._pieces = PieceResults(
            self._builder, self.filters, self.compiled.overlap, lambda: self._overruns
        )
        self._joiner = Joiner(
            self._builder,
            self.backend.matchers,
            self.compiled.overlap,
            lambda: self._overruns,
            lambda document: self.sample.has(document),
        )
        self._dispatches = Dispatches(
            self.backend,
            self.speculator,
            SpeculationMode(config.speculation),
            self._take_in,
            partial(same_findings, take_in=self._take_in, new_result=self._new_result),
        )
        self._reader = DocumentReader(
            self.compiled.overlap,
            config.shard_bytes,
            self.backend.most_bytes,
            self.backend.read_memory,
        )
        self._rule_ids = [rule.id for rule in pack.rules]
        self._path_rules = [i for i, rule in enumerate(pack.rules) if rule.regex is None]

    def run(self, task: Task) -> TaskResult:
        """Do `task`. What goes wrong with a single document is in the result's problems."""
        run = self.new_run(lambda _: None)
        self.begin(task, run)
        self.flush()
        return run.result()

    def new_run(self, done: Callable[[TaskRun], None]) -> TaskRun:
        """For `begin`; `done`: is called when it is over."""
        return TaskRun(self._new_result(), done)

    def begin(self, task: Task, run: TaskRun) -> None:
        """Do `task`, but for what is still on a device when this returns: `run` is over by then, or
        in the course of the next task, before anything of that is looked at; or see `flush`.

        Raises WorkerUnusableError: this engine can't be used any more.
        """
        with run.timed():
            try:
                if isinstance(task, ScanTask):
                    self._dispatches.follow(task.choice, task.trial)
                    self._scan(task, run)
                    run.answer.programs = self.backend.facts
                elif isinstance(task, AuditTask):
                    self.flush()
                    self._auditor.audit(task, run.answer)
                else:
                    self.flush()
                    self._joiner.join(task, self._rule_ids, run.answer)
            except WorkerUnusableError:
                raise
            except Exception as error:  # noqa: BLE001 - whose task it is decides what to do
                run.fail(error)
                self.flush()
        if not self._dispatches.has(run):
            self.flush()  # tasks end in the order in which they began
            run.end()

    def flush(self) -> None:
        """Wait for what is on a device, and end the run that it is of."""
        self._dispatches.flush()

    def _new_result(self) -> TaskResult:
        return TaskResult(findings=Findings(self._rule_ids))

    def _scan(self, task: ScanTask, run: TaskRun) -> None:
        batch, result = Batch(), run.answer
        self._reader.restart()  # a task that failed has left there what it had read
        number = read = 0
        # a lease has more than a shard; so may a few small files, whose sizes are guessed
        limit, planned = self.config.shard_bytes, size_of(task)
        if planned > max(limit, _LEAST_LEASE):
            limit = planned
        for item in task.pieces:
            if isinstance(item, FolderRun):
                read, done = self._scan_run(item, batch, read, limit, run)
                number += done
                if done < len(item.names):
                    result.undone = count(task.pieces) - number
                    break
            else:
                if read >= limit or result.findings.bytes >= _MOST_FOUND:
                    result.undone = count(task.pieces) - number
                    break
                self._scan_piece(item, batch, run)
                number += 1
        if batch.windows:
            self._dispatch(batch, run)

    def _scan_piece(self, piece: Piece, batch: Batch, run: TaskRun) -> None:
        result = run.answer
        decision = self.filters.path_decision(piece.path)
        if decision.skipped:
            result.skipped.append(piece.document)
            return
        try:
            window = self._reader.window(piece)
        except DocumentError as error:
            result.problems.append(DocumentProblem(piece.document, error.reason, error.detail))
            return
        except LargeFile as large:  # it has grown since it was listed
            grown = Piece(
                piece.document, piece.path, large.size, 0, large.size, piece.open_path, large.stamp
            )
            result.large.append(LargeDocument(grown, self.config.shard_bytes))
            result.findings.keep_apart(piece.document)
            return
        if not piece.whole:
            result.findings.keep_apart(piece.document)
        if piece.start == 0:  # once for a document, however many pieces it has
            self._path_findings(piece.document, piece.path, decision, result)
        if not piece.whole:
            batch.partial[len(batch.windows)] = piece
        elif self.sample and self.sample.has(piece.document):
            batch.audited[len(batch.windows)] = piece
        batch.add(piece.document, piece.path, window)
        self._dispatch_if_full(batch, run)

    def _scan_run(
        self, files: FolderRun, batch: Batch, read: int, limit: int, run: TaskRun
    ) -> tuple[int, int]:
        """Scan a folder's files until `read` bytes are `limit`; (bytes read, files begun)."""
        result, names = run.answer, files.names
        opened = files.prefix if files.open_prefix is None else files.open_prefix
        at = 0
        for end, decision in self._decided_alike(files):
            if decision.skipped:
                result.skipped.extend(range(files.first + at, files.first + end))
                at = end
            many = not self._said_by_path(decision)
            while at < end:
                if read >= limit or result.findings.bytes >= _MOST_FOUND:
                    return read, at
                begun = at
                if many:
                    most = self._dispatches.limits
                    room = min(limit - read, most.bytes - batch.bytes)
                    last = min(end, at + most.windows - len(batch.windows))
                    memory, windows = self._reader.memory, batch.windows
                    at = memory.read_files(opened, names.raw, at, last, windows, room)
                if at > begun:
                    document = files.first + begun
                    if self.sample:
                        self._choose(files, range(begun, at), batch)
                    read += batch.added_files(at - begun, document, files.prefix, names, begun)
                else:
                    read += self._scan_file(files, at, decision, batch, run)
                    at += 1
                self._dispatch_if_full(batch, run)
        return read, len(names)

    def _decided_alike(self, files: FolderRun) -> Iterator[tuple[int, PathDecision]]:
        """A decision, and the number of the first file behind those that it is about; in order."""
        prefix, names = files.prefix.encode("utf-8", "surrogateescape"), files.names
        lines = prefix + names.packed[:-1].replace(b"\0", b"\n" + prefix)
        shared = self.filters.lines_decision(lines, len(names))
        if shared is not None:
            yield len(names), shared
            return
        decide, end = self.filters.path_decision, 0
        for decision, alike in groupby([decide(files.prefix + name) for name in files.names]):
            end += len(list(alike))
            yield end, decision

    def _scan_file(
        self, files: FolderRun, number: int, decision: PathDecision, batch: Batch, run: TaskRun
    ) -> int:
        """Scan one file of a folder's, whatever it is; how many bytes were read.

        `decision`: of its path.
        """
        result, limit = run.answer, self.config.shard_bytes
        document, path = files.first + number, files.prefix + files.names[number]
        opened = None if files.open_prefix is None else files.open_prefix + files.names[number]
        try:
            data = self._reader.memory.read(opened or path)
        except DocumentError as error:
            result.problems.append(DocumentProblem(document, error.reason, error.detail))
            return 0
        except LargeFile as large:
            file = Piece(document, path, large.size, 0, large.size, opened, large.stamp)
            result.large.append(LargeDocument(file, limit))
            result.findings.keep_apart(document)
            return 0
        self._path_findings(document, path, decision, result)
        position = self._reader.memory.position if type(data) is memoryview else -1
        if self.sample.has(document):
            batch.audited[len(batch.windows)] = Piece(document, path, 0, 0, 0, opened)
        batch.add(document, path, Window(data, 0, 0, len(data), True, position))
        return len(data)

    def _choose(self, files: FolderRun, numbers: range, batch: Batch) -> None:
        """Of a folder's files, which are the latest windows, mark those that are to be audited."""
        first = len(batch.windows) - len(numbers)
        for window, number in enumerate(numbers, first):
            if self.sample.has(document := files.first + number):
                name, before = files.names[number], files.open_prefix
                opened = None if before is None else before + name
                batch.audited[window] = Piece(document, files.prefix + name, 0, 0, 0, opened)

    def _said_by_path(self, decision: PathDecision) -> list[int]:
        """The rules that have only a path, and apply."""
        return [rule for rule in self._path_rules if decision.applies[rule]]

    def _path_findings(
        self, document: int, path: str, decision: PathDecision, result: TaskResult
    ) -> None:
        """What rules that have only a path say of a document."""
        for rule in self._said_by_path(decision):
            result.findings.add_by_path(path, path_row(document, rule))

    def _dispatch_if_full(self, batch: Batch, run: TaskRun) -> None:
        most = self._dispatches.limits
        if batch.bytes >= most.bytes or len(batch.windows) >= most.windows:
            self._dispatch(batch, run)

    def _dispatch(self, batch: Batch, run: TaskRun) -> None:
        """Run the pack on the batch's windows, and empty it."""
        self._dispatches.start(batch, run)
        # what is read from now on goes to other memory
        self._reader.clear()

    def _take_in(self, batch: Batch, outcome: DispatchOutcome, result: TaskResult) -> None:
        """Add what came out of a dispatch to its task's answer."""
        windows = batch.windows
        if outcome.report is not None:
            result.fused += 1
            result.committed += outcome.report.committed_tiles
            result.rolled_back += outcome.report.rolled_back_tiles
        else:
            result.serial += 1
        result.bytes += batch.owned
        result.matches += sum(map(len, outcome.spans.values()))
        result.scanned[outcome.backend] = result.scanned.get(outcome.backend, 0) + batch.owned
        # most documents are whole and have no spans: nothing more is to be said of them
        result.documents += len(windows) - len(batch.partial)
        for w, piece in batch.partial.items():
            result.parts.append(self._pieces.of(piece, windows[w], w, outcome))
        tallies = {w: Tally() for w in batch.audited}
        for w, spans in sorted(outcome.spans.items()):
            if w not in batch.partial:
                number, path = batch.whose(w)
                document = BytesDocument(bytes(windows[w].data), path)
                spans.sort()
                rows = self._builder.build(
                    number,
                    document,
                    spans,
                    seen=outcome.groups.get(w),
                    flags=outcome.keywords.get(w, b""),
                    counted=result,
                )
                if w in tallies:
                    rows = tallies[w].seen(rows)
                result.findings.add(document.path, rows)

        for w, tally in tallies.items():
            data = windows[w].data
            piece = batch.audited[w]._replace(size=len(data), end=len(data), stamp=None)
            evidence = Evidence(0, len(data), digest_of(data))
            result.audits.append(AuditTask(piece, (evidence,), tally))

    @cached_property
    def _auditor(self) -> Auditor:
        # most scans have no audit
        from vyre_dist.engine.audit import Auditor

        return Auditor(self.pack, self.compiled)

    @cached_property
    def _overruns(self) -> dict[int, Overrun]:
        """By number, of the rules without a widest match; for pieces only."""
        return load_overruns(self.compiled, self.cache)
