"""Child: a process and this end of its pipe; how it is ended, and what its death is called."""

from __future__ import annotations

import signal
from multiprocessing.connection import Connection
from typing import Protocol

STOP_SECONDS = 5.0
"""How long a process that has been told to end may take."""


class ChildProcess(Protocol):
    """What is needed of a multiprocessing.Process, or a ForkedProcess."""

    @property
    def pid(self) -> int | None: ...
    @property
    def exitcode(self) -> int | None: ...
    def join(self, timeout: float | None = None) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def close(self) -> None: ...


class Child:
    """A process that was started, with the connection to it. `ready`: it has said so."""

    def __init__(self, process: ChildProcess | None, connection: Connection) -> None:
        """`process`: None for one that could not be started; its `connection` is closed."""
        self.process = process
        self.connection = connection
        self.ready = False

    @property
    def pid(self) -> int | None:
        """Its number; None as long as it is not known."""
        return None if self.process is None else self.process.pid

    def terminate(self) -> None:
        """Tell it to end, and do not wait for that: `end` does."""
        self.connection.close()
        if self.process is not None:
            self.process.terminate()

    def end(self) -> None:
        """See to it that it has ended. It is told by the end of its connection."""
        self.connection.close()
        if self.process is not None:
            end(self.process)
            self.process.close()

    def kill(self) -> None:
        """End it now, whatever it is at."""
        if self.process is not None and self.process.exitcode is None:
            self.process.kill()
        self.end()

    def death(self, called: str = "process") -> str:
        """How it ended, in words; for one whose connection has ended."""
        self.connection.close()
        if self.process is not None:
            self.process.join(STOP_SECONDS)
        if self.process is None or self.process.pid is None:
            return "no process could be started"
        pid, code = self.process.pid, self.process.exitcode
        if code is None:
            return f"{called} {pid} closed its connection, and nobody has told of its end"
        if code >= 0:
            return f"{called} {pid} ended with exit code {code}"
        hint = ": out of memory, perhaps" if -code == signal.SIGKILL else ""
        return f"{called} {pid} was ended by signal {-code} ({signal.strsignal(-code)}){hint}"


def end(process: ChildProcess) -> None:
    """Wait for a process that has been told to end, and kill it if it does not."""
    process.join(STOP_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
