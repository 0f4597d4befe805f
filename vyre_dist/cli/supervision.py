"""Runs a scan's driver on Ray in a child process, and tells its exit code from one that Ray chose.

Ray's library ends a driver at once when the cluster's head is gone, with exit code 1: a scan's code
for findings. So the parent never loads Ray, and believes a 0 or a 1 only if the child also said it
itself after it had written its outputs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable

from vyre_dist.actors.outcome import VARIABLE
from vyre_dist.actors.ray_output import keep_apart, kept, open_record
from vyre_dist.cli import log
from vyre_dist.cli.exit_codes import ExitCode

_PR_SET_PDEATHSIG = 1
_SI_KERNEL = 0x80
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OUTCOMES = frozenset({ExitCode.CLEAN, ExitCode.FINDINGS})

Written = Callable[[int], None]
"""Called with the scan's exit code when all its outputs are in their places."""


def supervised(work: Callable[[Written], int], *, ray_output: bool = False) -> int:
    """Do `work` in a child of this process; returns the exit code in both.

    This process must have no other threads yet.

    Passes Ctrl-C, SIGTERM and SIGHUP on to the child, which acts on them. If a signal ends the
    child, this process ends by the same signal. What Ray prints is shown with `ray_output`; else
    it is kept where Ray ended the child, and the message names the file.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    heard, said = os.pipe()
    rays = None if ray_output else open_record()
    forwarded = {each for each in _FORWARDED if signal.getsignal(each) is not signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*forwarded, signal.SIGCHLD})
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(heard)
        os.environ.pop(VARIABLE, None)
        _end_with(parent)
        if rays is not None:
            keep_apart(rays)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return work(lambda code: _say(said, code))
    os.close(said)
    try:
        status, signalled = _wait(child, forwarded)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with open(heard, "rb") as words:
        return _exit_code(status, words.read(1), signalled, rays)


def _end_with(parent: int) -> None:
    """Have this process get SIGTERM when its parent ends in any way."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        signal.raise_signal(signal.SIGTERM)


def _say(said: int, code: int) -> None:
    # what is still in Python's buffers would be lost with the process
    sys.stdout.flush()
    os.write(said, bytes([code]))


def _wait(child: int, forwarded: set[signal.Signals]) -> tuple[int, int]:
    """Pass signals on until the child ends. (The child's status as os.waitpid gives it, the last
    signal or 0.)
    """
    signalled = 0
    while True:
        got = signal.sigwaitinfo({*forwarded, signal.SIGCHLD})
        if got.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status, signalled
            continue
        signalled = got.si_signo
        # a terminal sends its signals to the whole foreground: the child has had them
        if got.si_code != _SI_KERNEL:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signalled)


def _exit_code(status: int, word: bytes, signalled: int, rays: int | None) -> int:
    """The exit code for a child with this status. `word`: the code that it said itself, if it did.
    `signalled`: the last signal that was passed on to it, or 0. `rays`: what Ray printed.
    """
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number in _CRASHES:
            name = signal.strsignal(number)
            log.say(f"the scan's process crashed ({name}){_last_words(rays)}", "error")
        _end_by(number)
    code = os.waitstatus_to_exitcode(status)
    if code not in _OUTCOMES:
        return code
    if word:
        return word[0]
    if signalled:  # Ray can end a driver that is leaving before it leaves itself
        return 128 + signalled
    log.say(
        f"the scan's process ended with exit code {code} before the outputs were "
        "written: it is not the scan's. "
        "Ray ends a driver so when the cluster's head is gone (see ray status). What was found is "
        f"not known; scan again{_last_words(rays)}",
        "error",
        exit_code=int(ExitCode.INCOMPLETE),
    )
    return ExitCode.INCOMPLETE


def _last_words(rays: int | None) -> str:
    """Where what Ray printed last is, for the end of a message."""
    path = None if rays is None else kept(rays)
    return "" if path is None else f"; what Ray said is in {path}"


def _end_by(signum: int) -> None:
    """End this process by the same signal. The child has left a core dump already."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if signum != signal.SIGKILL:
        signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signum})
    os.kill(os.getpid(), signum)
