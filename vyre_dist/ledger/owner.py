"""Owner: which driver a run belongs to. There is one file for each that it ever had, by epoch.

The highest epoch owns the run. Whoever comes next creates the file after it, which only one can.
A driver that lost its run so, since it was taken for dead, sees the later file and stops; what it
may still write is not looked at (see Begin in records.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Protocol

from vyre_dist.errors import UsageError, VyreError
from vyre_dist.storage import Storage

FOLDER = "owner"
BEAT_SECONDS = 5.0
"""How often an owner says that it lives."""
DEAD_SECONDS = 30.0
"""An owner elsewhere that has said nothing for so long is taken for dead."""


class RunBusyError(UsageError):
    """Another driver works on the run: process `pid` of `host`."""

    def __init__(self, place: str, host: str, pid: int) -> None:
        super().__init__(
            f"process {pid} on {host} works on the run in {place}: wait for it, or end it first"
        )
        self.host = host
        self.pid = pid


class RunTakenError(VyreError):
    """The run belongs to a later driver: this one was taken for dead, and has to stop."""

    def __init__(self, place: str, epoch: int) -> None:
        super().__init__(
            f"another driver has taken over the run in {place} (its number {epoch}): this one stops"
        )
        self.epoch = epoch


@dataclass(frozen=True, slots=True)
class Identity:
    """A driver. `boot` and `namespace`: what its `pid` is good for. `beat`: seconds of the clock
    when it last said that it lives. `ended`: whether it has let go of the run.
    """

    host: str
    pid: int
    started: int
    boot: str
    namespace: str
    beat: float
    ended: bool = False


class Host(Protocol):
    """A driver's machine, as the driver sees it."""

    def own(self, beat: float) -> Identity:
        """This process."""
        ...

    def knows(self, identity: Identity) -> bool:
        """Whether `started` can tell of this one's process."""
        ...

    def started(self, pid: int) -> int:
        """When a process was started, in the kernel's ticks; 0 if there is none."""
        ...


class ThisHost:
    """The machine that this process runs on."""

    def own(self, beat: float) -> Identity:
        """See Host."""
        pid = os.getpid()
        return Identity(socket.gethostname(), pid, self.started(pid), _boot(), _namespace(), beat)

    def knows(self, identity: Identity) -> bool:
        """See Host."""
        return (identity.boot, identity.namespace) == (_boot(), _namespace())

    def started(self, pid: int) -> int:
        """See Host."""
        return _started(pid)


THIS_HOST = ThisHost()


def lives(driver: Identity, clock: Callable[[], float] = time.time, host: Host = THIS_HOST) -> bool:
    """Whether a driver is still at work, as far as can be told from here."""
    if driver.ended:
        return False
    if host.knows(driver):
        return driver.started == host.started(driver.pid)
    # one that speaks from the future has a clock that says nothing, as has one from the past
    return abs(clock() - driver.beat) < DEAD_SECONDS


def owner_of(storage: Storage) -> tuple[int, Identity] | None:
    """The epoch and the driver that a run belongs to, or belonged to; None if there was none. That
    is not disturbed. Raises UsageError.
    """
    last = _last(storage)
    return (last, _read(storage, last)) if last else None


class Owner:
    """This driver's claim on the run in `storage`."""

    def __init__(
        self,
        storage: Storage,
        clock: Callable[[], float] = time.time,
        host: Host = THIS_HOST,
    ) -> None:
        """Take the run over. Raises RunBusyError."""
        self._storage = storage
        self._clock = clock
        self._identity = host.own(clock())
        last = _last(storage)
        if last and lives(holder := _read(storage, last), clock, host):
            raise RunBusyError(storage.place, holder.host, holder.pid)
        self.epoch = last + 1
        if not storage.create(_name(self.epoch), _written(self._identity)):
            holder = _read(storage, self.epoch)
            raise RunBusyError(storage.place, holder.host, holder.pid)

    @property
    def due(self) -> bool:
        """Whether it is time to say that this one lives."""
        return abs(self._clock() - self._identity.beat) >= BEAT_SECONDS  # it may be set back

    def check(self) -> None:
        """Raise RunTakenError if there is a later owner; if it is time, say that this one lives."""
        # whoever comes next makes this file; a store may list late, and takes longer for it
        with contextlib.suppress(FileNotFoundError):
            self._storage.size(_name(self.epoch + 1))
            raise RunTakenError(self._storage.place, max(_last(self._storage), self.epoch + 1))
        if self.due:
            self._say(ended=False)

    def release(self) -> None:
        """Another driver may go on at once."""
        if _last(self._storage) == self.epoch:
            self._say(ended=True)

    def _say(self, *, ended: bool) -> None:
        known = self._identity
        self._identity = Identity(**{**asdict(known), "beat": self._clock(), "ended": ended})
        self._storage.put(_name(self.epoch), [_written(self._identity)])


def _name(epoch: int) -> str:
    return f"{FOLDER}/{epoch:06}"


def _last(storage: Storage) -> int:
    return max([int(name) for name in storage.names(FOLDER) if name.isdecimal()], default=0)


def _written(identity: Identity) -> bytes:
    return json.dumps(asdict(identity)).encode()


def _read(storage: Storage, epoch: int) -> Identity:
    try:
        return Identity(**json.loads(bytes(storage.read(_name(epoch)))))
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{storage.place}/{_name(epoch)} does not say who owns the run: {error}"
        ) from error


def _namespace() -> str:
    return os.readlink("/proc/self/ns/pid")


def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _started(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            after_name = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # one that has ended and was not waited for does no more
    return 0 if after_name[0] in "ZX" else int(after_name[19])
