"""A GPU's process without a GPU: what GpuProcess starts, on the emulated device. In a module of its
own, for spawn.
"""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.connection import Connection

import msgpack
from emulated_cupy import EmulatedCupy, EmulatedRuntimeError

from vyre_dist.driver import gpu_process
from vyre_dist.processes.messages import text_message

_own_gpu = gpu_process._own_gpu


def own_gpu(parent: Connection, load: bytes) -> None:
    """In the place of gpu_process._own_gpu."""
    emulation = EmulatedCupy()
    sys.modules.update(emulation.modules())
    try:
        _own_gpu(parent, load)
    finally:
        emulation.compiler.close()


def never_ready(parent: Connection, load: bytes) -> None:
    """One that takes for ever to find out more, and hears nothing meanwhile."""
    del load
    parent.send_bytes(text_message("promising", "emulated GPU"))
    os.write(2, b"starting %d\n" % os.getpid())
    signal.sigwait({signal.SIGUSR1})


def says_nothing(parent: Connection, load: bytes) -> None:
    """One whose driver never answers."""
    del load
    signal.sigwait({signal.SIGUSR1})
    parent.close()  # not before: where this process was spawned nobody else holds it


def promising_but_refused(parent: Connection, load: bytes) -> None:
    """One whose driver shows a GPU that then will not do."""
    del load
    parent.send_bytes(text_message("promising", ""))
    parent.send_bytes(text_message("refused", "no usable GPU: it was promising"))


def taken_by_another(parent: Connection, load: bytes) -> None:
    """One whose GPU another process has for itself: CUDA says so when a context is made."""
    emulation = EmulatedCupy()
    sys.modules.update(emulation.modules())
    import cupy

    def refuse(*_: object) -> None:
        raise EmulatedRuntimeError("cudaErrorDevicesUnavailable: devices are busy")

    cupy.asarray = refuse
    _own_gpu(parent, load)


def breaks(parent: Connection, load: bytes) -> None:
    """One in which something happens that nobody foresaw."""
    emulation = EmulatedCupy()
    sys.modules.update(emulation.modules())

    def fail(*_: object) -> None:
        raise LookupError("nobody foresaw this")

    gpu_process.decode_pack = fail  # type: ignore[assignment]
    _own_gpu(parent, load)


def dies_at_once(parent: Connection, load: bytes) -> None:
    """One that never comes to be of use."""
    del parent, load
    os._exit(7)


def refused(parent: Connection, load: bytes) -> None:
    """One whose GPU is of no use."""
    del load
    parent.send_bytes(text_message("refused", "no usable GPU: it fell off the bus"))


def _token(load: bytes) -> str:
    return str(msgpack.unpackb(load, unicode_errors="surrogateescape")[3])


def second_refused(parent: Connection, load: bytes) -> None:
    """Of two, the GPU 1 is of no use."""
    (refused if _token(load) == "1" else own_gpu)(parent, load)


def second_full(parent: Connection, load: bytes) -> None:
    """Of two, the GPU 1 has little memory left."""
    emulation = EmulatedCupy(capacity=100 << 20 if _token(load) == "1" else 1 << 30)
    sys.modules.update(emulation.modules())
    try:
        _own_gpu(parent, load)
    finally:
        emulation.compiler.close()
