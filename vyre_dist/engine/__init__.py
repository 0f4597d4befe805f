"""The scan itself, on one worker: documents to windows, dispatches, spans, findings."""

from vyre_dist.engine.scanner import Scanner, ScanResult
from vyre_dist.engine.worker import DEFAULT_SHARD_BYTES, MAX_SHARD_BYTES, EngineConfig, ScanEngine

__all__ = ["DEFAULT_SHARD_BYTES", "MAX_SHARD_BYTES", "EngineConfig", "ScanEngine", "ScanResult", "Scanner"]
