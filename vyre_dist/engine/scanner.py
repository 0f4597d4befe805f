"""Scanner: the library's front door. One process, no pool; the shell and the cluster go through the
driver.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vyre_dist.dispatch.report import MergedReport
from vyre_dist.document_paths import written_path
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.reported import Reporter
from vyre_dist.engine.salvage import salvaged
from vyre_dist.engine.shards import cut, pack_shards
from vyre_dist.engine.tasks import (
    FindingRow,
    PartResult,
    Piece,
    ScanTask,
    StitchTask,
    TaskResult,
    piece_of,
    report_order,
)
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.finding import Finding
from vyre_dist.kernels import backend_warning
from vyre_dist.rules.model import PackData
from vyre_dist.rules.pack import RulePack
from vyre_dist.sources import (
    DocumentRef,
    InputNote,
    InputProblem,
    Pipes,
    pipe_id,
    spool_pipes,
    walk,
)
from vyre_dist.temporary import temporary_directory

if TYPE_CHECKING:
    from vyre_dist.secret_key import SecretKey


class ScanResult(list[Finding]):
    """The findings of a scan, with what else there is to know about it.

    `problems`: inputs that could not be read to their end; when there are any, the list of findings
    is not known to be complete. `notes`: what is worth a word but lacks nothing, such as a file
    that grew. `capped`: how many of google-re2's matches are longer than `max_match_bytes`; what is
    reported in their place is what fits, if anything does. `report`: commits and rollbacks of the
    speculative dispatches.
    """

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[InputProblem] = []
        self.notes: list[InputNote] = []
        self.documents = 0
        self.bytes = 0
        self.capped = 0
        self.committed = 0
        self.rolled_back = 0
        self.fused = 0
        # by number: each piece of a split document says the same
        self.failed: set[int] = set()
        self.left_out: set[int] = set()

    @property
    def skipped(self) -> int:
        """How many documents no rule applies to, by their path; they were not read."""
        return len(self.left_out)

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for has been scanned."""
        return not self.problems

    @property
    def report(self) -> MergedReport:
        """The counter tails of all dispatches, added up."""
        return MergedReport(self.committed, self.rolled_back, self.fused)


class Scanner:
    """Scans bytes and files with one rule pack.

    `pack`: a RulePack, PackData, or a mapping of rule ids to regexes. `backend`: `auto`, `cpu`,
    `cuda` or `reference`. `config`: everything else; `shard_bytes`, `max_match_bytes` and
    `speculation` may be given by keyword. `secret_key`: findings have a `secret_id` under it.
    Raises PackError or UsageError for what it can't work with. Not thread-safe: use one per thread.
    """

    def __init__(
        self,
        pack: RulePack | PackData | dict[str, str],
        backend: str = "auto",
        *,
        config: EngineConfig | None = None,
        shard_bytes: int | None = None,
        max_match_bytes: int | None = None,
        speculation: str | None = None,
        secret_key: SecretKey | None = None,
    ) -> None:
        config = replace(config or EngineConfig(), backend=backend)
        if shard_bytes is not None:
            config = replace(config, shard_bytes=shard_bytes)
        if max_match_bytes is not None:
            config = replace(config, max_match_bytes=max_match_bytes)
        if speculation is not None:
            config = replace(config, speculation=speculation)
        if isinstance(pack, dict):
            pack = RulePack.from_patterns(pack)
        data = pack.data if isinstance(pack, RulePack) else pack
        self._engine = ScanEngine(data, config)
        self._reporter = Reporter(data.rules, secret_key)
        self._own_files = frozenset() if secret_key is None else secret_key.own_files
        if slow := backend_warning(backend):
            warnings.warn(slow, RuntimeWarning, stacklevel=2)

    @property
    def engine(self) -> ScanEngine:
        """The engine underneath, for its backend, speculator and compiled pack."""
        return self._engine

    def scan(self, data: bytes | bytearray | memoryview, path: str = "<bytes>") -> list[Finding]:
        """The findings in one document, in order of their start.

        `path` is a local path, which is written as that of a file would be (docs/inputs.md), or a
        URL, which stays as it is.
        """
        return list(self._scan_pieces([_inline(0, bytes(data), path)], ScanResult()))

    def scan_batch(
        self, documents: Iterable[bytes | bytearray | memoryview | tuple[str, bytes]]
    ) -> list[list[Finding]]:
        """The findings of each document of a batch: bytes, or (path, bytes) pairs. One list for
        each, in order.

        Paths are as for `scan`.
        """
        pieces = []
        for number, document in enumerate(documents):
            path, data = (
                document if isinstance(document, tuple) else (f"<batch {number}>", document)
            )
            pieces.append(_inline(number, bytes(data), path))
        lists: list[list[Finding]] = [[] for _ in pieces]
        for number, finding in self._scan_rows(pieces, ScanResult()):
            lists[number].append(finding)
        return lists

    def scan_paths(
        self, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
    ) -> ScanResult:
        """Scan files, directories, globs and named pipes, in this process. Inputs that can't be
        read are listed in the result. A pipe is read to its end before anything is scanned; raises
        UsageError where there is no room for it.
        """
        if isinstance(paths, str | os.PathLike):
            paths = [paths]
        names = [os.fspath(path) for path in paths]
        named_pipes = [name for name in names if pipe_id(name) is not None]
        with spool_pipes(named_pipes, temporary_directory() if named_pipes else "") as pipes:
            return self._scan_names(names, pipes)

    def _scan_names(self, names: Sequence[str], pipes: Pipes) -> ScanResult:
        result = ScanResult()

        def documents() -> Iterator[Piece]:
            found = walk(names, own_files=self._own_files, pipes=pipes)
            for number, entry in enumerate(found):
                if isinstance(entry, DocumentRef):
                    yield piece_of(number, entry)
                else:
                    result.problems.append(entry)

        result.extend(self._scan_pieces(documents(), result))
        return result

    def _scan_pieces(self, documents: Iterable[Piece], total: ScanResult) -> Iterator[Finding]:
        return (finding for _, finding in self._scan_rows(documents, total))

    def _scan_rows(
        self, documents: Iterable[Piece], total: ScanResult
    ) -> Iterator[tuple[int, Finding]]:
        shard_bytes = self._engine.config.shard_bytes
        paths: dict[int, Piece] = {}

        def remember() -> Iterator[Piece]:
            for document in documents:
                paths[document.document] = document
                yield document

        waiting: dict[int, list[PartResult]] = {}
        for shard in pack_shards(remember(), shard_bytes):
            result = self._run(ScanTask(tuple(shard)), total, paths)
            rows = result.findings
            for part in result.parts:
                waiting.setdefault(part.document, []).append(part)
            for item in shard:
                if isinstance(item, Piece) and not item.whole and item.end == item.size:
                    rows += self._joined(
                        paths[item.document], waiting.pop(item.document, []), total, paths
                    )
            for large in result.large:  # it has grown since it was listed
                paths[large.piece.document] = large.piece
                rows += self._in_pieces(large.piece, total, paths)
            yield from self._reporter.findings(
                sorted(rows, key=report_order), lambda n: paths[n].path
            )

    def _in_pieces(
        self, document: Piece, total: ScanResult, paths: dict[int, Piece]
    ) -> list[FindingRow]:
        """The findings of a document that is larger than it was planned."""
        results = [
            self._run(ScanTask((piece,)), total, paths)
            for piece in cut(document, self._engine.config.shard_bytes)
        ]
        parts = [part for result in results for part in result.parts]
        rows = [row for result in results for row in result.findings]
        return rows + self._joined(document, parts, total, paths)

    def _joined(
        self, document: Piece, parts: list[PartResult], total: ScanResult, paths: dict[int, Piece]
    ) -> list[FindingRow]:
        """The findings of a split document; of one that fails, those of the pieces that were
        read.
        """
        if len(parts) == len(cut(document, self._engine.config.shard_bytes)):
            rows = self._run(StitchTask(document, tuple(parts)), total, paths).findings
            if document.document not in total.failed:
                return rows
        return salvaged(parts)

    def _run(
        self, task: ScanTask | StitchTask, total: ScanResult, paths: dict[int, Piece]
    ) -> TaskResult:
        result = self._engine.run(task)
        total.documents += result.documents
        total.bytes += result.bytes
        total.capped += result.capped
        total.left_out.update(result.skipped)
        total.committed += result.committed
        total.rolled_back += result.rolled_back
        total.fused += result.fused
        for each in result.problems:
            if each.document not in total.failed:
                total.failed.add(each.document)
                path = paths[each.document].path
                total.problems.append(InputProblem(path, each.reason, each.detail))
        total.notes += [InputNote(paths[n.document].path, n.reason, n.detail) for n in result.notes]
        return result


def _inline(number: int, data: bytes, path: str) -> Piece:
    return Piece(number, written_path(path), len(data), 0, len(data), inline=data)
