"""What tests of LocalPool share: a pack, a scan, faulty backends, and shortage of files."""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import itertools
import os
import resource
import signal
import termios
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from vyre_dist.driver.events import Event
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.pool import WorkerPool, WorkerSpec
from vyre_dist.driver.run import Callbacks, ScanOutcome, run_scan
from vyre_dist.engine.config import EngineConfig
from vyre_dist.finding import Finding
from vyre_dist.kernels.backends import cpu_backend_class
from vyre_dist.rules.model import PackData, Rule
from vyre_dist.sources import walk, walk_folders

PACK = PackData(
    "small",
    (
        Rule("key", r"AKIA[0-9A-Z]{16}", keywords=("akia",)),
        Rule("pair", r"(\w+)=(\d+)", secret_group=2),
        Rule("dotenv", None, path=r"\.env$"),
    ),
)


MARKER = b"POISON"


PATIENCE = 30.0


# more than any pipe holds, and twice that in the findings
LONG_MATCHES = (b"x" * 50_000 + b"=1 ") * 40


def spec(backend: str = "cpu", shard_bytes: int = 2048) -> WorkerSpec:
    return WorkerSpec(PACK, EngineConfig(backend=backend, shard_bytes=shard_bytes))


def scan(
    pool: WorkerPool,
    root: Path,
    shard_bytes: int = 2048,
    watch: Callable[[], object] = lambda: None,
    config: MachineConfig | None = None,
    folders: bool = False,
) -> tuple[list[Finding], ScanOutcome, list[str]]:
    """Findings, outcome and warnings; `watch` is called after every round of events."""
    found: list[Finding] = []
    warnings: list[str] = []
    callbacks = Callbacks(found.extend, lambda _: None, warnings.append, lambda _t, _p: watch())
    outcome = run_scan(
        Plan((walk_folders if folders else walk)([root]), shard_bytes, 8),
        pool,
        PACK.rules,
        callbacks,
        config,
    )
    return found, outcome, warnings


def order(f: Finding) -> tuple[str, int, str]:
    return f.path, f.start, f.rule_id


def start_all(pool: LocalPool) -> None:
    """Have every worker started that there can be."""
    for worker in pool.start():
        pool.begin(worker)


def events_until(pool: LocalPool, done: Callable[[Sequence[Event]], bool]) -> list[Event]:
    """Poll until `done` says so."""
    events: list[Event] = []
    deadline = time.monotonic() + PATIENCE
    while not done(events):
        assert time.monotonic() < deadline, events
        events += pool.poll(1.0)
    return events


def waiting_bytes(connection: Connection) -> int:
    """How much lies in the pipe, unread."""
    count = array("i", [0])
    fcntl.ioctl(connection.fileno(), termios.FIONREAD, count)
    return count[0]


class Faulty(cpu_backend_class()):  # type: ignore[misc]
    """A backend that comes to harm on documents with a marker in them, as a bug in a library would
    make it.
    """

    fault: Callable[[], object]

    def _candidate_windows(self, windows: Any) -> Any:
        if any(MARKER in bytes(window.data) for window in windows):
            type(self).fault()
        return super()._candidate_windows(windows)


def abort() -> None:
    faulthandler.disable()  # pytest's, which would tell all about it
    os.abort()


def out_of_memory() -> None:
    raise MemoryError("no room for 7 GB")


FAULTS: dict[str, tuple[Callable[[], object], str]] = {
    "killed": (
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        r"ended by signal 9 \(Killed\): out of memory",
    ),
    "aborted": (abort, r"ended by signal 6 \(Aborted\)"),
    "real-time signal": (lambda: os.kill(os.getpid(), signal.SIGRTMIN + 5), r"ended by signal 39"),
    "left": (lambda: os._exit(7), r"ended with exit code 7"),
    "raised": (
        out_of_memory,
        r"MemoryError: no room for 7 GB \(out_of_memory, local_pools\.py:\d+\)",
    ),
}


@contextlib.contextmanager
def files_left(number: int) -> Iterator[None]:
    """This process may open so many files more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir("/proc/self/fd")}
    # the listing's own is among them, and closed by now
    most = before[0] if before[0] != resource.RLIM_INFINITY else 1 << 20
    free = (n for n in range(most) if n not in taken or not os.path.exists(f"/proc/self/fd/{n}"))
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (next(itertools.islice(free, number, None)), before[1])
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
