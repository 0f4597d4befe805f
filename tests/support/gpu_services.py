"""A GpuService on a thread of this process, for tests of its clients."""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from vyre_dist.kernels.cuda.device_pack import DevicePack
from vyre_dist.kernels.cuda.service import GpuService


@contextlib.contextmanager
def listening(folder: Path) -> Iterator[tuple[str, socket.socket]]:
    """A socket at which nobody serves yet: (its address, it)."""
    address = str(folder / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen()
        yield address, listener


@contextlib.contextmanager
def serving(device_pack: DevicePack, listener: socket.socket) -> Iterator[None]:
    """A service on a thread of this process."""
    ours, theirs = multiprocessing.Pipe()
    thread = threading.Thread(target=GpuService(listener, theirs, device_pack.lane).serve)
    thread.start()
    try:
        yield
    finally:
        ours.close()
        thread.join()
        theirs.close()


@contextlib.contextmanager
def served(device_pack: DevicePack, folder: Path) -> Iterator[str]:
    """Both; the address."""
    with listening(folder) as (address, listener), serving(device_pack, listener):
        yield address
