"""GpuService: a process that owns a GPU scans arenas for the processes that read files.

One context for all of them: where each has its own, the device takes turns between contexts instead
of overlapping their copies with kernels. RemoteLane is the other end of each connection.
"""

from __future__ import annotations

import mmap
import os
import selectors
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.arena import Arena
from vyre_dist.errors import UsageError
from vyre_dist.kernels.cuda.errors import DeviceMemoryError
from vyre_dist.kernels.cuda.host_memory import HostRegistry
from vyre_dist.kernels.cuda.lane import Lane
from vyre_dist.kernels.cuda.pending import DeviceRows
from vyre_dist.program.tunables import Tunables


@dataclass(slots=True)
class _Room:
    """Memory of a client."""

    array: npt.NDArray[np.uint8]
    registry: HostRegistry = field(default_factory=HostRegistry)


@dataclass(slots=True, eq=False)
class _Client:
    connection: Connection
    lane: Lane
    rooms: dict[str, _Room] = field(default_factory=dict)
    arena: Arena | None = None


@dataclass(frozen=True, slots=True)
class _Offer:
    """Memory of a client that waits for it: `file` is an open file of `size` bytes."""

    client: _Client
    name: str
    size: int
    file: int


class GpuService:
    """`listener`: a listening AF_UNIX socket. `stop`: ends `serve` when its other end closes."""

    def __init__(
        self, listener: socket.socket, stop: Connection, open_lane: Callable[[], Lane]
    ) -> None:
        self._listener, self._stop, self._open_lane = listener, stop, open_lane
        self._started: deque[_Client] = deque()
        self._offered: deque[_Offer] = deque()
        self._finished = 0  # since a room was mapped
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(stop, selectors.EVENT_READ, None)
        self._clients: list[_Client] = []

    def serve(self) -> None:
        """Serve clients until stopped. Any error but DeviceMemoryError ends it: after most of
        CUDA's errors a context is of no use.
        """
        try:
            while True:
                # whatever has come is queued on the device before anybody is waited for
                for key, _ in self._selector.select(0 if self._started or self._offered else None):
                    if key.data is None:
                        return
                    key.data()
                self._work()
        finally:
            for client in list(self._clients):
                self._drop(client)
            self._selector.close()

    def _work(self) -> None:
        """What takes its time: one arena's end, one room, or nothing."""
        # a room takes as long as many an arena: those who have theirs come first, for one turn of
        # all clients at most
        if self._offered and (not self._started or self._finished >= len(self._clients)):
            self._finished = 0
            self._map(self._offered.popleft())
        elif self._started:
            self._finished += 1
            client = self._started.popleft()
            self._finish(client, client.lane.finish)

    def _accept(self) -> None:
        accepted, _ = self._listener.accept()
        accepted.setblocking(True)
        client = _Client(Connection(accepted.detach()), self._open_lane())
        self._clients.append(client)
        self._selector.register(client.connection, selectors.EVENT_READ, lambda: self._take(client))
        tunables, adapter, limits = client.lane.runs
        self._answer(client, "ready", tunables.plain(), adapter, dict(limits))

    def _take(self, client: _Client) -> None:
        """What a client has sent."""
        try:
            what, *body = msgpack.unpackb(client.connection.recv_bytes())
            if what == "room":
                name, size = body
                file = reduction.recv_handle(client.connection)
                self._offered.append(_Offer(client, name, size, file))
                return
        except (EOFError, OSError, RuntimeError):  # RuntimeError: of a file that did not come along
            self._drop(client)
            return
        if what in ("prepare", "use"):
            self._tune(client, what, *body)
        elif what == "fused":
            client.arena = _arena(client, *body)
            client.lane.start(client.arena)
            self._started.append(client)
        elif what == "list":
            client.arena = _arena(client, *body)
            client.lane.list_hits(client.arena)
            self._answer(client, "listed")
        else:
            self._finish(client, client.lane.confirm)

    def _tune(self, client: _Client, what: str, plain: Sequence[int]) -> None:
        """Which programs a client wants, now or perhaps later. Other clients' stay as they are."""
        if what == "use":
            try:
                client.lane.use(Tunables.from_plain(plain))
            except (KeyError, UsageError):  # not what it has prepared: no reason to end for all
                self._drop(client)
            return
        state = refused = ""
        try:
            state = client.lane.prepare(Tunables.from_plain(plain))
        except UsageError as error:
            refused = str(error)
        self._answer(client, "prepared", state, refused)

    def _map(self, offer: _Offer) -> None:
        client = offer.client
        if before := client.rooms.pop(offer.name, None):
            before.registry.close()
        try:
            room = _Room(np.frombuffer(mmap.mmap(offer.file, offer.size), np.uint8))
        except OSError:
            self._drop(client)
            return
        finally:
            os.close(offer.file)
        room.registry.register(room.array)
        client.rooms[offer.name] = room
        self._answer(client, "room")

    def _finish(self, client: _Client, work: Callable[[], DeviceRows]) -> None:
        if client.arena is None:  # it asks for what it has not begun: no reason to end for all
            self._drop(client)
            return
        try:
            try:
                found = work()
            except DeviceMemoryError:
                # lanes keep the buffers that their densest arenas took
                for other in self._clients:
                    other.lane.release()
                found = client.lane.fused(client.arena)
        except DeviceMemoryError as error:
            self._answer(client, "memory", error.needed, error.free)
        else:
            arrays: list[npt.NDArray[Any] | None] = [found.rows, found.matches, found.contents]
            arrays.append(found.keywords)
            self._answer(
                client,
                "rows",
                found.attempted_tiles,
                found.committed_tiles,
                [array is not None for array in arrays],
                arrays=[array for array in arrays if array is not None],
            )

    def _answer(
        self, client: _Client, *message: Any, arrays: Sequence[npt.NDArray[Any]] = ()
    ) -> None:
        """Send the message, then the bytes of `arrays`: msgpack takes less than 4 GiB."""
        try:
            client.connection.send_bytes(msgpack.packb(message))
            for array in arrays:
                client.connection.send_bytes(np.ascontiguousarray(array).view(np.uint8).data)
        except OSError:
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        """Let go of a client that is gone."""
        if client not in self._clients:
            return
        self._clients.remove(client)
        if client in self._started:
            self._started.remove(client)
        for offer in [offer for offer in self._offered if offer.client is client]:
            self._offered.remove(offer)
            os.close(offer.file)
        client.lane.wait()
        self._selector.unregister(client.connection)
        client.connection.close()
        for room in client.rooms.values():
            room.registry.close()


def _arena(
    client: _Client,
    name: str,
    at: int,
    size: int,
    starts: bytes,
    ends: bytes,
    flags: bytes,
    owned: bytes,
) -> Arena:
    edges = np.frombuffer(flags, np.uint8)
    low, high = np.frombuffer(starts, np.int64), np.frombuffer(ends, np.int64)
    data = client.rooms[name].array[at : at + size] if size else np.empty(0, np.uint8)
    own = np.frombuffer(owned, np.int64).reshape(-1, 2) if owned else None
    return Arena(data, low, high, edges & 1 != 0, edges & 2 != 0, own)
