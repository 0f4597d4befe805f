"""GpuSet: the GPUs of a pool of local workers, each with the process that owns it.

Workers look for the socket of their GPU in a folder, and scan on their processor as long as it is
not there. When a GPU is gone, its place in the folder leads to another one's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from vyre_dist.driver.gpu_devices import GpuDevice, GpuWish, chosen_devices
from vyre_dist.driver.gpu_payoff import GpuPayoff
from vyre_dist.driver.gpu_share import GpuShare
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.errors import UsageError
from vyre_dist.leftovers import make_folder
from vyre_dist.processes.signals import signals_blocked
from vyre_dist.processes.start import Closable
from vyre_dist.temporary import temporary_directory

if TYPE_CHECKING:
    from vyre_dist.driver.gpu_process import GpuProcess

START_SECONDS = 60.0
"""How long a process may take to find a GPU."""

LOOK_SECONDS = 5.0
"""How long a first look may take that others wait for."""

_LONGEST_ADDRESS = 107
_LOOK_AGAIN_SECONDS = 0.5


class GpuSet:
    """`open` it, and close it whatever happens. Processes start one by one (`begin`), or all.

    `workers`: how many there are at most; more GPUs than these are not used. `needed`: without a
    GPU nothing is to be scanned. `not_theirs`: the pool's own open ends, which a forked process
    closes.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        devices: Sequence[GpuDevice],
        workers: int,
        *,
        forks: bool,
        needed: bool,
        not_theirs: Callable[[], Iterable[Closable]],
    ) -> None:
        self._not_theirs = not_theirs
        self._spec, self._devices, self._forks = spec, list(devices)[:workers], forks
        self._workers, self.needed = workers, needed
        self._folder, self._lock = "", -1
        self._made: list[GpuProcess] = []
        self._leads: dict[GpuProcess, GpuProcess] = {}
        self.payoff: GpuPayoff | None = None
        """Says when processes start, as long as they have not and need not."""
        self._seats = _seats(self._devices, workers)

    def open(self) -> None:
        """Make the folder. Raises UsageError where there is no room for it, or its path is too
        long for a socket's.
        """
        parent = temporary_directory()
        try:
            with signals_blocked(spawns=False):
                self._folder, self._lock = make_folder(parent, "gpu")
        except OSError as error:
            raise UsageError(
                f"no folder can be made in {parent!r} ({error.strerror or error}), for workers to "
                "reach the process that owns the GPU: set TMPDIR to another one, or use --backend "
                "cpu"
            ) from error
        last = self._address(len(self._devices) - 1)
        if len(os.fsencode(last)) > _LONGEST_ADDRESS:
            self.close()
            raise UsageError(
                f"no socket can be made at {last}, for workers to reach the process that owns the "
                f"GPU: its path may have {_LONGEST_ADDRESS} bytes; set TMPDIR to a shorter one, or "
                "use --backend cpu"
            )

    @property
    def processes(self) -> list[GpuProcess]:
        """One for each GPU, whether or not it has been started."""
        if not self._made:
            from vyre_dist.driver.gpu_process import GpuProcess

            self._made = [
                GpuProcess(
                    self._spec,
                    device,
                    self._address(number),
                    forks=self._forks,
                    alone=len(self._devices) == 1,
                )
                for number, device in enumerate(self._devices)
            ]
        return self._made

    def _address(self, number: int) -> str:
        return os.path.join(self._folder, str(number))

    def begin_first(self, *, at_once: bool) -> None:
        """Start the first GPU's process if it is needed, or all `at_once`. Raises OSError."""
        if at_once:
            self.begin_all()
        elif self.needed:
            self.begin(0)
        else:
            self.payoff = GpuPayoff(min(self._workers, len(os.sched_getaffinity(0))))

    def begin(self, worker: int) -> None:
        """Start the process of this worker's GPU, if that was not done before. Raises OSError."""
        process = self.of(worker)
        if not process.begun:
            process.start(self._not_theirs())

    def begin_all(self) -> None:
        """Start all processes. Raises OSError."""
        for process in self.processes:
            process.start(self._not_theirs())

    def begin_if_it_pays(self, now: float, workers: Iterable[int]) -> None:
        """Start the processes of these workers' GPUs if that is due."""
        if self.payoff and self.payoff.pays(now):
            self.payoff = None
            # where files or memory are short it goes without
            with contextlib.suppress(OSError):
                for worker in workers:
                    self.begin(worker)

    @property
    def begun(self) -> bool:
        """Whether any process has been started."""
        return any(process.begun for process in self._made)

    def of(self, worker: int) -> GpuProcess:
        """The GPU that a worker feeds, as far as the GPU lives."""
        return self.processes[worker % len(self.processes)]

    def share(self, worker: int) -> GpuShare:
        """What this worker is told."""
        address = self._address(worker % len(self._devices))
        return GpuShare(address, sorted(self._seats[worker % self._workers]))

    def token(self, worker: int) -> str:
        """What CUDA_VISIBLE_DEVICES calls the GPU that a worker feeds."""
        return self._devices[worker % len(self._devices)].token or "0"

    def product(self, worker: int) -> str:
        """The product that this worker's GPU is, as far as that is known."""
        if not self._made:
            return ""
        return self.of(worker).product or next((e.product for e in self._made if e.product), "")

    @property
    def promising(self) -> bool:
        """Whether there is a GPU at first sight."""
        return any(process.promising and not process.gone for process in self._made)

    @property
    def refused(self) -> str:
        """Why no GPU is there any more, and none will be; "" where one is or may be."""
        if self._made and all(process.gone for process in self._made):
            # several may be gone for the same reason
            return "; ".join(dict.fromkeys(process.gone for process in self._made))
        begun = [process for process in self._made if process.begun]
        if begun and not self.promising and time.monotonic() > begun[0].since + START_SECONDS:
            pids = ", ".join(str(process.pid) for process in begun)
            return f"the GPU's process {pids} had not found it after {START_SECONDS:g} s"
        return ""

    @property
    def connections(self) -> dict[Connection, GpuProcess]:
        """Of the processes that live. What is readable is for `take`."""
        return {each.connection: each for each in self._made if not each.connection.closed}

    def take(self, process: GpuProcess) -> str:
        """Take in what a process says. Why the scan goes on without its GPU, or ""."""
        process.take_message()
        if not process.gone:
            return ""
        # of one that nobody asked for, and that never did anything, nothing need be said
        why = process.gone if self.needed or process.served else ""
        others = [each for each in self.processes if not each.gone]
        if not others:
            return "" if self.needed else why
        other = max(others, key=lambda each: (each.ready, each.promising, each.begun))
        with contextlib.suppress(OSError):  # then its workers go on without
            other.start(self._not_theirs())
        self._leads[process] = other
        for lost in self._leads:
            self._lead(lost)
        return why

    def _lead(self, lost: GpuProcess) -> None:
        """Have the place of a GPU that is gone lead its workers to another one."""
        other = lost
        while other.gone:
            other = self._leads[other]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lost.address)
        os.symlink(other.address, lost.address)

    def first_look(self) -> str:
        """Wait a while until a GPU is promising; why there is none, or "" if nothing was said."""
        self._wait(LOOK_SECONDS)
        return self.refused

    def unusable(self) -> str:
        """At the end of a scan: why a GPU that is needed could not have been used; "" if it could.

        Waits for a first look that has not come to its end.
        """
        if not self.needed:
            return ""
        self._wait(START_SECONDS)
        return self.refused

    def _wait(self, seconds: float) -> None:
        """Wait until a GPU is promising, all are refused, or so many seconds have passed."""
        end = time.monotonic() + seconds
        while not self.promising and not self.refused:
            waiting = self.connections
            left = end - time.monotonic()
            if not waiting or left <= 0:
                return
            for connection in wait(list(waiting), min(left, _LOOK_AGAIN_SECONDS)):
                self.take(waiting[connection])  # type: ignore[index]

    def open_ends(self) -> list[Closable]:
        """What a forked child has to close.

        While it is open there, nobody sees that it is closed here.
        """
        return list(self.connections)

    def close(self) -> None:
        """End the processes, and wait for none. May be called twice."""
        for process in self._made:
            process.close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._folder = ""


def open_gpus(
    spec: WorkerSpec,
    wish: GpuWish | None,
    workers: int,
    not_theirs: Callable[[], Iterable[Closable]],
    *,
    forks: bool,
) -> GpuSet | None:
    """The GPUs for a pool, no process begun: `begin_first` is for who can close them. None where
    `auto` has to do without. Raises UsageError.
    """
    needed = spec.config.backend == "cuda"
    own = GpuSet(
        spec,
        chosen_devices(wish or GpuWish()),
        workers,
        forks=forks,
        needed=needed,
        not_theirs=not_theirs,
    )
    try:
        own.open()
    except UsageError:
        if needed:
            raise
        return None
    except BaseException:
        own.close()
        raise
    return own


def _seats(devices: Sequence[GpuDevice], workers: int) -> list[frozenset[int]]:
    """For each worker the processors near its GPU, as long as there is one for each.

    More workers than that run where there is room.
    """
    taken: Counter[frozenset[int]] = Counter()
    seats = []
    for worker in range(workers):
        near = devices[worker % len(devices)].processors
        taken[near] += 1
        seats.append(near if taken[near] <= len(near) else frozenset())
    return seats
