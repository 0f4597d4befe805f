"""Outputs: findings and a run's summary, to people and files. rich and pyarrow are imported when
needed.
"""

from vyre_dist.sinks.output import OutputError
from vyre_dist.sinks.progress import Progress, open_progress
from vyre_dist.sinks.redact import RedactionError, redact
from vyre_dist.sinks.sinkset import (
    FORMATS,
    Sink,
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
