"""Scans whose workers get stuck, or die, in a backend of ours: the process registers it before it
calls main.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

# What a worker does at a marker: STUCK says who it is and waits for ever, HELD waits for SIGUSR1
# (once, as a window may be dispatched twice), POISON ends the process, MISSED is not searched.
PROGRAM = """
import os, signal, sys
from vyre_dist.kernels.backends import BACKENDS, cpu_backend_class

class Faulty(cpu_backend_class()):
    held = False

    def _candidate_windows(self, windows):
        for window in windows:
            if b"STUCK" in bytes(window.data):
                os.write(2, b"stuck %d\\n" % os.getpid())
                while True:
                    signal.pause()
            if b"HELD" in bytes(window.data) and not self.held:
                self.held = True
                released, signalled = os.pipe()
                os.set_blocking(signalled, False)
                signal.signal(signal.SIGUSR1, lambda *_: None)
                signal.set_wakeup_fd(signalled)
                os.write(2, b"held %d\\n" % os.getpid())
                os.read(released, 1)
            if b"POISON" in bytes(window.data):
                os.kill(os.getpid(), signal.SIGSEGV)
        for number, rules in super()._candidate_windows(windows):
            if b"MISSED" not in bytes(windows[number].data):
                yield number, rules

BACKENDS["faulty"] = lambda pack, cache, _: Faulty(pack, cache)
from vyre_dist.cli.main import main
main(sys.argv[1:])
"""
PATIENCE = 30.0

Start = Callable[..., "subprocess.Popen[bytes]"]


def stuck_workers(process: subprocess.Popen[bytes], count: int) -> list[int]:
    """Wait until `count` workers are in the middle of a task that never ends; their process ids."""
    assert process.stderr is not None
    lines = [process.stderr.readline() for _ in range(count)]
    assert all(line.startswith(b"stuck ") for line in lines), lines
    return [int(line.split()[1]) for line in lines]


def held_worker(process: subprocess.Popen[bytes]) -> int:
    """Wait until a worker waits for SIGUSR1 in the middle of a task; its process id."""
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith(b"held "), line
    return int(line.split()[1])


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has reaped yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
