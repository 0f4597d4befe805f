"""`vyre-dist` in a process of its own, which is a fork of one that has imported it: interpreter and
imports, 0.2 s of each run, are paid for once.

Not for what Python does as it starts (import paths, variables of its own, how long that takes), nor
for what should not be imported, nor for runs that should each have hashes of their own.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

CLOSED = -1
"""In the place of a descriptor: the command has no such stream."""

_ROOT = Path(__file__).parents[2]
_LONGEST_REQUEST = 1 << 17
_END_S = 10
_NUMBER = struct.Struct("i")
_STREAMS = ("stdin", "stdout", "stderr")


class ForkedCommand:
    """The process that the runs are forked from. `environment`: its own; one run at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env={**environment, "PYTHONPATH": str(_ROOT)},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: bytes = b"",
        stdout: int | None = None,
        stderr: int | None = None,
        timeout: float,
    ) -> subprocess.CompletedProcess[bytes]:
        """The command's exit code and what it wrote, but for what went to the descriptors `stdout`
        and `stderr`.

        After `timeout` seconds the command is ended, and TimeoutError raised; so it is where a
        process that the command has left behind could still write.
        """
        until = time.monotonic() + timeout
        read, write = os.pipe()
        told = [_Reader(stdout), _Reader(stderr)]
        streams = [read, *(each.write for each in told)]
        request = json.dumps(
            {
                "arguments": list(arguments),
                "cwd": str(cwd),
                "env": dict(env),
                "closed": [number for number, each in enumerate(streams) if each == CLOSED],
            }
        ).encode()
        if len(request) > _LONGEST_REQUEST:
            raise ValueError(
                f"arguments and environment have {len(request)} bytes: start the command instead"
            )
        socket.send_fds(
            self._control, [request], [read if each == CLOSED else each for each in streams]
        )
        os.close(read)
        for each in told:
            each.begin()
        threading.Thread(target=_feed, args=(write, stdin), daemon=True).start()
        pid = self._hear()
        try:
            code = self._hear(until)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            self._hear()  # that it has ended: else the next run would take this for its own
            raise
        out, err = (each.all(until) for each in told)
        return subprocess.CompletedProcess(arguments, code, out, err)

    def _hear(self, until: float | None = None) -> int:
        self._control.settimeout(None if until is None else max(0.001, until - time.monotonic()))
        said = self._control.recv(_NUMBER.size)
        if not said:
            raise RuntimeError(
                f"the process that forks commands has ended: {self._server.wait(_END_S)}"
            )
        return int(_NUMBER.unpack(said)[0])

    def close(self) -> None:
        """End the process."""
        self._control.close()
        self._server.wait(_END_S)


class _Reader:
    """What is written to a new pipe, or nothing where there is a descriptor to write to."""

    def __init__(self, given: int | None) -> None:
        self._read, self.write = (None, given) if given is not None else os.pipe()
        self._data = b""
        self._thread = threading.Thread(target=self._take, daemon=True)

    def begin(self) -> None:
        """To be called when others have `write`."""
        if self._read is not None:
            os.close(self.write)
            self._thread.start()

    def _take(self) -> None:
        assert self._read is not None
        with open(self._read, "rb") as pipe:
            self._data = pipe.read()

    def all(self, until: float) -> bytes:
        """All of it, when the last process that could write has gone. Raises TimeoutError."""
        if self._read is not None:
            self._thread.join(max(0.0, until - time.monotonic()))
            if self._thread.is_alive():
                raise TimeoutError(
                    "the command has ended, and a process that it started has its output open"
                )
        return self._data


def _feed(pipe: int, data: bytes) -> None:
    try:
        with open(pipe, "wb") as file:
            file.write(data)
    except BrokenPipeError:
        pass  # not all was wanted


def _serve(control: socket.socket) -> None:
    """Fork for each request, until nobody can make one any more; what the child does ends it."""
    while True:
        request, streams, _, _ = socket.recv_fds(control, _LONGEST_REQUEST, len(_STREAMS))
        if not request:
            return
        child = os.fork()
        if child == 0:
            _become(json.loads(request), streams, control)
        for each in streams:
            os.close(each)
        control.send(_NUMBER.pack(child))
        _, status = os.waitpid(child, 0)
        control.send(_NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _become(request: dict[str, Any], streams: Sequence[int], control: socket.socket) -> NoReturn:
    """Be the command: nothing of the server's is left that it could see."""
    from vyre_dist.cli.main import main
    from vyre_dist.import_path import guard_this_process

    control.close()
    for number, each in enumerate(streams):
        os.dup2(each, number)
        os.close(each)
        _open_stream(number, closed=number in request["closed"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    guard_this_process()
    # what `python -m vyre_dist` has, and processes that multiprocessing spawns look at
    sys.modules["__main__"] = importlib.import_module("vyre_dist.__main__")
    sys.argv = [str(sys.modules["__main__"].__file__), *request["arguments"]]
    main()


def _open_stream(number: int, *, closed: bool) -> None:
    """Have a standard stream as Python has it when it starts: what it remembers of a file is that
    file's.
    """
    name = _STREAMS[number]
    if closed:
        os.close(number)
        stream = None
    else:
        before = getattr(sys, name)
        stream = io.TextIOWrapper(
            open(number, "rb" if number == 0 else "wb", closefd=False),  # noqa: SIM115
            encoding=before.encoding,
            errors=before.errors,
            newline="\n",
            line_buffering=number == 2,
        )
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def _import() -> None:
    """What many runs import and what starts no threads; what is missing here only takes longer."""
    from vyre_dist.autotune import redis_store, sqlite_store, tiered, urls  # noqa: F401
    from vyre_dist.cli import autotune, console, destinations, rules, scan, scan_command  # noqa: F401
    from vyre_dist.driver import local_pool, plan, run, tuning  # noqa: F401
    from vyre_dist.kernels import backends  # noqa: F401
    from vyre_dist.program import packs  # noqa: F401
    from vyre_dist.runs import nothing_scanned, scan_run  # noqa: F401
    from vyre_dist.sinks import csv_sink, human, jsonl, report, sarif, sinkset  # noqa: F401


if __name__ == "__main__":
    del sys.path[0]  # this file's folder
    _import()
    _serve(socket.socket(fileno=int(sys.argv[1])))
