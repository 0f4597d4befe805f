"""CuPy's place taken by host memory, as far as kernels/cuda uses it: the whole package runs
unchanged, without a GPU.

Streams are as lazy as CUDA allows: what is queued runs when somebody waits for it. So is the
default one, for which no other stream waits (all are non-blocking).
"""

from __future__ import annotations

import ctypes
import gc
import weakref
from collections import deque
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from emulated_kernels import Compiler
from emulated_memory import EmulatedOutOfMemoryError, Memory

MULTIPROCESSORS = 2


class EmulatedRuntimeError(RuntimeError):
    """Stands for cupy.cuda.runtime.CUDARuntimeError."""


class Stream:
    """What is queued runs when it is waited for."""

    _by_pointer: ClassVar[weakref.WeakValueDictionary[int, Stream]] = weakref.WeakValueDictionary()
    _entered: ClassVar[list[Stream]] = []

    def __init__(self, non_blocking: bool = False) -> None:
        del non_blocking
        self._queue: deque[Callable[[], None]] = deque()
        self._done = 0
        self.ptr = id(self)
        Stream._by_pointer[self.ptr] = self

    def __enter__(self) -> Stream:
        Stream._entered.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        Stream._entered.pop()

    @classmethod
    def at(cls, pointer: int) -> Stream:
        """The stream of this pointer."""
        return cls._by_pointer[pointer]

    def submit(self, work: Callable[[], None]) -> None:
        """Queue."""
        self._queue.append(work)

    @property
    def submitted(self) -> int:
        """How much has been queued so far."""
        return self._done + len(self._queue)

    def run_until(self, count: int) -> None:
        """Do what is queued, in order, until so much is done."""
        while self._done < count:
            self._done += 1
            self._queue.popleft()()

    def synchronize(self) -> None:
        """Do all that is queued."""
        self.run_until(self.submitted)


_DEFAULT_STREAM = Stream()


def current_stream() -> Stream:
    """The one that was entered, or the default one."""
    return Stream._entered[-1] if Stream._entered else _DEFAULT_STREAM


def _submit(work: Callable[[], None], stream: Stream | None = None) -> None:
    """Queue on `stream`, or on the current one."""
    (stream or current_stream()).submit(work)


class Event:
    """A place in a stream's queue."""

    def __init__(self, disable_timing: bool = False) -> None:
        del disable_timing
        self._stream: Stream | None = None
        self._count = 0

    def record(self, stream: Stream) -> None:
        """Here and now."""
        self._stream, self._count = stream, stream.submitted

    def synchronize(self) -> None:
        """Wait for what was queued before."""
        if self._stream is not None:
            self._stream.run_until(self._count)


class _Block:
    """One allocation."""

    def __init__(self, memory: Memory, size: int) -> None:
        self.memory = memory
        self.address = memory.allocate(self, size)


class DeviceArray:
    """A cupy.ndarray of one dimension: what the launchers do with one, and no more, so that nothing
    else slips in.
    """

    def __init__(self, block: _Block, address: int, dtype: npt.DTypeLike, size: int) -> None:
        self._block, self.dtype, self.size = block, np.dtype(dtype), size
        self.data = SimpleNamespace(ptr=address)

    @property
    def nbytes(self) -> int:
        """Bytes."""
        return self.size * self.dtype.itemsize

    def _host(self) -> npt.NDArray[Any]:
        raw = (ctypes.c_uint8 * self.nbytes).from_address(self.data.ptr)
        return np.frombuffer(raw, self.dtype)

    def __getitem__(self, part: slice) -> DeviceArray:
        low, high, step = part.indices(self.size)
        assert step == 1
        return DeviceArray(
            self._block, self.data.ptr + low * self.dtype.itemsize, self.dtype, max(0, high - low)
        )

    def __setitem__(self, part: slice, value: int) -> None:
        self[part].fill(value)

    def fill(self, value: int) -> None:
        """On the stream that was entered."""
        _submit(lambda: self._host().fill(value))

    def get(
        self, stream: Stream | None = None, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """A copy on the host, when all that is queued on the stream is done."""
        (stream or current_stream()).synchronize()
        if out is None:
            return self._host().copy()
        out[...] = self._host()
        return out

    def set(self, array: npt.NDArray[Any], stream: Stream | None = None) -> None:
        """From a host array, which may change as soon as this returns."""
        assert array.dtype == self.dtype
        held = array.copy()

        def copy() -> None:
            self._host()[...] = held

        _submit(copy, stream)


class EmulatedCupy:
    """The modules. `memory`: of the device; `compiler`: with its kernels, which are watched for
    races if `races`.
    """

    def __init__(self, capacity: int = 1 << 30, seed: int = 0, races: bool = False) -> None:
        self.memory = Memory(capacity)
        self.compiler = Compiler(Stream.at, seed, races)
        self._registered: set[int] = set()

    def modules(self) -> dict[str, ModuleType]:
        """What to put into sys.modules."""
        runtime = SimpleNamespace(
            CUDARuntimeError=EmulatedRuntimeError,
            memcpyHostToDevice=1,
            memcpyAsync=self._copy,
            memGetInfo=lambda: (self.memory.capacity - self.memory.used, self.memory.capacity),
            getDeviceCount=lambda: 1,
            getDevice=lambda: 0,
            getDeviceProperties=lambda _number: {
                "major": 9,
                "minor": 0,
                "name": b"emulated GPU",
                "multiProcessorCount": MULTIPROCESSORS,
                "sharedMemPerBlockOptin": 227 << 10,
                "sharedMemPerMultiprocessor": 228 << 10,
                "maxThreadsPerMultiProcessor": 2048,
            },
            driverGetVersion=lambda: 0,
            hostRegister=self._register,
            hostUnregister=self._registered.remove,
        )
        cuda = _module(
            "cupy.cuda",
            Stream=Stream,
            get_current_stream=current_stream,
            Event=Event,
            runtime=runtime,
            memory=SimpleNamespace(OutOfMemoryError=EmulatedOutOfMemoryError),
            alloc_pinned_memory=bytearray,
            nvrtc=self.compiler.nvrtc,
            function=self.compiler.function,
        )
        pool = SimpleNamespace(
            free_all_blocks=gc.collect,
            total_bytes=lambda: self.memory.used,
            used_bytes=lambda: self.memory.used,
        )
        cupy = _module(
            "cupy",
            cuda=cuda,
            empty=self.empty,
            asarray=self._asarray,
            get_default_memory_pool=lambda: pool,
        )
        api = _module("cupy_backends.cuda.api", driver=self.compiler.driver)
        backends = _module("cupy_backends.cuda", api=api)
        return {
            "cupy": cupy,
            "cupy.cuda": cuda,
            "cupy_backends": _module("cupy_backends", cuda=backends),
            "cupy_backends.cuda": backends,
            "cupy_backends.cuda.api": api,
        }

    def empty(self, size: int, dtype: npt.DTypeLike) -> DeviceArray:
        """An array of garbage."""
        block = _Block(self.memory, int(size) * np.dtype(dtype).itemsize)
        return DeviceArray(block, block.address, dtype, int(size))

    def _asarray(self, array: npt.NDArray[Any]) -> DeviceArray:
        own = self.empty(array.size, array.dtype)
        own.set(array)  # queued, as CuPy's is (its parameter `blocking`)
        return own

    def _copy(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        assert kind == 1

        def copy() -> None:
            self.memory.check(target, size)
            ctypes.memmove(target, source, size)

        Stream.at(stream).submit(copy)

    def _register(self, address: int, size: int, flags: int) -> None:
        del size, flags
        if address in self._registered:
            raise EmulatedRuntimeError("cudaErrorHostMemoryAlreadyRegistered")
        self._registered.add(address)


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    # importlib.util.find_spec raises ValueError for a module that has none
    module.__spec__ = ModuleSpec(name, None, is_package=True)
    vars(module).update(content)
    return module
