"""GpuProcess: the process that owns this machine's GPU for a pool of workers."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import time
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.engine.config import EngineConfig
from vyre_dist.errors import UsageError, VyreError
from vyre_dist.leftovers import make_folder
from vyre_dist.processes.child import Child
from vyre_dist.processes.messages import READY, REFUSED, read_message, text_message
from vyre_dist.processes.serve import detail_of
from vyre_dist.processes.signals import signals_blocked
from vyre_dist.processes.start import Closable, spawn
from vyre_dist.rules.codec import decode_pack, encode_pack
from vyre_dist.temporary import temporary_directory

if TYPE_CHECKING:
    from vyre_dist.kernels.cuda import DevicePack

PROMISING = "promising"
"""There is a GPU at first sight, of the product in the text."""
FOUND = "found"
"""It will do."""

START_SECONDS = 60.0
"""How long the end of a scan waits for a process that has still to find the GPU."""

LOOK_SECONDS = 5.0
"""How long a first look may take that others wait for."""

_LONGEST_ADDRESS = 107
_WAITING_WORKERS = 4096


class GpuProcess:
    """`start` it, and close it whatever happens.

    `address`: a socket's, for BackendOptions.gpu. It stays the same: workers that come while there
    is no process wait for the next one. `promising`: there is a GPU at first sight; `found`: it
    will do. `device`: its product name, when it is promising.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._folder = self.address = self.device = ""
        self._lock = -1
        # the rules; not among the process's arguments: whoever spawns it waits until it has read
        # those
        self._pack = Connection(os.memfd_create("vyre-pack", os.MFD_CLOEXEC))
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # none yet looks like one that has ended
        self._child = Child(None, Pipe()[0])
        self._child.connection.close()
        self.promising = self.found = False

    def start(self) -> None:
        """Start it. Raises UsageError when the path of the folder for its socket is too long."""
        with signals_blocked(spawns=True):
            parent = temporary_directory()
            try:
                self._folder, self._lock = make_folder(parent, "gpu")
            except OSError as error:
                raise UsageError(
                    f"no folder can be made in {parent!r} ({error.strerror or error}), for workers "
                    "to reach the process "
                    "that owns the GPU: set TMPDIR to another one, or use --backend cpu"
                ) from error
            self.address = os.path.join(self._folder, "socket")
            try:
                self._listener.bind(self.address)
            except OSError as error:
                raise UsageError(
                    f"no socket can be made at {self.address} ({error}), for workers to reach the "
                    "process that owns the "
                    f"GPU; its path may have {_LONGEST_ADDRESS} bytes: set TMPDIR to a shorter "
                    "one, or use --backend cpu"
                ) from error
            self._listener.listen(_WAITING_WORKERS)
            with open(self._pack.fileno(), "wb", closefd=False) as f:
                f.write(encode_pack(self._spec.pack))
            self._spawn()

    def _spawn(self) -> None:
        """A process, in place of the one before it."""
        # a Ctrl-C that comes meanwhile has to find it here
        with signals_blocked(spawns=True):
            self._child = spawn(
                _own_gpu, (self._listener, self._pack, self._spec.config), name="vyre-gpu"
            )

    @property
    def connection(self) -> Connection:
        """Readable when there is something to `take_message`; closed when there is no process."""
        return self._child.connection

    @property
    def ready(self) -> bool:
        """Whether the pack's programs are on the device."""
        return self._child.ready

    @property
    def pid(self) -> int | None:
        """The process's number; None before it is started and when it has been closed."""
        return self._child.pid

    def take_message(self) -> str:
        """Take in what `connection` has: how far the process is, or its end.

        One that had been ready is followed by another. Else there is none any more, workers that
        connect fail, and what is returned is the reason, not "".
        """
        try:
            said = read_message(self.connection.recv_bytes())
        except (EOFError, OSError):
            reason = self._child.death("the GPU's process")
            if self.ready:
                try:
                    self._spawn()
                except OSError as error:
                    self._listener.close()
                    return f"no other process could be started to own the GPU ({error})"
                return ""
        else:
            if said.kind != REFUSED:
                self.promising = True
                self.device = said.text or self.device
                self.found = self.found or said.kind != PROMISING
                self._child.ready = said.kind == READY
                return ""
            reason = said.text
        self._listener.close()
        return reason

    def first_look(self) -> str:
        """Wait a while until the GPU is promising; why there is none, or "" if nothing was said."""
        return self._wait(lambda: self.promising, LOOK_SECONDS) or ""

    def wait_until_found(self) -> str:
        """Wait until the GPU is found; "" or why it is not."""
        refused = self._wait(lambda: self.found, START_SECONDS)
        if refused is None:
            return f"the GPU's process {self.pid} had not found it after {START_SECONDS:g} s more"
        return refused

    def _wait(self, done: Callable[[], bool], seconds: float) -> str | None:
        """ "" when it is `done`, or why it never will be; None after so many seconds."""
        end = time.monotonic() + seconds
        while not done() and not self.connection.closed:
            if not self.connection.poll(max(0.0, end - time.monotonic())):
                return None
            if refused := self.take_message():
                return refused
        return ""

    def open_ends(self) -> list[Closable]:
        """What a forked worker has to close.

        While it is open there, nobody sees that it is closed here.
        """
        return [self._listener, self._pack, *([] if self.connection.closed else [self.connection])]

    def close(self) -> None:
        """End it. May be called twice."""
        self.connection.close()
        if self._child.process is not None:
            # it has nothing to save, on its way to being of use it hears nothing, and tidying up
            # would take it longer
            self._child.process.kill()
            self._child.end()
            self._child = Child(None, self._child.connection)
        self._listener.close()
        self._pack.close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._folder = ""


def _own_gpu(
    parent: Connection, listener: socket.socket, pack: Connection, config: EngineConfig
) -> None:
    """The process's life: find the device, put the rules on it, serve until the parent is gone.

    `pack`: holds an open file with the rules.
    """
    # each worker takes some files of this process
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    try:
        device_pack = _loaded(parent, pack, config)
    except Exception as error:  # noqa: BLE001 - whatever CuPy and the driver raise is why there is no GPU for this scan
        clear = isinstance(error, VyreError)
        reason = str(error) if clear else f"no usable GPU: {detail_of(error)}; use --backend cpu"
        parent.send_bytes(text_message(REFUSED, reason))
        return

    from vyre_dist.kernels.cuda import GpuService

    parent.send_bytes(text_message(READY, ""))
    GpuService(listener, parent, device_pack.lane).serve()


def _loaded(parent: Connection, pack: Connection, config: EngineConfig) -> DevicePack:
    """The pack on the device; the parent is told how far it is."""
    from vyre_dist.kernels.cuda import require_gpu

    if device := require_gpu().device:
        parent.send_bytes(text_message(PROMISING, device))

    from vyre_dist.kernels.cuda import DevicePack, open_device
    from vyre_dist.program import ArtifactCache, compile_pack
    from vyre_dist.rules.byte_filters import byte_filters_of

    cache = ArtifactCache(config.cache_dir)
    parent.send_bytes(text_message(FOUND, open_device(cache).product))
    with open(pack.fileno(), "rb", closefd=False) as f:
        # the file is the parent's, too, which wrote it, and another process may have read it
        f.seek(0)
        own = decode_pack(f.read())
    compiled = compile_pack(own, max_match_bytes=config.max_match_bytes, cache=cache)
    return DevicePack(compiled, cache, byte_filters_of(own))
