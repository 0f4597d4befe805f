"""RowScanner: from arenas of rows to findings, each row a document by itself.

Backends that search whole arenas name the rows that have matches; with others, and where a scan is
to speculate, each row is a window of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vyre_dist.dispatch.backend import DispatchConfig, SpeculationMode
from vyre_dist.dispatch.speculator import Speculator
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.document import BytesDocument
from vyre_dist.engine.finding_rows import FindingRow, path_row
from vyre_dist.engine.findings import FindingBuilder
from vyre_dist.engine.row_paths import PathRules, RowPaths
from vyre_dist.extract import Span, Window
from vyre_dist.extract.row_arena import RowArena
from vyre_dist.kernels import DispatchOutcome, ScanBackend, scan_windows
from vyre_dist.kernels.host_backend import HostBackend
from vyre_dist.metrics import Metrics
from vyre_dist.rules.filters import CompiledFilters
from vyre_dist.rules.finder import Groups
from vyre_dist.rules.model import PackData


class RowScanner:
    """What a ScanEngine does with rows. Not thread-safe."""

    def __init__(
        self,
        pack: PackData,
        config: EngineConfig,
        backend: ScanBackend,
        filters: CompiledFilters,
        speculator: Speculator,
    ) -> None:
        self._dispatch_config = DispatchConfig(SpeculationMode(config.speculation))
        self._backend = backend
        self._speculator = speculator
        self._builder = FindingBuilder(pack, filters, backend.matchers)
        self._path_rules = PathRules(pack, filters)

    def scan(self, rows: RowArena, paths: RowPaths) -> list[FindingRow]:
        """The findings in `rows`, whose numbers are those of the documents, in no order."""
        found = [path_row(row, rule) for row, rule in self._path_rules.reported(paths)]
        for row, spans, groups in self._matches(rows):
            spans.sort()
            document = BytesDocument(rows.row(row), paths.of(row))
            found += self._builder.build(row, document, spans, None, groups, counted=Metrics())
        return found

    def _matches(
        self, rows: RowArena
    ) -> Iterator[tuple[int, list[Span], Mapping[int, Mapping[int, Groups]] | None]]:
        """(row, its matches, their groups as far as they are known) of rows with matches."""
        backend = self._backend
        forced = self._dispatch_config.speculation is SpeculationMode.FORCE
        if isinstance(backend, HostBackend) and not forced:
            yield from _by_row(backend.scan_rows(rows), 0)
            return
        windows: list[Window] = []
        size = 0
        for row, window in enumerate(rows):
            windows.append(window)
            size += len(window.data)
            if (
                size >= backend.dispatch_bytes
                or len(windows) >= backend.dispatch_windows
                or row == len(rows) - 1
            ):
                outcome = scan_windows(backend, self._speculator, windows, self._dispatch_config)
                yield from _by_row(outcome, row + 1 - len(windows))
                windows, size = [], 0


def _by_row(
    outcome: DispatchOutcome, first: int
) -> Iterator[tuple[int, list[Span], Mapping[int, Mapping[int, Groups]] | None]]:
    for window, spans in outcome.spans.items():
        yield first + window, spans, outcome.groups.get(window)
