"""Engines: one engine for each scan that is under way, so that threads do not wait."""

from __future__ import annotations

from collections import deque
from functools import cached_property

from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.row_scanner import RowScanner
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.program import ArtifactCache
from vyre_dist.rules.model import PackData


class LibraryEngine(ScanEngine):
    """An engine that also scans rows, which come in no task."""

    @cached_property
    def rows(self) -> RowScanner:
        """Scans rows with what this engine has."""
        return RowScanner(self.pack, self.config, self.backend, self.filters, self.speculator)


class Engines:
    """Lends engines, and opens one when all are out. Safe to call from several threads.

    There are never more of them than scans have run at the same time. They share what is compiled.
    """

    def __init__(self, pack: PackData, config: EngineConfig) -> None:
        self._pack, self._config = pack, config
        self._cache = _SharedArtifacts(config.cache_dir)
        self._free: deque[LibraryEngine] = deque()

    def borrow(self) -> LibraryEngine:
        """An engine that nobody else uses until it is given back. Raises what ScanEngine raises."""
        try:
            return self._free.pop()
        except IndexError:
            return LibraryEngine(self._pack, self._config, cache=self._cache)

    def give_back(self, engine: LibraryEngine) -> None:
        """The engine is free for others."""
        self._free.append(engine)


class _SharedArtifacts(ArtifactCache):
    """A cache that also keeps in memory what went through it: the next engine compiles nothing."""

    def __init__(self, directory: str | None) -> None:
        super().__init__(directory)
        self._kept: dict[tuple[str, str], bytes] = {}

    def get(self, kind: str, key: str) -> bytes | None:
        payload = self._kept.get((kind, key)) or super().get(kind, key)
        if payload is not None:
            self._kept[kind, key] = payload
        return payload

    def put(self, kind: str, key: str, payload: bytes) -> None:
        self._kept[kind, key] = payload
        super().put(kind, key, payload)
