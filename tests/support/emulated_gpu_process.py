"""A GPU's process without a GPU: what GpuProcess starts, on the emulated device. In a module of its
own, for spawn.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from multiprocessing.connection import Connection

from emulated_cupy import EmulatedCupy, EmulatedRuntimeError

from vyre_dist.driver import gpu_process
from vyre_dist.engine.config import EngineConfig
from vyre_dist.processes.messages import text_message

_own_gpu = gpu_process._own_gpu


def own_gpu(
    parent: Connection, listener: socket.socket, pack: Connection, config: EngineConfig
) -> None:
    """In the place of gpu_process._own_gpu."""
    emulation = EmulatedCupy()
    sys.modules.update(emulation.modules())
    try:
        _own_gpu(parent, listener, pack, config)
    finally:
        emulation.compiler.close()


def never_ready(
    parent: Connection, listener: socket.socket, pack: Connection, config: EngineConfig
) -> None:
    """One that takes for ever to find out more, and hears nothing meanwhile."""
    del listener, pack, config
    parent.send_bytes(text_message("promising", ""))
    os.write(2, b"starting %d\n" % os.getpid())
    signal.sigwait({signal.SIGUSR1})


def found_but_never_ready(
    parent: Connection, listener: socket.socket, pack: Connection, config: EngineConfig
) -> None:
    """One that has found the GPU, and takes for ever to put the pack on it."""
    parent.send_bytes(text_message("found", ""))
    never_ready(parent, listener, pack, config)


def promising_but_refused(
    parent: Connection, listener: socket.socket, pack: Connection, config: EngineConfig
) -> None:
    """One whose driver shows a GPU that then will not do."""
    del listener, pack, config
    parent.send_bytes(text_message("promising", ""))
    parent.send_bytes(text_message("refused", "no usable GPU: it was promising"))


def taken_by_another(
    parent: Connection, listener: socket.socket, pack: Connection, config: EngineConfig
) -> None:
    """One whose GPU another process has for itself: CUDA says so when a context is made."""
    emulation = EmulatedCupy()
    sys.modules.update(emulation.modules())
    import cupy

    def refuse(*_: object) -> None:
        raise EmulatedRuntimeError("cudaErrorDevicesUnavailable: devices are busy")

    cupy.asarray = refuse
    _own_gpu(parent, listener, pack, config)


def breaks(
    parent: Connection, listener: socket.socket, pack: Connection, config: EngineConfig
) -> None:
    """One in which something happens that nobody foresaw."""
    emulation = EmulatedCupy()
    sys.modules.update(emulation.modules())
    pack.close()
    _own_gpu(parent, listener, pack, config)


def dies_at_once(
    parent: Connection, listener: socket.socket, pack: Connection, config: EngineConfig
) -> None:
    """One that never comes to be of use."""
    del parent, listener, pack, config
    sys.exit(7)
