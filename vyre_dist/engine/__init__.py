"""The scan itself, on one worker: documents to windows, dispatches, spans, findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vyre_dist.engine.config import DEFAULT_SHARD_BYTES, MAX_SHARD_BYTES, EngineConfig
    from vyre_dist.engine.worker import ScanEngine

__all__ = [
    "DEFAULT_SHARD_BYTES",
    "MAX_SHARD_BYTES",
    "EngineConfig",
    "ScanEngine",
]

_HOMES = {"ScanEngine": "worker"}


def __getattr__(name: str) -> Any:
    """Imports public names when first used: a driver needs the tasks, but not the engine."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"vyre_dist.engine.{_HOMES.get(name, 'config')}"), name)
