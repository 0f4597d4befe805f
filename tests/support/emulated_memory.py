"""Device memory, emulated: every array has a mapping of its own that ends where the array ends, so
that a kernel which reads beyond it is caught; arrays are born full of garbage; and memory can be
told to run out.
"""

from __future__ import annotations

import ctypes
import mmap
import weakref

from emulated_kernels import KernelFaultError

_ALIGNMENT = 16  # of the widest loads
_GARBAGE = 0xA5
_PAGE = mmap.PAGESIZE
_PROT_NONE = 0


class EmulatedOutOfMemoryError(MemoryError):
    """Stands for cupy.cuda.memory.OutOfMemoryError."""


class Memory:
    """Device memory of `capacity` bytes. The allocation number `refuse_at` from now on, 0 for the
    next, fails once.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self.refused = 0  # so often
        self.refuse_at: int | None = None
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mmap.restype = ctypes.c_void_p
        self._libc.mmap.argtypes = [
            ctypes.c_void_p,
            ctypes.c_size_t,
            *[ctypes.c_int] * 3,
            ctypes.c_long,
        ]
        self._libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self._libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self._live: dict[int, int] = {}

    def allocate(self, owner: object, size: int) -> int:
        """The address of `size` bytes that live as long as `owner`. Raises
        EmulatedOutOfMemoryError.
        """
        if self.refuse_at is not None:
            self.refuse_at -= 1
            if self.refuse_at < 0:
                self.refuse_at = None
                self.refused += 1
                raise EmulatedOutOfMemoryError("refused for once")
        if self.used + size > self.capacity:
            self.refused += 1
            raise EmulatedOutOfMemoryError(
                f"{size} bytes wanted, {self.capacity - self.used} are free"
            )
        room = -(-size // _ALIGNMENT) * _ALIGNMENT
        pages = -(-room // _PAGE) * _PAGE
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        start = self._libc.mmap(
            None, pages + _PAGE, protection, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
        )
        if start in (None, ctypes.c_void_p(-1).value):
            raise EmulatedOutOfMemoryError("the host has no memory")
        self._libc.mprotect(start + pages, _PAGE, _PROT_NONE)
        ctypes.memset(start, _GARBAGE, pages)
        address = int(start + pages - room)
        self._live[address] = size
        self.used += size
        weakref.finalize(owner, self._free, address, size, start, pages + _PAGE)
        return address

    def _free(self, address: int, size: int, start: int, mapped: int) -> None:
        del self._live[address]
        self.used -= size
        self._libc.munmap(start, mapped)

    def check(self, address: int, size: int) -> None:
        """Raises KernelFaultError unless all these bytes are those of one live array."""
        if not any(
            start <= address and address + size <= start + there
            for start, there in self._live.items()
        ):
            raise KernelFaultError(
                f"a copy of {size} bytes to or from memory that is not allocated"
            )
