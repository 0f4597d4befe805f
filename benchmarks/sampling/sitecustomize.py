"""Samples where a Python process, and all that it starts and forks, spends its time.

Python imports this at its start where the folder is in PYTHONPATH. With STACK_SAMPLES=FOLDER a
thread looks at all other threads' stacks 100 times a second, and writes what it has seen to a file
for each process, again and again and at the end. Each look counts with the time since the one
before it: a call that keeps the interpreter's lock for long is seen when it lets go, and then with
all of its time. So that it is seen there and not where the lock is let go next, as when a file is
read, the lock is asked for at once: threads of one process take turns more often than they would.
Beside it stands the processor time that the thread used meanwhile.
"""

from __future__ import annotations

import _thread
import atexit
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from types import FrameType

INTERVAL = 0.01
SWITCH_SECONDS = 1e-5
WRITE_SECONDS = 0.3
_DEEPEST = 60
_ROLES = {
    "gpu_process.py:_own_gpu": "GPU process",
    "worker_loop.py:serve": "worker",
    "walk_process.py:_list:": "walk process",
    "folder_listers.py:<lambda>:": "lister",
}


class _Sampler:
    def __init__(self, folder: str, forked: bool) -> None:
        self._folder, self._forked = folder, forked
        self._began = time.monotonic()
        self._seen: dict[str, list[float]] = {}
        self._used: dict[int, float] = {}

    def run(self) -> None:
        # those are for the process's own threads
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        last = written = time.monotonic()
        while True:
            time.sleep(INTERVAL)
            now = time.monotonic()
            self._look(now - last)
            last = now
            if now - written > WRITE_SECONDS:
                self.write()
                written = now

    def _look(self, passed: float) -> None:
        own = threading.get_ident()
        names = {each.ident: each.name for each in threading.enumerate()}
        for thread, frame in sys._current_frames().items():
            if thread == own:
                continue
            try:
                clock = time.pthread_getcpuclockid(thread)
                used = time.clock_gettime(clock)
            except (OSError, OverflowError):
                continue  # it has ended meanwhile
            stack = f"{names.get(thread, 'other thread')};{_stack(frame)}"
            counts = self._seen.setdefault(stack, [0.0, 0.0])
            counts[0] += passed
            counts[1] += used - self._used.get(thread, used)
            self._used[thread] = used

    def write(self) -> None:
        """What has been seen so far, in place of what was written before."""
        times = os.times()
        facts = {
            "role": _role(self._forked, self._seen),
            "pid": os.getpid(),
            "seconds": time.monotonic() - self._began,
            "processor seconds": times.user + times.system,
            "stacks": dict(self._seen),
        }
        path = os.path.join(self._folder, f"{os.getpid()}.json")
        with open(f"{path}.new", "w") as file:
            json.dump(facts, file)
        os.replace(f"{path}.new", path)


def _stack(frame: FrameType | None) -> str:
    """Outermost first, each as `folder/file.py:function:line`."""
    names = []
    while frame is not None and len(names) < _DEEPEST:
        code = frame.f_code
        file = "/".join(code.co_filename.rsplit("/", 2)[-2:])
        names.append(f"{file}:{code.co_name}:{frame.f_lineno}")
        frame = frame.f_back
    return ";".join(reversed(names))


def _role(forked: bool, stacks: Iterable[str]) -> str:
    """What this process is, by what it does, its name, and the words that it was started with."""
    for stack in stacks:
        for function, role in _ROLES.items():
            if function in stack:
                return role
    words = " ".join(sys.orig_argv)
    if "default_worker" in words:
        return "Ray worker"
    if "ray.scripts" in words or "/ray/" in words:
        return "Ray's own"
    if "fork_server" in words:
        return "fork server"
    return "forked command" if forked else "command"


def _start(forked: bool) -> None:
    global _sampler
    sys.setswitchinterval(SWITCH_SECONDS)
    _sampler = _Sampler(os.environ["STACK_SAMPLES"], forked)
    # scans look for threads of threading's, and start otherwise where there are some
    _thread.start_new_thread(_sampler.run, ())


_sampler: _Sampler | None = None

if os.environ.get("STACK_SAMPLES"):
    _start(False)
    os.register_at_fork(after_in_child=lambda: _start(True))
    atexit.register(lambda: _sampler and _sampler.write())
