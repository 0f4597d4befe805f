"""A driver of Ray's in a process of its own, so that its exit code can be told from one that Ray
gave it.

Ray's library ends a driver on the spot when the cluster's head is gone, with exit code 1: a scan's
code for "findings". The process that was started stays apart from Ray, and takes a 0 or a 1 for
true only from a driver that said so itself, when its outputs were written.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable

import click

from vyre_dist.actors.outcome import VARIABLE
from vyre_dist.cli.exit_codes import ExitCode

_PR_SET_PDEATHSIG = 1
_SI_KERNEL = 0x80
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OUTCOMES = frozenset({ExitCode.CLEAN, ExitCode.FINDINGS})

Written = Callable[[int], None]
"""To be told the scan's exit code when all its outputs are in their places."""


def supervised(work: Callable[[Written], int]) -> int:
    """Do `work` in a child of this process; the exit code, in both. For a process that has no other
    threads yet.

    Ctrl-C, SIGTERM and SIGHUP go to the child, and are its to act on. A child that a signal ended
    takes this process along.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    heard, said = os.pipe()
    forwarded = {each for each in _FORWARDED if signal.getsignal(each) is not signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*forwarded, signal.SIGCHLD})
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(heard)
        os.environ.pop(VARIABLE, None)
        _end_with(parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return work(lambda code: _say(said, code))
    os.close(said)
    try:
        status, signalled = _wait(child, forwarded)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with open(heard, "rb") as words:
        return _exit_code(status, words.read(1), signalled)


def _end_with(parent: int) -> None:
    """Have this process get SIGTERM when its parent is gone, however that came."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        signal.raise_signal(signal.SIGTERM)


def _say(said: int, code: int) -> None:
    # what is still in Python's hands would be lost with the process
    sys.stdout.flush()
    os.write(said, bytes([code]))


def _wait(child: int, forwarded: set[signal.Signals]) -> tuple[int, int]:
    """The child's status, as of os.waitpid, and the last signal that came before, 0 for none; they
    are passed on.
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
        if (
            got.si_code != _SI_KERNEL
        ):  # a terminal's go to its whole foreground: the child has had them
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signalled)


def _exit_code(status: int, word: bytes, signalled: int) -> int:
    """What the process that waited says of a child that ended so, had said `word`, and had been
    `signalled` to end.
    """
    if os.WIFSIGNALED(status):
        _end_by(os.WTERMSIG(status))
    code = os.waitstatus_to_exitcode(status)
    if code not in _OUTCOMES:
        return code
    if word:
        return word[0]
    if signalled:  # Ray's own end of a driver that is leaving can be faster than the driver's
        return 128 + signalled
    click.echo(
        f"vyre-dist: the scan's process ended with exit code {code} before the outputs were "
        "written: it is not the scan's. "
        "Ray ends a driver so when the cluster's head is gone (see ray status): what was found is "
        "not known; scan again",
        err=True,
    )
    return ExitCode.INCOMPLETE


def _end_by(signum: int) -> None:
    """End this process by the same signal; one core dump is enough."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if signum != signal.SIGKILL:
        signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signum})
    os.kill(os.getpid(), signum)
