"""Keeps what Ray prints apart from what a command says.

When a cluster or a node dies, Ray writes its own log to the driver's standard output and standard
error, in pages. The command's process keeps that in a file, for the one case that it is asked for:
Ray has ended the process. Imports no Ray: each command that may use a cluster asks.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from vyre_dist.errors import UsageError
from vyre_dist.temporary import temporary_directory

_ERR = 2
_MOST_BYTES = 1 << 20
"""The end of it that is kept: the reason comes last."""

_record: int | None = None


def open_record() -> int | None:
    """A descriptor of a new file without a name, for what Ray prints; None where there can be
    none.
    """
    try:
        with tempfile.TemporaryFile(dir=temporary_directory()) as file:
            return os.dup(file.fileno())
    except (OSError, UsageError):
        return None


def keep_apart(record: int) -> None:
    """From `divert` on, what comes to descriptor 2 goes to the record, but for sys.stderr, which
    keeps its place. Called before anything is bound to sys.stderr.
    """
    global _record
    _record = record
    encoding, errors = sys.stderr.encoding, sys.stderr.errors
    with contextlib.suppress(OSError):  # it is closed
        sys.stderr = open(  # noqa: SIM115 - until the process ends
            os.dup(_ERR), "w", buffering=1, encoding=encoding, errors=errors
        )


def divert() -> None:
    """Have Ray, which is imported, print into the record, if there is one.

    Not before a cluster is connected to: until then descriptor 2 may be opened as an output.
    """
    if _record is None:
        return
    import logging

    from ray._private import worker

    os.dup2(_record, _ERR)
    stream = open(_ERR, "w", buffering=1, errors="replace", closefd=False)  # noqa: SIM115

    def write(data: dict[str, object], ignore_prefix: bool = False) -> None:
        del ignore_prefix
        lines = data.get("lines")
        with contextlib.suppress(OSError):
            for line in lines if isinstance(lines, list) else ():
                stream.write(f"({data.get('pid')}) {line}\n")

    # Ray prints other processes' words to standard output, among the findings
    worker.print_to_stdstream = write
    logger = logging.getLogger("ray")
    logger.handlers[:] = [logging.StreamHandler(stream)]


def kept(record: int) -> str | None:
    """The path of a file with the end of what Ray printed; None if it printed nothing, or there is
    no place for it.
    """
    size = os.fstat(record).st_size
    if not size:
        return None
    try:
        number, path = tempfile.mkstemp(".log", "vyre-dist-ray-", temporary_directory())
        with open(number, "wb") as file:
            file.write(os.pread(record, _MOST_BYTES, max(0, size - _MOST_BYTES)))
    except (OSError, UsageError):
        return None
    return str(Path(path))
