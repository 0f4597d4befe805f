"""A driver that something else ends: what its exit code becomes. Each case is a real process, which
is really ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

TIMEOUT_S = 30.0

PROGRAM = """
import os, signal, sys, time
from vyre_dist.cli.main import end_in_order
from vyre_dist.cli.supervision import supervised

def work(written):
    {work}

end_in_order()
sys.exit(supervised(work))
"""


def start(work: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(work="\n    ".join(work.splitlines()))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end_of(program: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = program.communicate(timeout=TIMEOUT_S)
    return program.returncode, said


@pytest.mark.parametrize("code", [0, 1])
def test_an_end_before_the_outputs_were_written_is_no_outcome(code: int) -> None:
    """What a library ends with 0 or 1 from within is exit code 3, and said."""
    ended, said = end_of(start(f"os._exit({code})"))
    assert (ended, f"ended with exit code {code}" in said) == (3, True)


@pytest.mark.parametrize("own", [0, 1])
@pytest.mark.parametrize("then", [0, 1])
def test_an_end_after_the_outputs_were_written_changes_nothing(own: int, then: int) -> None:
    """With the outputs in their places the scan's own code counts."""
    assert end_of(start(f"written({own})\nos._exit({then})")) == (own, "")


@pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
def test_a_scans_own_code_is_the_programs(code: int) -> None:
    """All codes come through, those that say how it came out once the outputs were written."""
    said = f"written({code})\n" if code in (0, 1) else ""
    assert end_of(start(f"{said}return {code}")) == (code, "")


def test_what_was_printed_is_out_before_the_code_counts() -> None:
    """Findings on standard output that are still in Python's hands do not get lost with the
    process.
    """
    program = start("print('finding')\nwritten(1)\nos._exit(1)")
    out, _ = program.communicate(timeout=TIMEOUT_S)
    assert (program.returncode, out) == (1, "finding\n")


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT])
def test_a_signal_that_ended_it_ends_the_program(signum: signal.Signals) -> None:
    """A shell sees the signal, as if there had been one process."""
    ended, _ = end_of(
        start(
            f"signal.signal({int(signum)}, 0) if {int(signum)} != 9 else 0\nos.kill(os.getpid(), "
            f"{int(signum)})"
        )
    )
    assert ended == -signum


WAITS = "print('ready', flush=True)\nsignal.pause()"


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_is_passed_on(signum: signal.Signals, code: int) -> None:
    """The child ends in its own order, with its own code."""
    work = (
        f"try:\n    {WAITS.splitlines()[0]}\n    signal.pause()\nexcept KeyboardInterrupt:\n    "
        f"return 130"
    )
    program = start(work)
    assert program.stdout is not None
    program.stdout.readline()
    program.send_signal(signum)
    assert end_of(program)[0] == code


@pytest.mark.parametrize("code", [0, 1])
def test_an_end_that_was_asked_for_is_no_outcome_either(code: int) -> None:
    """Ray may end a driver, with 1, that is about to follow SIGTERM: the code is the signal's."""
    program = start(f"signal.signal(signal.SIGTERM, lambda *_: os._exit({code}))\n{WAITS}")
    assert program.stdout is not None
    program.stdout.readline()
    program.send_signal(signal.SIGTERM)
    assert end_of(program) == (143, "")


def test_the_driver_does_not_outlive_the_program() -> None:
    """Who kills the program, with a signal that can't be passed on, ends the driver as well, in
    order.
    """
    program = start(f"print(os.getpid(), flush=True)\n{WAITS}")
    assert program.stdout is not None
    driver = psutil.Process(int(program.stdout.readline()))
    assert driver.ppid() == program.pid
    program.kill()
    program.communicate(timeout=TIMEOUT_S)
    _, alive = psutil.wait_procs([driver], timeout=TIMEOUT_S)
    assert not alive


def test_a_terminals_signal_comes_once() -> None:
    """Ctrl-C reaches the driver from the terminal; it is not passed on once more."""
    work = (
        "came = []\nsignal.signal(signal.SIGINT, lambda *_: came.append(1))\nprint('ready', "
        "flush=True)\n"
        "signal.pause()\ntime.sleep(0.3)\nreturn 10 + len(came)"
    )
    parent, child = os.openpty()
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(work="\n    ".join(work.splitlines()))],
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )
    os.close(child)
    said = b""
    while b"ready" not in said:
        said += os.read(parent, 1000)
    time.sleep(0.2)  # until it waits: what comes before would be missed
    os.write(parent, b"\x03")
    assert program.wait(TIMEOUT_S) == 11
    os.close(parent)
