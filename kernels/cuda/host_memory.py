"""Host memory that the GPU copies from at full speed: registered once, whole mappings at a time.

Ordinary memory goes through the driver's small staging buffers at 6-8 GB/s; registered memory at
the bus's rate.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_LOG = logging.getLogger(__name__)

_STORES = ("/dev/shm/plasma", "/tmp/ray/plasma")  # noqa: S108
"""How the name of the mapping that is Ray's object store begins; the latter where shared memory is
too small for it. Objects that find no room in the store are mappings of files in the session's
folder.
"""

_PINNED_FROM = 1 << 20
"""Bytes from which it is worth keeping pinned memory for what comes back from the device."""

_DEFAULT = 0
_READ_ONLY = 0x08  # cudaHostRegisterReadOnly


@dataclass(frozen=True, slots=True)
class Mapping:
    """[start, end) of this process's address space: a file or shared memory called `name`."""

    start: int
    end: int
    writable: bool
    name: str


@dataclass(slots=True)
class HostRegistry:
    """The mappings that this process has registered with CUDA. Not thread-safe."""

    _registered: dict[int, Mapping] = field(default_factory=dict)
    _refused: dict[int, Mapping] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def register(self, array: npt.NDArray[np.uint8]) -> bool:
        """Register the whole mapping that `array` lies in; whether copies from it are fast now.

        The mapping must stay until `close`: CUDA goes on with its pages when something else lies at
        its place. A refusal is logged once and costs speed, nothing else.
        """
        if (known := self._known(array)) is not None:
            return known
        mapping = mapping_of(array.ctypes.data)
        if mapping is None or mapping.end < array.ctypes.data + array.nbytes:
            if "pieces" not in self._told:
                self._told.add("pieces")
                _LOG.warning(
                    "%d MiB that lie in several mappings can't be registered with CUDA: copies to "
                    "the GPU will be slower",
                    array.nbytes >> 20,
                )
            return False
        import cupy

        runtime = cupy.cuda.runtime
        try:
            runtime.hostRegister(
                mapping.start,
                mapping.end - mapping.start,
                _DEFAULT if mapping.writable else _READ_ONLY,
            )
        except runtime.CUDARuntimeError as error:
            self._refused[mapping.start] = mapping
            _LOG.warning(
                "%s (%d MiB) can't be registered with CUDA (%s): copies to the GPU will be several "
                "times slower",
                mapping.name or "a mapping",
                mapping.end - mapping.start >> 20,
                error,
            )
            return False
        self._registered[mapping.start] = mapping
        return True

    def register_store(self, array: npt.NDArray[np.uint8]) -> bool:
        """`register` if `array` lies in Ray's object store; whether copies from it are fast now.

        The store is one mapping, which stays as long as the process: registered once, every object
        in it is copied without a detour. Other memory may be unmapped by its owner at any time, and
        is left as it is.
        """
        if (known := self._known(array)) is not None:
            return known
        mapping = mapping_of(array.ctypes.data)
        if mapping is not None and mapping.name.startswith(_STORES):
            return self.register(array)
        if "elsewhere" not in self._told:
            self._told.add("elsewhere")
            _LOG.warning(
                "a batch lies neither in a slot nor in Ray's object store%s: copies to the GPU "
                "will be several times slower",
                f" but in {mapping.name}" if mapping is not None and mapping.name else "",
            )
        return False

    def _known(self, array: npt.NDArray[np.uint8]) -> bool | None:
        """Whether it is registered (True) or was refused (False), asked for every batch:
        /proc/self/maps of a process with a GPU takes milliseconds to read.
        """
        start, end = array.ctypes.data, array.ctypes.data + array.nbytes
        if any(m.start <= start and end <= m.end for m in self._registered.values()):
            return True
        if any(m.start <= start and end <= m.end for m in self._refused.values()):
            return False
        return None

    def close(self) -> None:
        """Unregister everything; before the memory goes away."""
        import cupy

        for start in self._registered:
            cupy.cuda.runtime.hostUnregister(start)
        self._registered.clear()


def landing_buffer(size: int) -> npt.NDArray[np.uint8]:
    """Memory for `size` bytes that come back from the device; what it holds is anything.

    Many megabytes of fresh memory are mapped page by page as they arrive, and arrive through the
    driver's staging buffers. So they get pinned memory of CuPy's pool, which takes it back when
    nobody refers to it any more.
    """
    if size < _PINNED_FROM:
        return np.empty(size, np.uint8)
    # the pool gives again what has just the same size: an eighth more at most, so that sizes repeat
    unit = 1 << size.bit_length() - 4
    return pinned(-(-size // unit) * unit)[:size]


def pinned(size: int) -> npt.NDArray[np.uint8]:
    """Pinned memory of CuPy's pool. Where there is none, other memory and a line in the log."""
    import cupy

    try:
        return np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, size)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        _LOG.warning(
            "%d MiB can't be pinned (%s): copies to and from the GPU will be slower",
            size >> 20,
            error,
        )
        return np.empty(size, np.uint8)


def mapping_of(address: int) -> Mapping | None:
    """The mapping that holds an address. Neighbours of one file, in its order, count as one."""
    found: Mapping | None = None
    goes_on: tuple[int, int, str, str] | None = None  # how a line begins that continues `found`
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            span, mode, offset, device, inode, *name = line.split(maxsplit=5)
            low, high = (int(part, 16) for part in span.split("-"))
            at = int(offset, 16)
            if found is not None and inode != "0" and goes_on == (low, at, device, inode):
                # a part of it was given another mode, or advice of its own
                found = Mapping(found.start, high, found.writable and "w" in mode, found.name)
            elif found is not None and found.start <= address < found.end:
                break
            else:
                found = Mapping(low, high, "w" in mode, name[0].strip() if name else "")
            goes_on = high, at + high - low, device, inode
    return found if found is not None and found.start <= address < found.end else None
