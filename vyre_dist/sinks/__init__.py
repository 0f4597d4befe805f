"""Outputs: findings and a run's summary, for people and files.

Public names are imported when first used: the command's help needs only the formats. rich and
pyarrow are imported where something is written with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vyre_dist.sinks.formats import FORMATS
    from vyre_dist.sinks.output import OutputError
    from vyre_dist.sinks.progress import Progress, open_progress
    from vyre_dist.sinks.redaction import RedactionError, redact
    from vyre_dist.sinks.sink import Sink
    from vyre_dist.sinks.sinkset import (
        SinkConflictError,
        SinkFormatError,
        SinkSet,
        SinkWriteError,
        open_sinks,
    )
    from vyre_dist.sinks.summary import RunSummary, WorkerSummary

__all__ = [
    "FORMATS",
    "OutputError",
    "Progress",
    "RedactionError",
    "RunSummary",
    "Sink",
    "SinkConflictError",
    "SinkFormatError",
    "SinkSet",
    "SinkWriteError",
    "WorkerSummary",
    "open_progress",
    "open_sinks",
    "redact",
]

_HOMES = {
    "FORMATS": "formats",
    "OutputError": "output",
    "Progress": "progress",
    "RedactionError": "redaction",
    "RunSummary": "summary",
    "Sink": "sink",
    "WorkerSummary": "summary",
    "open_progress": "progress",
    "redact": "redaction",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'sinkset')}"), name)
