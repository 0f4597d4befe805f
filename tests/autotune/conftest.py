"""What the autotune tests share: records, and servers that misbehave."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vyre_dist.autotune.record import LoserTiming, Provenance, StoredRecord
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey
from vyre_dist.dispatch.race import VariantTiming

ADAPTER = "sm90:NVIDIA H100 80GB:550.54/12.4"


def _make_record(
    number: int = 1,
    *,
    cost: int | None = 1000,
    unroll: int = 4,
    adapter: str = ADAPTER,
    verified: bool = True,
    spec: SpecCacheKey | None = None,
    **tuned: Any,
) -> StoredRecord:
    """A full record; `number` tells keys apart, `cost` is compile + dispatch (None: not
    measured). `tuned`: more fields of StoredRecord.
    """
    spec = spec or SpecCacheKey(number, 2**64 - number, (64, 2, 1), 7 * number)
    return StoredRecord(
        key=AutotuneKey.of(spec, adapter),
        record=AutotuneRecord((64, 2, 1), unroll, (16, 16, 1), "2026-05-02"),
        spec=spec if verified else None,
        timing=None if cost is None else VariantTiming(cost // 4, cost - cost // 4),
        losers=(LoserTiming("conservative", VariantTiming(2**64 - 1, 0)),),
        threshold_pct=23,
        provenance=Provenance((("driver", "550.54"), ("nvrtc", "12.4")), "host-7", "2026-05-02"),
        **tuned,
    )


@pytest.fixture
def make_record() -> Callable[..., StoredRecord]:
    return _make_record


@pytest.fixture
def colliding_specs() -> tuple[SpecCacheKey, SpecCacheKey]:
    """Two specs of one key: the fold xors shader and binding."""
    return SpecCacheKey(1, 2, (64, 1, 1), 5), SpecCacheKey(2, 1, (64, 1, 1), 5)


class Misbehaving:
    """A TCP server on a free port that does to each connection what `behave` does; `hits` counts
    them.
    """

    def __init__(self, behave: Callable[[socket.socket, threading.Event], None]) -> None:
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self.hits = 0
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.hits += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        # The client hangs up on us: that is what is being tested.
        with contextlib.suppress(OSError):
            self._behave(connection, self._stop)

    def stop(self) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def misbehaving() -> Iterator[Callable[..., Misbehaving]]:
    """Starts misbehaving servers: pass what to do with (connection, stop event)."""
    servers: list[Misbehaving] = []

    def start(behave: Callable[[socket.socket, threading.Event], None]) -> Misbehaving:
        servers.append(Misbehaving(behave))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def dead_url() -> str:
    """A URL on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{probe.getsockname()[1]}/0"
