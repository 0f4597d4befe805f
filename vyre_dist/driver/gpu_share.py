"""GpuShare: what a worker is told of the GPUs of its machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgpack

if TYPE_CHECKING:
    from vyre_dist.engine.worker import ScanEngine


class GpuShare(NamedTuple):
    """`address`: where the socket of the worker's GPU will be. `processors`: to run on, if any."""

    address: str
    processors: Sequence[int]

    def encode(self) -> bytes:
        """As bytes, for `decode`."""
        return bytes(msgpack.packb(list(self), unicode_errors="surrogateescape"))

    @classmethod
    def decode(cls, data: bytes) -> GpuShare:
        """The inverse of `encode`."""
        return cls(*msgpack.unpackb(data, unicode_errors="surrogateescape"))

    def take(self, engine: ScanEngine) -> None:
        """Have this process, which `engine` is for, be the one that has this share."""
        from vyre_dist.kernels.cuda import WarmingBackend

        settle_near(self.processors)
        if isinstance(engine.backend, WarmingBackend):
            engine.backend.address = self.address


def settle_near(processors: Iterable[int]) -> None:
    """Have this process run on these processors only, if there are any and it may: memory that it
    uses is near them then.
    """
    wanted = set(processors)
    if wanted:
        with contextlib.suppress(OSError):  # another set of processors was given to it meanwhile
            os.sched_setaffinity(0, wanted)
