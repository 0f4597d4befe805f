"""ForkServer: a process without threads that loads the pack once and forks workers, for those who
may not fork themselves.

A worker is there milliseconds after it was asked for, and shares the pack's memory with the others.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.connection import Connection
from multiprocessing.spawn import get_executable
from typing import NoReturn

import msgpack

from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.signals import signals_blocked
from vyre_dist.driver.worker_loop import serve
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.engine.worker_process import STOP_SECONDS
from vyre_dist.errors import VyreError
from vyre_dist.import_path import guarded_children
from vyre_dist.rules.codec import decode_pack, encode_pack

# Neither the working directory (-P) nor its parent's main module is for it, which multiprocessing's
# spawn would import: in a Ray worker that takes most of a second.
_BOOTSTRAP = (
    "import sys; sys.path[:] = sys.argv[3:]; "
    "from vyre_dist.driver.fork_server import run; run(int(sys.argv[1]), int(sys.argv[2]))"
)

# what is said of each worker: its number when it is forked, and its exit code when it has ended
_PID = struct.Struct("=q")
_CODE = struct.Struct("=i")


class ForkedProcess:
    """A worker as its pool sees it, with what LocalPool needs of a multiprocessing.Process.

    `status` is at its end when the worker is gone, whether or not there is still somebody to tell
    its exit code.
    """

    def __init__(self, status: int) -> None:
        self._status: int | None = status
        self._told = b""

    @property
    def pid(self) -> int | None:
        """None: not forked yet, or never."""
        self._read(0.0)
        return _PID.unpack_from(self._told)[0] if len(self._told) >= _PID.size else None

    @property
    def exitcode(self) -> int | None:
        """As multiprocessing has it: negative for a signal. None: not ended, or nobody has told."""
        self._read(0.0)
        end = _PID.size + _CODE.size
        return _CODE.unpack_from(self._told, _PID.size)[0] if len(self._told) >= end else None

    @property
    def alive(self) -> bool:
        """Whether it has not ended, as far as anybody can tell."""
        self._read(0.0)
        return self._status is not None and self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most `timeout` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while self._status is not None and len(self._told) < _PID.size + _CODE.size:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return
            self._read(left)

    def terminate(self) -> None:
        """SIGTERM."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Hear no more of it."""
        if self._status is not None:
            os.close(self._status)
            self._status = None

    def _signal(self, number: signal.Signals) -> None:
        if self.alive and (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _read(self, timeout: float | None) -> None:
        """Take in what there is, or what comes within `timeout` seconds."""
        if self._status is None:
            return
        poll = select.poll()
        poll.register(self._status, select.POLLIN)
        if poll.poll(None if timeout is None else 1000 * timeout):
            said = os.read(self._status, 64)
            self._told += said
            if not said:
                self.close()


class ForkServer:
    """`start` it, and close it whatever happens. `gpu`: see BackendOptions."""

    def __init__(self, spec: WorkerSpec, gpu: str) -> None:
        self._load = os.memfd_create("vyre-fork-server", os.MFD_CLOEXEC)
        # not through a pipe: whoever starts it would wait until it has read that
        body = [encode_pack(spec.pack), asdict(spec.config), gpu]
        with open(self._load, "wb", closefd=False) as f:
            f.write(msgpack.packb(body, unicode_errors="surrogateescape"))
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process's number; None before it is started and when it has been closed."""
        return self._process.pid if self._process else None

    def start(self) -> socket.socket:
        """Begin to start it; nobody waits. The socket that takes requests. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs, guarded_children(), signals_blocked(spawns=False):
                files = (theirs.fileno(), self._load)
                path = [folder for folder in sys.path if os.path.isabs(folder)]
                executable = os.fsdecode(get_executable())
                self._process = subprocess.Popen(
                    [executable, "-P", "-c", _BOOTSTRAP, *map(str, files), *path],
                    stdin=subprocess.DEVNULL,
                    pass_fds=files,
                )
        except BaseException:
            ours.close()
            raise
        if self._control is not None:
            self._control.close()
        self._control = ours
        return ours

    def fork(self, connection: Connection) -> ForkedProcess:
        """Have it fork a worker that serves `connection`, when it has loaded the pack. Raises
        OSError.
        """
        control = self._control
        if control is None or self._process is None or self._process.poll() is not None:
            control = self.start()
        ours, theirs = os.pipe()
        files = [connection.fileno(), theirs]
        try:
            try:
                socket.send_fds(control, [b"w"], files)
            except ConnectionError:
                # it has ended, and nobody could have waited for that yet
                socket.send_fds(self.start(), [b"w"], files)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return ForkedProcess(ours)

    def close(self) -> None:
        """End it: it has nothing to save. Workers end when their connections do. May be called
        twice.
        """
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None
        if self._load >= 0:
            os.close(self._load)
            self._load = -1


def run(control: int, load: int) -> None:
    """The process's life: load, then fork a worker at each request until the other end of `control`
    is closed.
    """
    with open(load, "rb", closefd=False) as f:
        f.seek(0)  # its offset is the parent's, too
        pack, config, gpu = msgpack.unpackb(f.read(), unicode_errors="surrogateescape")
    os.close(load)
    _Forks(socket.socket(fileno=control), _loaded(pack, config, gpu)).serve()


def _loaded(pack: bytes, config: dict[str, object], gpu: str) -> Callable[[], ScanEngine]:
    """Gives a worker its engine; what kept it from being opened is raised there, where the pool
    hears of it.
    """
    try:
        engine = ScanEngine(decode_pack(pack), EngineConfig(**config), gpu)  # type: ignore[arg-type]
    except VyreError as error:
        refused = error

        def refuse() -> ScanEngine:
            raise refused

        return refuse
    return lambda: engine


class _Forks:
    """The server's own side."""

    def __init__(self, control: socket.socket, engine: Callable[[], ScanEngine]) -> None:
        self._control, self._engine = control, engine
        self._statuses: dict[int, int] = {}
        self._woken, wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake)
        self._wake = wake
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until nobody asks any more."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == self._woken:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._woken, 4096)
                    self._reap()
                    continue
                asked, files, _, _ = socket.recv_fds(self._control, 1, 2)
                if not asked:
                    return
                self._fork(files)

    def _fork(self, files: list[int]) -> None:
        try:
            if (
                len(files) == 2
            ):  # else this process may have no more files open: the pool sees the connection's end
                connection, status = files
                pid = os.fork()
                if pid == 0:
                    self._work(connection, status)
                self._statuses[pid] = os.dup(status)
        except OSError:
            traceback.print_exc()
        finally:
            for file in files:
                os.close(file)

    def _work(self, connection: int, status: int) -> NoReturn:
        """A worker's life. `status` stays open as long as it lives."""
        code = 1
        try:
            # by itself: one that is known to be ready can be signalled
            _tell(status, _PID.pack(os.getpid()))
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            self._control.close()
            for file in (self._woken, self._wake, *self._statuses.values()):
                os.close(file)
            serve(Connection(connection), self._engine)
            code = 0
        except BaseException:  # noqa: BLE001 - it must not return into the server's loop
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while self._statuses:
            pid, ended = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            status = self._statuses.pop(pid)
            _tell(status, _CODE.pack(os.waitstatus_to_exitcode(ended)))
            os.close(status)


def _tell(status: int, what: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody wants to hear of it any more
        os.write(status, what)
