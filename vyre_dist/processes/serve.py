"""The child's side: let through the signals that end it, say that it is ready, and answer."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

from vyre_dist.processes.messages import READY, message
from vyre_dist.processes.signals import ENDING


def answer_all(connection: Connection, answer: Callable[[bytes], bytes | None]) -> None:
    """Say that this process is ready; then answer, one after another, until the other end is gone.

    `answer`: None for what needs no answer. What it raises goes through.
    """

    def take(told: bytes) -> None:
        said = answer(told)
        if said is not None:
            connection.send_bytes(said)

    take_all(connection, take)


def take_all(
    connection: Connection, take: Callable[[bytes], None], idle: Callable[[], None] | None = None
) -> None:
    """Say that this process is ready; then take what is told, one after another, until the other
    end is gone.

    `take` answers itself, when it will. `idle`: called before something has to be waited for. What
    they raise goes through, but for a connection that is gone.
    """
    told: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, told), daemon=True).start()
    # a parent that closed its end, or died, may be seen here before the thread sees it
    with contextlib.suppress(OSError):
        connection.send_bytes(message(READY))
        while True:
            if idle is not None and told.empty():
                idle()
            take(told.get())


def _receive(connection: Connection, told: queue.SimpleQueue[bytes]) -> None:
    """Take what is told off the pipe while something is being done.

    Else the parent, sending much, and this process, sending a long answer, could each wait for the
    other to read. Ends the process when the other end is closed.
    """
    with contextlib.suppress(EOFError, OSError):
        while True:
            told.put(connection.recv_bytes())
    # the parent is gone: nobody waits for what is being done
    os._exit(0)


def let_signals_through() -> None:
    """Be ended by what ends processes, whatever a forked one's parent does about that.

    Ctrl-C stays blocked: it reaches the whole process group, and the parent ends its children.
    """
    for signum in ENDING:
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def detail_of(error: Exception) -> str:
    """An exception in a line: its type, what it says and where it was raised."""
    import traceback  # 2 ms, which most processes need not spend

    where = traceback.extract_tb(error.__traceback__)[-1]
    file = where.filename.rsplit("/", 1)[-1]
    return f"{type(error).__name__}: {error} ({where.name}, {file}:{where.lineno})"
