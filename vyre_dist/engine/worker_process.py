"""What all pools of worker processes share: how a worker hears, how it is ended, and what it says
of an error.
"""

from __future__ import annotations

import contextlib
import os
import queue
import traceback
from multiprocessing.connection import Connection
from typing import Any

STOP_SECONDS = 5.0


def receive(connection: Connection, tasks: queue.SimpleQueue[bytes]) -> None:
    """Take tasks off the pipe while another is being done: else the pool, sending a long task, and
    the worker, sending a long answer, could each wait for the other to read. Ends the process when
    the other end is closed.
    """
    with contextlib.suppress(EOFError, OSError):
        while True:
            tasks.put(connection.recv_bytes())
    # the pool is gone: nobody waits for what is being done
    os._exit(0)


def end(process: Any) -> None:
    """Wait for a process that has been told to end, and kill it if it does not."""
    process.join(STOP_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()


def detail_of(error: Exception) -> str:
    """An exception in a line: its type, what it says and where it was raised."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"{type(error).__name__}: {error} ({where.name}, "
        f"{where.filename.rsplit('/', 1)[-1]}:{where.lineno})"
    )
