"""World: time, chance, hosts and processes. One scheduler owns them, so a seed decides everything.

A process is a greenlet. It gives way only where it sleeps, waits or uses the storage, and it can be
killed, stopped and interrupted there.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from greenlet import getcurrent, greenlet

from vyre_dist.ledger.owner import Identity

WALL_SECONDS = 1_700_000_000.0
MOST_EVENTS = 400_000
"""A world in which more happens does not come to an end."""


class KilledError(BaseException):
    """The process is gone. Nothing that it does on its way out has an effect."""


class ViolationError(AssertionError):
    """Something does not hold that must."""


class EndlessError(ViolationError):
    """A world that does not come to an end."""


@dataclass(eq=False)
class Machine:
    """A machine. `skew`: seconds that its wall clock is ahead."""

    name: str
    boot: int = 0
    skew: float = 0.0
    pids: int = 100
    running: dict[int, Process] = field(default_factory=dict)


class Process:
    """Something that runs by itself on a machine. `error`: what has ended it."""

    def __init__(self, world: World, name: str, machine: Machine, body: Callable[[], None]) -> None:
        self.world = world
        self.name = name
        self.machine = machine
        machine.pids += 1
        self.pid = machine.pids
        machine.running[self.pid] = self
        self.dead = False
        self.ended = False
        self.stopped_until = 0.0
        self.interrupted = False
        self.error: BaseException | None = None
        self.operations = 0
        self.dies_at = -1
        """The storage operation in which it is killed."""
        self.at_operation: Callable[[], None] = lambda: None
        self.wakes = 0
        self._body = body
        self.greenlet = greenlet(self._run, world.hub)

    def _run(self) -> None:
        try:
            self._body()
        except KilledError:
            pass
        except BaseException as error:  # noqa: BLE001 - whoever looks after it decides
            self.error = error
        self.ended = True
        self.machine.running.pop(self.pid, None)

    def kill(self) -> None:
        """End it where it is, now or as soon as the scheduler has its turn."""
        self.dead = True
        self.machine.running.pop(self.pid, None)
        self.world.after(0.0, self._throw)

    def interrupt(self) -> None:
        """Ctrl-C, or SIGTERM: it ends when it waits for events the next time."""
        self.interrupted = True
        self.world.wake(self)

    def _throw(self) -> None:
        if self.ended:
            return
        self.ended = True
        if self.greenlet:
            before, self.world.current = self.world.current, self
            try:
                self.greenlet.throw(KilledError)
            finally:
                self.world.current = before


class World:
    """`random`: decides all that is left to chance. `now`: seconds. `trace`: what happened, in
    words, if it is `traced`; `digest` of it always.
    """

    def __init__(self, seed: object, *, traced: bool = False) -> None:
        self.random = Random(str(seed))
        self.now = 0.0
        self.hub = getcurrent()
        self.current: Process | None = None
        self.events = 0
        self.traced = traced
        self.trace: list[str] = []
        self.digest = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._next = 0

    def note(self, text: str) -> None:
        """Something happened."""
        self.digest = hash_of(text, self.digest)
        if self.traced:
            who = "" if self.current is None else f" {self.current.name}:"
            self.trace.append(f"{self.now:10.3f}{who} {text}")

    # --- events

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Have something happen so much later."""
        heapq.heappush(self._heap, (self.now + seconds, self._next, what))
        self._next += 1

    def run(self, over: Callable[[], bool]) -> None:
        """Let things happen until `over`, or nothing is left to happen."""
        while self._heap and not over():
            self.events += 1
            if self.events > MOST_EVENTS:
                raise EndlessError(f"more than {MOST_EVENTS:,} events")
            at, _, what = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            what()

    # --- processes

    def spawn(self, name: str, machine: Machine, body: Callable[[], None]) -> Process:
        """Start a process."""
        process = Process(self, name, machine, body)
        self.after(0.0, lambda: self._switch(process, process.wakes))
        return process

    def _switch(self, process: Process, wake: int) -> None:
        if process.ended or wake != process.wakes:
            return
        if process.stopped_until > self.now:
            self.after(process.stopped_until - self.now, lambda: self._switch(process, wake))
            return
        process.wakes += 1
        before, self.current = self.current, process
        try:
            process.greenlet.switch()
        finally:
            self.current = before

    def wake(self, process: Process) -> None:
        """Have a process that waits go on."""
        wake = process.wakes
        self.after(0.0, lambda: self._switch(process, wake))

    def wait(self, seconds: float) -> None:
        """Have the current process wait until it is woken, for so long at most."""
        process = self._current()
        if process.dead:
            raise KilledError
        wake = process.wakes
        self.after(seconds, lambda: self._switch(process, wake))
        self.hub.switch()
        if process.dead:
            raise KilledError

    def sleep(self, seconds: float) -> None:
        """Have the current process do nothing for so long."""
        until = self.now + seconds
        while self.now < until:
            self.wait(until - self.now)

    def _current(self) -> Process:
        if self.current is None:
            raise AssertionError("no process is running")
        return self.current

    # --- clocks

    def wall(self, machine: Machine) -> float:
        """A machine's time of day."""
        return WALL_SECONDS + self.now + machine.skew


def hash_of(text: str, before: int) -> int:
    """A number that stands for `text` and what came before it, the same in every process."""
    import zlib

    return zlib.crc32(text.encode(), before)


class MachineView:
    """See vyre_dist.ledger.owner.Host: `process`'s machine as the process sees it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def own(self, beat: float) -> Identity:
        """See Host."""
        process, machine = self._process, self._process.machine
        return Identity(
            machine.name, process.pid, process.pid, str(machine.boot), machine.name, beat
        )

    def knows(self, identity: Identity) -> bool:
        """See Host."""
        machine = self._process.machine
        return (identity.boot, identity.namespace) == (str(machine.boot), machine.name)

    def started(self, pid: int) -> int:
        """See Host."""
        return pid if pid in self._process.machine.running else 0
