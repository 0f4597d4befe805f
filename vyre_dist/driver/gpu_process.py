"""GpuProcess: a process that owns one of this machine's GPUs for workers of a pool."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from collections.abc import Iterable
from dataclasses import asdict
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import msgpack

from vyre_dist.driver.gpu_devices import VISIBLE, GpuDevice
from vyre_dist.driver.gpu_share import settle_near
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.engine.config import EngineConfig
from vyre_dist.errors import VyreError
from vyre_dist.processes.child import Child
from vyre_dist.processes.messages import READY, REFUSED, read_message, text_message
from vyre_dist.processes.serve import detail_of
from vyre_dist.processes.signals import signals_blocked
from vyre_dist.processes.start import Closable
from vyre_dist.processes.unwaited import fork_unwaited, start_unwaited
from vyre_dist.rules.codec import decode_pack, encode_pack

if TYPE_CHECKING:
    from vyre_dist.kernels.cuda import DevicePack

PROMISING = "promising"
"""There is a GPU at first sight, of the product in the text. That it is ready says the same."""

MOST_DEATHS = 8
"""Of a GPU's processes, before nobody starts another one."""

_WAITING_WORKERS = 4096

_ROOM_BYTES = 256 << 20
"""Free device memory beside the pack's tables with which a GPU is of use: an arena of a dispatch
and its lists. One with less is left out where there are others.
"""


class GpuProcess:
    """`start` it, and close it whatever happens.

    `address`: where its socket will be when it is ready, for RemoteLane. `alone`: no other GPU will
    do in its place. `begun`: it was started, at `since`. `promising`: there is a GPU at first
    sight; `ready`: the pack is on it; `served`: it was. `gone`: why nobody owns the GPU any more,
    and nobody will, or "". `product`: its name, when it is promising.
    """

    def __init__(
        self, spec: WorkerSpec, device: GpuDevice, address: str, *, forks: bool, alone: bool
    ) -> None:
        self.device, self.address = device, address
        self._spec, self._forks, self._alone = spec, forks, alone
        self._load = b""
        # none yet looks like one that has ended
        self._child = Child(None, Pipe()[0])
        self._child.connection.close()
        self._deaths = 0
        self.since = 0.0
        self.begun = self.promising = self.served = False
        self.gone = self.product = ""

    def start(self, not_theirs: Iterable[Closable] = ()) -> None:
        """Start it, if that was not done before. Raises OSError.

        `not_theirs`: see fork_unwaited.
        """
        if self.begun:
            return
        self.begun, self.since = True, time.monotonic()
        self._load = msgpack.packb(
            [
                encode_pack(self._spec.pack),
                asdict(self._spec.config),
                self.address,
                self.device.token,
                sorted(self.device.processors),
                self._alone,
            ],
            unicode_errors="surrogateescape",
        )
        own, load = _own_gpu, self._load
        # a Ctrl-C that comes meanwhile has to find it here
        with signals_blocked(spawns=False):
            if self._forks and not _has_cuda():
                # milliseconds; and what it has to import is partly there
                self._child = fork_unwaited(lambda parent: own(parent, load), not_theirs)
            else:
                self._child = start_unwaited(own, load)

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

    @property
    def name(self) -> str:
        """For messages: the device, and its product where that is known."""
        return f"{self.device.name} ({self.product})" if self.product else self.device.name

    def take_message(self) -> None:
        """Take in what `connection` has: how far the process is, or its end.

        One that had been ready is followed by another. Else there is none any more: it is `gone`.
        """
        try:
            said = read_message(self.connection.recv_bytes())
        except (EOFError, OSError):
            self._died(self._child.death(f"{self.device.name}'s process"))
            return
        if said.kind == REFUSED:
            # of none that is there nothing is known but that
            known = self.device.token or self.product
            self.gone = f"{self.name}: {said.text}" if known else said.text
            self.close()
        else:
            self.promising = True
            self.product = said.text or self.product
            self._child.ready = said.kind == READY
            self.served = self.served or self.ready

    def _died(self, death: str) -> None:
        was_ready = self.ready
        if self._child.process is not None:
            self._child.process.close()
        self._child = Child(None, self._child.connection)
        self._deaths += 1
        if not was_ready or self._deaths >= MOST_DEATHS:
            self.gone = death
            return
        try:
            # not forked: by now this process has grown, and so have the files that it has open
            with signals_blocked(spawns=False):
                self._child = start_unwaited(_own_gpu, self._load)
        except OSError as error:
            self.gone = f"no other process could be started to own {self.name} ({error})"

    def close(self) -> None:
        """End it, and do not wait for that: on its way to being of use it hears nothing, and it has
        nothing to save. May be called twice.
        """
        if self._child.process is not None:
            # first: what finds its pipe broken may have something to say of that
            self._child.process.kill()
            self._child.process.close()
        self.connection.close()
        self._child = Child(None, self._child.connection)


def _own_gpu(parent: Connection, load: bytes) -> None:
    """The process's life: find the device, put the rules on it, serve until the parent is gone."""
    pack, config, address, token, processors, alone = msgpack.unpackb(
        load, unicode_errors="surrogateescape"
    )
    if token:
        os.environ[VISIBLE] = token
    settle_near(processors)
    # each worker takes some files of this process
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.suppress(BrokenPipeError):  # the parent is gone: nobody wants to know
        try:
            device_pack = _loaded(parent, pack, EngineConfig(**config), alone=alone)
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever CuPy and the driver raise is why there is no GPU for this scan
            clear = isinstance(error, VyreError)
            reason = (
                str(error) if clear else f"no usable GPU: {detail_of(error)}; use --backend cpu"
            )
            parent.send_bytes(text_message(REFUSED, reason))
            return
        listener = _listen(address)
        parent.send_bytes(text_message(READY, device_pack.device.product))
        from vyre_dist.kernels.cuda import GpuService

        GpuService(listener, parent, device_pack.lane).serve()


def _has_cuda() -> bool:
    """Whether this process may have used CUDA, so that a fork of it may not."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        return "libcuda.so" in maps.read()


def _listen(address: str) -> socket.socket:
    """A socket that appears at `address` when it can be connected to, in place of an earlier
    process's.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(address)
    listener.bind(address)
    listener.listen(_WAITING_WORKERS)
    return listener


def _loaded(parent: Connection, pack: bytes, config: EngineConfig, *, alone: bool) -> DevicePack:
    """The pack on the device; the parent is told how far it is."""
    from vyre_dist.kernels.cuda import begin_context, require_gpu

    if device := require_gpu().device:
        parent.send_bytes(text_message(PROMISING, device))
        begin_context()  # while CuPy is imported

    from vyre_dist.kernels.cuda import DevicePack, DeviceUnusableError, open_device
    from vyre_dist.program import ArtifactCache, compile_pack
    from vyre_dist.rules.byte_filters import byte_filters_of
    from vyre_dist.rules.keyword_table import KeywordTable

    cache = ArtifactCache(config.cache_dir)
    parent.send_bytes(text_message(PROMISING, open_device(cache).product))
    own = decode_pack(pack)
    compiled = compile_pack(own, max_match_bytes=config.max_match_bytes, cache=cache)
    device_pack = DevicePack(
        compiled, cache, byte_filters_of(own), keywords=KeywordTable.of_pack(own)
    )
    free, needed = device_pack.device.free_bytes(), device_pack.scratch_bytes + _ROOM_BYTES
    if free < needed and not alone:
        raise DeviceUnusableError(
            f"{free >> 20} MiB of its memory are free, and {needed >> 20} are needed",
            "free some, or name others with --gpus",
        )
    return device_pack
