"""What a run directory lies in: a disk that forgets what was not synced, or a store of objects,
whose view is in objects.py.

Each process has a view of its own (see vyre_dist.storage.Storage), which gives way to others in
each operation, and in which it may be killed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simulator.world import KilledError, Process, World

SCHEME = "simulated"


@dataclass(slots=True)
class Troubles:
    """How often an operation meets which trouble. `slow`: seconds that one takes at most."""

    slow: float = 0.01
    very_slow: float = 0.0
    fails: float = 0.0
    fails_though_done: float = 0.0
    stale_list: float = 0.0
    full: bool = False


class Disk:
    """`files`: as processes see them. `synced`: what outlives a power failure.

    `objects`: whether it is a store of objects: all that is written is there to stay.
    """

    def __init__(self, world: World, *, objects: bool) -> None:
        self.world = world
        self.objects = objects
        self.files: dict[str, bytes] = {}
        self.synced: dict[str, bytes] = {}
        self.made: dict[str, float] = {}
        self.troubles = Troubles()
        self.power_failures = 0
        self.unsynced = False
        """Whether something was written whole, and not synced, when its writer was killed."""

    def write(self, name: str, data: bytes) -> None:
        """Have processes see this in a file."""
        self.made.setdefault(name, self.world.now)
        self.files[name] = data

    def size(self, name: str) -> int:
        """Bytes of a log, whatever it consists of."""
        return sum([len(data) for each, data in self.files.items() if each.startswith(name)])

    def listed(self, prefix: str, *, late: bool = False) -> list[str]:
        """What is in a folder. `late`: perhaps not what came there in the last seconds."""
        since = self.now_or_before() if late else self.world.now
        found = {
            name[len(prefix) :].partition("/")[0]
            for name in self.files
            if name.startswith(prefix) and self.made[name] <= since
        }
        return sorted(found)

    def now_or_before(self) -> float:
        """The time that a list of objects is of."""
        random = self.world.random
        late = random.random() < self.troubles.stale_list
        return self.world.now - (2.0 * random.random() if late else 0.0)

    def sync(self, name: str) -> None:
        """Have what is in a file outlive a power failure."""
        if name in self.files:
            self.synced[name] = self.files[name]

    def power_failure(self) -> None:
        """All that was not synced is there, or not, or in part."""
        random = self.world.random
        if self.objects:
            return
        self.power_failures += 1
        self.unsynced = False
        for name in sorted(self.files.keys() | self.synced.keys()):
            now, kept = self.files.get(name), self.synced.get(name)
            if now == kept:
                continue
            if now is None or kept is None or not now.startswith(kept):
                # a name that was made, replaced or removed, and its folder was not synced
                chosen = random.choice([now, kept])
            else:
                end = random.randint(len(kept), len(now))
                chosen = now[:end]
                if end < len(now) and random.random() < 0.3:
                    # blocks that were not written read as zeros
                    chosen += bytes(random.randint(1, len(now) - end))
            if chosen is None:
                self.files.pop(name, None)
            else:
                self.files[name] = chosen
        self.synced = dict(self.files)


class ProcessStorage:
    """See Storage. The files whose names begin with `place`."""

    group_seconds = 0.0

    def __init__(self, disk: Disk, process: Process, place: str, *, exact: bool = False) -> None:
        """`exact`: nothing takes time, or fails."""
        self.place = place
        self._disk = disk
        self._operations = Operations(disk, process, exact=exact)
        self._prefix = place.partition("://")[2] + "/"

    def path(self, name: str) -> str:
        """See Storage."""
        return f"{self.place}/{name}" if name else self.place

    def names(self, folder: str = "") -> Sequence[str]:
        """See Storage."""
        self._operation("names")
        return self._disk.listed(f"{self._prefix}{folder}/" if folder else self._prefix)

    def read(self, name: str) -> bytes | memoryview:
        """See Storage."""
        self._operation("read")
        try:
            return self._disk.files[self._prefix + name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None

    def read_at(self, name: str, offset: int, size: int) -> bytes:
        """See Storage."""
        return bytes(self.read(name)[offset : offset + size])

    def size(self, name: str) -> int:
        """See Storage."""
        return len(self.read(name))

    def put(self, name: str, data: Iterable[bytes]) -> None:
        """See Storage."""
        whole = b"".join(data)
        self._operation("put", writes=True)
        self._disk.write(self._prefix + name, whole)
        self._made(name)

    def create(self, name: str, data: bytes) -> bool:
        """See Storage."""
        self._operation("create", writes=True)
        if self._prefix + name in self._disk.files:
            return False
        self._disk.write(self._prefix + name, data)
        self._made(name)
        return True

    def sync(self, name: str) -> None:
        """See Storage."""
        self._operation("sync")
        self._disk.sync(self._prefix + name)

    def remove(self, name: str) -> None:
        """See Storage."""
        self._operation("remove")
        self._disk.files.pop(self._prefix + name, None)

    def log(self, name: str) -> SimulatedLog:
        """See Storage."""
        self._operation("log", writes=True)
        full = self._prefix + name
        if full in self._disk.files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        self._disk.write(full, b"")
        self._made(name)
        return SimulatedLog(self, full)

    def _made(self, name: str) -> None:
        """A file is there; now its name is to stay."""
        self._operations.take_time()
        self._disk.sync(self._prefix + name)

    def append(self, name: str, data: bytes, size: int) -> None:
        """Write behind the first `size` bytes of a log, and sync it."""
        disk, random = self._disk, self._disk.world.random
        before, failures = disk.files.get(name, b""), disk.power_failures
        try:
            self._operation("append", writes=True)
        except KilledError:
            # it was writing, or about to sync
            written = len(data) if random.random() < 0.5 else random.randint(0, len(data))
            if disk.power_failures == failures:
                disk.write(name, before + data[:written])
                disk.unsynced = written == len(data)
            raise
        except OSError:
            disk.write(name, before + data[: random.randint(0, len(data))])
            if random.random() < 0.7:
                disk.write(name, disk.files[name][:size])
            raise
        disk.write(name, before + data)
        self._operations.take_time()
        disk.sync(name)

    def _operation(self, kind: str, *, writes: bool = False) -> None:
        self._operations.begin(kind, writes=writes)


class Operations:
    """What happens to `process` in each operation. `exact`: nothing."""

    def __init__(self, disk: Disk, process: Process, *, exact: bool) -> None:
        self.exact = exact
        self._disk = disk
        self._process = process

    def begin(self, kind: str, *, writes: bool = False) -> None:
        """Take some time; perhaps fail, or be killed."""
        process, disk = self._process, self._disk
        if self.exact:
            return
        if process.dead:
            raise KilledError
        process.operations += 1
        process.at_operation()
        if process.operations == process.dies_at:
            disk.world.note(f"killed in {kind}")
            process.kill()
            raise KilledError
        self.take_time()
        troubles, random = disk.troubles, disk.world.random
        if troubles.full and writes:
            if disk.objects:
                raise ConnectionRefusedError("no server answers")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if troubles.fails and random.random() < troubles.fails:
            if disk.objects:
                raise ConnectionResetError("there was no answer")
            raise OSError(errno.EIO, "the simulated storage failed")

    def take_time(self) -> None:
        """Give way to others for some time."""
        troubles, random = self._disk.troubles, self._disk.world.random
        seconds = 0.0
        if self.exact:
            return
        if troubles.very_slow and random.random() < troubles.very_slow:
            # a worker that writes for long is taken for one that hangs
            worker = self._process.name.startswith("worker")
            seconds = random.uniform(0.0, 1.0 if worker else 20.0)
        elif troubles.slow and random.random() < 0.5:
            seconds = random.uniform(0.0, troubles.slow)
        if seconds:
            self._disk.world.sleep(seconds)


class SimulatedLog:
    """See Log."""

    def __init__(self, storage: ProcessStorage, name: str) -> None:
        self._storage = storage
        self._name = name
        self.size = 0

    def append(self, data: bytes) -> None:
        """See Log."""
        self._storage.append(self._name, data, self.size)
        self.size += len(data)

    def close(self) -> None:
        """See Log."""
