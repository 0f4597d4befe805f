"""Runs functions in processes of their own, all at once, each for a bounded time."""

from __future__ import annotations

import os
import pickle
import select
import selectors
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vyre_dist.processes.signals import signals_blocked

T = TypeVar("T")

_REAP_SECONDS = 1.0
"""How long a process that was killed is waited for: one that a file system holds never ends."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A function that returned nothing: it ran out of time (`hung`), or ended as `why` says."""

    why: str
    hung: bool = False


@dataclass(slots=True)
class _Running:
    """A process, and what it has said by now."""

    pid: int
    pipe: int
    said: bytearray = field(default_factory=bytearray)


class _Bounded(Generic[T]):
    """The processes of some functions, by the functions' numbers."""

    def __init__(self) -> None:
        self._running: dict[int, _Running] = {}
        self._selector = selectors.DefaultSelector()
        self.results: dict[int, T | Unanswered] = {}

    def start(self, number: int, work: Callable[[], T]) -> None:
        """Run `work` in a process of its own."""
        try:
            heard, said = os.pipe()
        except OSError as error:
            self.results[number] = Unanswered(f"no pipe could be made: {error.strerror}")
            return
        try:
            with signals_blocked(spawns=False):
                pid = os.fork()
                if pid == 0:
                    _answer(work, said)
        except OSError as error:
            os.close(heard)
            self.results[number] = Unanswered(f"no process could be started: {error.strerror}")
            return
        finally:
            os.close(said)
        self._running[number] = _Running(pid, heard)
        self._selector.register(heard, selectors.EVENT_READ, number)

    def listen(self, until: float) -> None:
        """Take answers until all have come or the time is over."""
        while self._running and (left := until - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                running = self._running[key.data]
                if data := os.read(running.pipe, 1 << 16):
                    running.said += data
                else:
                    self._end(key.data)

    def end(self, why: str) -> None:
        """Kill those that have not answered."""
        for number, running in list(self._running.items()):
            os.kill(running.pid, signal.SIGKILL)
            self._end(number)
            self.results[number] = Unanswered(why, hung=True)
        self._selector.close()

    def _end(self, number: int) -> None:
        running = self._running.pop(number)
        self._selector.unregister(running.pipe)
        os.close(running.pipe)
        status = _reaped(running.pid)
        if status == 0 and running.said:
            self.results[number] = pickle.loads(running.said)  # noqa: S301 - our own child's
        elif status is not None and os.WIFSIGNALED(status):
            name = signal.strsignal(os.WTERMSIG(status))
            self.results[number] = Unanswered(
                f"it was ended by signal {os.WTERMSIG(status)} ({name})"
            )
        else:
            self.results[number] = Unanswered("it ended without an answer")


def run_bounded(works: Sequence[Callable[[], T]], seconds: float) -> list[T | Unanswered]:
    """What each of `works` returns, or why it returned nothing. It takes `seconds` at most, and a
    little more for the ends of what has to be killed.

    They run in forked processes: this one must have no other threads yet. Standard streams are
    closed to them. What they return is pickled.
    """
    bounded: _Bounded[T] = _Bounded()
    until = time.monotonic() + seconds
    try:
        for number, work in enumerate(works):
            bounded.start(number, work)
        bounded.listen(until)
    finally:
        bounded.end(f"it did not answer within {seconds:g} s")
    return [bounded.results[number] for number in range(len(works))]


def _answer(work: Callable[[], object], said: int) -> None:
    """Be the process: say what `work` returns, and end. It never returns."""
    code = 1
    try:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the end
        with open(said, "wb") as pipe:
            pipe.write(pickle.dumps(work()))
        code = 0
    finally:
        os._exit(code)


def _reaped(pid: int) -> int | None:
    """The process's status; None for one that does not end."""
    ended = os.pidfd_open(pid)
    try:
        if not select.select([ended], [], [], _REAP_SECONDS)[0]:
            return None
    finally:
        os.close(ended)
    return os.waitpid(pid, 0)[1]
