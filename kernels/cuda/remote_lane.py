"""RemoteLane: a lane of a GPU that another process of this machine owns (service.py).

An arena lies in memory that both processes have mapped, so only its documents' bounds go through
the socket. Needs no CuPy.
"""

from __future__ import annotations

import mmap
import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.arena import Arena
from vyre_dist.errors import UsageError, WorkerUnusableError
from vyre_dist.kernels.cuda.errors import DeviceMemoryError
from vyre_dist.kernels.cuda.lane_facts import LaneFacts
from vyre_dist.kernels.cuda.pending import DeviceRows
from vyre_dist.kernels.tuned import READY
from vyre_dist.program.tunables import Tunables
from vyre_dist.rows.layout import CONTENT_DTYPE, MATCH_DTYPE, ROW_DTYPE

ANSWER_DTYPES = (ROW_DTYPE, MATCH_DTYPE, CONTENT_DTYPE, np.dtype(np.uint32))
"""Of the arrays that an answer may have behind it, in order."""


@dataclass(slots=True)
class _Room:
    """Memory for arenas, of an open `file`. `offered`: sent to the GPU's process; `known`:
    registered there.
    """

    array: npt.NDArray[np.uint8]
    file: int
    offered: bool = False
    known: bool = False

    @classmethod
    def of(cls, size: int) -> _Room:
        """New memory."""
        file = os.memfd_create("vyre-arena", os.MFD_CLOEXEC)
        try:
            os.ftruncate(file, size)
            return cls(np.frombuffer(mmap.mmap(file, size), np.uint8), file)
        except OSError:
            os.close(file)
            raise


class RemoteLane:
    """The lane at `address`, the path of a socket. Connects when it is first used. Not thread-safe.

    All methods raise WorkerUnusableError when the GPU's process is gone.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: Connection | None = None
        self._greeted = False
        self._runs: LaneFacts | None = None
        self._using: Tunables | None = None
        self._prepared: set[Tunables] = set()
        self._rooms: dict[str, _Room] = {}
        self._offered: deque[_Room] = deque()

    @property
    def tunables(self) -> Tunables:
        """See ArenaLane."""
        return self._using or self.runs.tunables

    @property
    def runs(self) -> LaneFacts:
        """See ArenaLane. Known since the GPU has been ready for the first time."""
        if self._runs is None:
            with self._in_step():
                self._open()
        if self._runs is None:  # it greeted, and was gone before it had said so
            raise WorkerUnusableError("the process that owns the GPU did not say what it runs")
        return self._runs

    def prepare(self, tunables: Tunables) -> str:
        """See ArenaLane. Once they are ready, the other process is not asked again."""
        if tunables == self.runs.tunables or tunables in self._prepared:
            return READY
        with self._in_step():
            self._send("prepare", tunables.plain())
            state, refused = self._receive("prepared")
        if refused:
            raise UsageError(refused)
        if state == READY:
            self._prepared.add(tunables)
        return str(state)

    def use(self, tunables: Tunables) -> None:
        """See ArenaLane. What is on its way ends as it began."""
        if tunables != self.tunables:
            with self._in_step():
                self._send("use", tunables.plain())
            self._using = tunables

    def ready(self) -> bool:
        """Whether the GPU is, and has the rooms that there are; waits for nothing."""
        with self._in_step():
            if not self._greeted and not self._connect().poll():
                return False
            connection = self._open()
            for name, room in self._rooms.items():
                if not room.offered:
                    self._offer(name, room)
            while self._offered and connection.poll():
                self._await_room()
            return not self._offered

    @contextmanager
    def _in_step(self) -> Iterator[None]:
        """What breaks off between a question and the end of its answer (memory that runs out, say)
        takes the connection with it: over the same one, the next question would get this one's
        answer.
        """
        try:
            yield
        except (DeviceMemoryError, WorkerUnusableError):
            raise
        except BaseException:
            self.hang_up()
            raise

    def hang_up(self) -> None:
        """The next question goes through a new connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._greeted = None, False
        # another process has other programs
        self._using = None
        self._prepared.clear()
        self._offered.clear()
        for room in self._rooms.values():
            room.offered = room.known = False

    def _connect(self) -> Connection:
        if self._connection is None:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as own:
                try:
                    own.connect(self._address)
                except OSError as error:
                    raise self._lost(error) from error
                self._connection = Connection(own.detach())
        return self._connection

    def _open(self) -> Connection:
        """The connection, when the GPU is ready."""
        connection = self._connect()
        if not self._greeted:
            self._greeted = True  # else receiving would wait for it again
            plain, adapter, limits = self._receive("ready")
            self._runs = LaneFacts(Tunables.from_plain(plain), adapter, limits)
        return connection

    def room(self, size: int, name: str) -> npt.NDArray[np.uint8]:
        """See ArenaLane. The other process maps it when the first arena lies in it."""
        room = self._rooms.get(name)
        if room is None or room.array.size < size:
            before = room
            # a quarter more at most: it has to grow seldom, and each page of it costs time to
            # register
            unit = 1 << max(12, size.bit_length() - 3)
            room = self._rooms[name] = _Room.of(max(1, -(-size // unit)) * unit)
            if before is not None:
                os.close(before.file)
        return room.array

    def adopt(self, name: str, memory: mmap.mmap, file: int) -> None:
        """Have `memory`, a mapping of the open `file`, be the room called `name`."""
        self._rooms[name] = _Room(np.frombuffer(memory, np.uint8), file)

    def fused(self, arena: Arena) -> DeviceRows:
        """See ArenaLane."""
        self.start(arena)
        return self.finish()

    def start(self, arena: Arena) -> None:
        """See ArenaLane."""
        with self._in_step():
            self._send_arena("fused", arena)

    def finish(self) -> DeviceRows:
        """See ArenaLane."""
        with self._in_step():
            return self._rows()

    def list_hits(self, arena: Arena) -> None:
        """See ArenaLane."""
        with self._in_step():
            self._send_arena("list", arena)
            self._receive("listed")

    def confirm(self) -> DeviceRows:
        """See ArenaLane."""
        with self._in_step():
            self._send("confirm")
            return self._rows()

    def _send_arena(self, what: str, arena: Arena) -> None:
        name, at = "", 0
        if arena.data.size:
            name, room = next(
                (n, r) for n, r in self._rooms.items() if np.may_share_memory(r.array, arena.data)
            )
            at = arena.data.ctypes.data - room.array.ctypes.data
            if not room.offered:
                self._offer(name, room)
            while not room.known:
                self._await_room()
        flags = arena.at_start.astype(np.uint8) | arena.at_end.astype(np.uint8) << 1
        self._send(
            what,
            name,
            at,
            arena.data.size,
            arena.starts.tobytes(),
            arena.ends.tobytes(),
            flags.tobytes(),
            b"" if arena.owned is None else arena.owned.tobytes(),
        )

    def _rows(self) -> DeviceRows:
        attempted, committed, present = self._receive("rows")
        found = [
            np.frombuffer(self._receive_bytes(), dtype) if is_there else None
            for is_there, dtype in zip(present, ANSWER_DTYPES, strict=True)
        ]
        rows, matches, contents, keywords = found
        if rows is None:
            raise WorkerUnusableError("the process that owns the GPU answered without rows")
        return DeviceRows(rows, attempted, committed, matches, contents=contents, keywords=keywords)

    def _send(self, *message: Any) -> None:
        connection = self._open()
        try:
            connection.send_bytes(msgpack.packb(message))
        except OSError as error:
            raise self._lost(error) from error

    def _offer(self, name: str, room: _Room) -> None:
        self._send("room", name, room.array.size)
        try:
            reduction.send_handle(self._open(), room.file, None)
        except OSError as error:
            raise self._lost(error) from error
        room.offered = True
        self._offered.append(room)

    def _await_room(self) -> None:
        """Wait until the one that was offered first is known."""
        self._receive("room")
        self._offered.popleft().known = True

    def _receive(self, expected: str) -> Sequence[Any]:
        body: Sequence[Any]
        kind, *body = msgpack.unpackb(self._receive_bytes())
        if kind == "memory":
            raise DeviceMemoryError(*body)
        if kind != expected:
            # another worker begins anew; this one would take every answer for that to another
            # question
            raise WorkerUnusableError(
                f"the process that owns the GPU answered {kind!r} where {expected!r} was due"
            )
        return body

    def _receive_bytes(self) -> bytes:
        try:
            return self._open().recv_bytes()
        except (EOFError, OSError) as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> WorkerUnusableError:
        detail = f"{type(error).__name__} {error}".strip()
        return WorkerUnusableError(f"the process that owns the GPU is gone ({detail})")
