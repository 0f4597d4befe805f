"""Functions in processes of their own: what hangs, crashes or prints does no harm."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from vyre_dist.doctor.bounded import Unanswered, run_bounded


def hang() -> str:
    """Never return."""
    signal.pause()
    return ""


def deaf() -> str:
    """Never return, and heed no signal that can be ignored."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    return hang()


def crash() -> str:
    """End as a process does that is killed from outside, or by its own fault."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def test_answers_come_in_order() -> None:
    """Each function's answer is at its place, also one larger than a pipe."""
    large = "x" * 1_000_000
    works: list[Callable[[], str]] = [lambda: "a", lambda: large, lambda: "c"]
    assert run_bounded(works, 30) == ["a", large, "c"]


def test_what_hangs_is_ended_in_time() -> None:
    """Functions that never return cost the time that they all have together, once; the others'
    answers are there.
    """
    began = time.monotonic()
    first, answered, second = run_bounded([hang, lambda: "there", deaf], 1.0)
    assert time.monotonic() - began < 1.0 + 2 * 1.0 + 1.0
    assert answered == "there"
    for each in (first, second):
        assert isinstance(each, Unanswered) and each.hung and "1 s" in each.why


def test_no_process_is_left() -> None:
    """What was started has ended, and its end was taken notice of."""
    before = psutil.Process().children()
    run_bounded([hang, crash, lambda: "there"], 0.5)
    assert psutil.Process().children() == before


def test_a_crash_is_told() -> None:
    """A signal is named; so is an exception, which has nowhere to go, as the end that it is."""
    crashed, raised = run_bounded([crash, lambda: str(1 // 0)], 30)
    assert isinstance(crashed, Unanswered) and not crashed.hung
    assert crashed.why == "it was ended by signal 9 (Killed)"
    assert raised == Unanswered("it ended without an answer")


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """What libraries print reaches nobody, whatever way they take."""

    def loud() -> str:
        print("from Python")  # noqa: T201
        os.write(1, b"from C\n")
        os.write(2, b"to standard error\n")
        return "done"

    assert run_bounded([loud], 30) == ["done"]
    assert capfd.readouterr() == ("", "")


def test_open_files_stay_as_many(tmp_path: Path) -> None:
    """No pipe is left open."""
    before = len(os.listdir("/proc/self/fd"))
    run_bounded([crash, lambda: "there", hang], 0.3)
    assert len(os.listdir("/proc/self/fd")) == before
