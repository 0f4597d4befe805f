"""Processes that nobody waits for: they end with a signal or by themselves, and what is said of
their end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

import pytest
from echoing_process import echo

from vyre_dist.processes import unwaited
from vyre_dist.processes.child import STOP_SECONDS, Child
from vyre_dist.processes.unwaited import fork_unwaited, start_unwaited

PATIENCE = 30.0


def begin(way: str) -> Child:
    """A child that echoes, forked or in an interpreter of its own."""
    if way == "forked":
        return fork_unwaited(lambda theirs: echo(theirs, b"load"), ())
    return start_unwaited(echo, b"load")


ways = pytest.mark.parametrize("way", ["forked", "started"])


@ways
def test_it_answers_and_ends_by_itself(way: str) -> None:
    """It has what it was given, and its exit code is told when its connection has ended."""
    child = begin(way)
    assert child.process is not None
    assert child.connection.recv_bytes() == b"load %d" % (child.pid or 0)
    child.connection.send_bytes(b"more")
    assert child.connection.recv_bytes() == b"more"
    assert child.process.exitcode is None
    assert child.death("it").endswith("ended with exit code 5")
    child.process.close()


@ways
def test_it_is_killed_and_left(way: str) -> None:
    """Nobody waits; who starts the next one reaps it."""
    child = begin(way)
    child.connection.recv_bytes()
    pid, process = child.pid, child.process
    assert pid is not None and process is not None
    os.kill(pid, signal.SIGSTOP)  # one that is busy inside a driver
    began = time.monotonic()
    process.kill()
    process.close()
    child.connection.close()
    assert time.monotonic() - began < STOP_SECONDS / 5
    deadline = time.monotonic() + PATIENCE
    while process.exitcode is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.exitcode == -signal.SIGKILL
    other = begin(way)
    assert process not in unwaited._left
    assert other.process is not None
    other.process.kill()
    assert other.death("it").startswith("it")
    assert other.process.exitcode == -signal.SIGKILL
    other.process.close()


def test_a_forked_one_that_fails(capfd: pytest.CaptureFixture[str]) -> None:
    """What it raises is shown, and it never returns into this process's code."""
    here = os.getpid()

    def fail(_: Connection) -> None:
        raise LookupError("on purpose")

    child = fork_unwaited(fail, ())
    assert os.getpid() == here
    assert "exit code 1" in child.death()
    assert "LookupError: on purpose" in capfd.readouterr().err


def test_a_forked_one_closes_what_is_not_for_it() -> None:
    """Whoever holds the other end of a pipe sees it closed, though the child lives."""
    read, write = os.pipe()

    class End:
        def close(self) -> None:
            os.close(write)

    child = fork_unwaited(lambda theirs: echo(theirs, b""), [End()])
    child.connection.recv_bytes()
    os.close(write)
    assert os.read(read, 1) == b""
    os.close(read)
    assert child.process is not None
    child.process.kill()
    child.death()


PROGRAM = """
import os, signal, sys
from vyre_dist.processes.unwaited import fork_unwaited

def stop(theirs):
    os.close(1)  # else who reads it would wait for this one
    theirs.send_bytes(b"here")
    signal.sigwait({signal.SIGUSR1})

child = fork_unwaited(stop, ())
child.connection.recv_bytes()
os.kill(child.pid, signal.SIGSTOP)
print(child.pid)
child.process.close()
"""


def test_the_end_of_the_interpreter_waits_for_none() -> None:
    """Not even for one that is still at work."""
    done: Any = subprocess.run(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0
    os.kill(int(done.stdout), signal.SIGKILL)
