"""One GPU as the backend sees it: what it is, whether it will do, and how kernels get onto it."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from vyre_dist.errors import UsageError
from vyre_dist.kernels.cuda.errors import DeviceUnusableError
from vyre_dist.kernels.cuda.first_look import OLDEST_CAPABILITY, require_gpu
from vyre_dist.kernels.cuda.instances import Instance
from vyre_dist.kernels.cuda.nvrtc import compile_cubin, nvrtc_module
from vyre_dist.kernels.processor import MOST_CHARS, printable
from vyre_dist.program import ArtifactCache

# CUfunction_attribute
_SHARED_SIZE, _MAX_DYNAMIC_SHARED = 1, 8

_RESERVED_SHARED = 1024
"""Of each block's shared memory, by CUDA."""


class Device:
    """The current CUDA device. `arch`: such as `sm_90`. Kernels are loaded once and kept."""

    def __init__(self, artifacts: ArtifactCache) -> None:
        """Raises NvrtcMissingError or DeviceUnusableError."""
        nvrtc = nvrtc_module()
        import cupy

        runtime = cupy.cuda.runtime
        try:
            count = runtime.getDeviceCount()
        except runtime.CUDARuntimeError as error:
            raise DeviceUnusableError(
                str(error), "install NVIDIA's driver, or use --backend cpu"
            ) from error
        if count == 0:
            raise DeviceUnusableError(
                "CUDA sees no device", "check CUDA_VISIBLE_DEVICES, or use --backend cpu"
            )
        self.number: int = runtime.getDevice()
        properties = runtime.getDeviceProperties(self.number)
        capability = (properties["major"], properties["minor"])
        self.product = properties["name"].decode("utf-8", "replace")
        if capability < OLDEST_CAPABILITY:
            raise DeviceUnusableError(
                f"{self.product} is of compute capability {capability[0]}.{capability[1]}",
                "8.0 (A100) or newer is needed; use --backend cpu",
            )
        self.arch = f"sm_{capability[0]}{capability[1]}"
        self.multiprocessors: int = properties["multiProcessorCount"]
        self.shared_bytes: int = properties["sharedMemPerBlockOptin"]
        self.shared_bytes_per_multiprocessor: int = properties["sharedMemPerMultiprocessor"]
        self.threads_per_multiprocessor: int = properties["maxThreadsPerMultiProcessor"]
        version = ".".join(map(str, nvrtc.getVersion()))
        driver = kernel_module_version() or f"for CUDA {runtime.driverGetVersion()}"
        self.adapter_id = printable(
            f"cuda {self.product} {self.arch} driver {driver} nvrtc {version}"
        )[:MOST_CHARS]
        self._artifacts = artifacts
        self._kernels: dict[Instance, Kernel] = {}
        self._cubins: dict[Instance, bytes] = {}

    @property
    def limits(self) -> dict[str, int]:
        """What programs may ask for, by name: see ProgramFacts."""
        return {
            "multiprocessors": self.multiprocessors,
            "shared_bytes": self.shared_bytes,
            "shared_bytes_per_sm": self.shared_bytes_per_multiprocessor,
            "threads_per_sm": self.threads_per_multiprocessor,
        }

    def kernel(self, instance: Instance) -> Kernel:
        """The instance, loaded. Raises UsageError when it asks for more than the device has."""
        kernel = self._kernels.get(instance)
        if kernel is None:
            self.compile(instance)
            kernel = self._kernels[instance] = Kernel(self, instance, self._cubins[instance])
        return kernel

    def compile(self, instance: Instance) -> None:
        """Have the instance's code, for `kernel`. Any thread may do this: it needs no device."""
        if instance not in self._cubins:
            self._cubins[instance] = compile_cubin(
                instance.kernel, instance.source, self.arch, self._artifacts
            )

    def blocks_that_fit(self, shared_bytes: int) -> int:
        """How many blocks of so much shared memory a multiprocessor has room for."""
        return self.shared_bytes_per_multiprocessor // (shared_bytes + _RESERVED_SHARED)

    def free_bytes(self) -> int:
        """The device memory that is free now, what CuPy's pool keeps in reserve included."""
        import cupy

        free, _total = cupy.cuda.runtime.memGetInfo()
        pool = cupy.get_default_memory_pool()
        return int(free + pool.total_bytes() - pool.used_bytes())


class Kernel:
    """A loaded instance. Calling it launches on a stream and returns at once."""

    def __init__(self, device: Device, instance: Instance, cubin: bytes) -> None:
        from cupy.cuda import function
        from cupy_backends.cuda.api import driver

        self.instance = instance
        self.grid = device.multiprocessors * instance.blocks_per_sm
        self._driver = driver
        self._module: Any = function.Module()
        self._module.load(cubin)
        self._function = self._module.get_function(instance.kernel)
        needed = instance.shared_bytes + driver.funcGetAttribute(_SHARED_SIZE, self._function.ptr)
        if needed > device.shared_bytes or instance.blocks_per_sm > device.blocks_that_fit(needed):
            raise UsageError(
                f"kernel {instance.kernel!r} with {instance.blocks_per_sm} blocks a multiprocessor "
                f"needs {needed} bytes of "
                f"shared memory each; {device.product} has {device.shared_bytes} for a block and "
                f"{device.shared_bytes_per_multiprocessor} for a multiprocessor; use fewer "
                "bitmap_bits or blocks_per_sm"
            )
        if instance.shared_bytes:
            # without it what is dynamic and what is not may have 48 KiB together
            driver.funcSetAttribute(self._function.ptr, _MAX_DYNAMIC_SHARED, instance.shared_bytes)

    def __call__(
        self, stream: Any, *arguments: np.ndarray[Any, Any] | np.generic, grid: int | None = None
    ) -> None:
        """Launch `grid` blocks (default: as many as fit the device at once).

        Arguments are passed by value: zero-dimensional arrays of the dtypes in structs.py, or NumPy
        scalars.
        """
        held = [np.ascontiguousarray(a) for a in arguments]
        pointers = (ctypes.c_void_p * len(held))(*[a.ctypes.data for a in held])
        self._driver.launchKernel(
            self._function.ptr,
            grid or self.grid,
            1,
            1,
            self.instance.threads,
            1,
            1,
            self.instance.shared_bytes,
            stream.ptr,
            ctypes.addressof(pointers),
            0,
        )


def kernel_module_version() -> str:
    """The version of NVIDIA's driver, as its kernel module tells it; "" where it does not."""
    try:
        with open("/proc/driver/nvidia/version", encoding="ascii", errors="replace") as f:
            found = re.search(r"\b\d+\.\d+(\.\d+)*\b", f.readline())
    except OSError:
        return ""
    return found.group() if found else ""


def open_device(artifacts: ArtifactCache) -> Device:
    """The current device. Raises DeviceUnusableError (before CuPy is there), NvrtcMissingError."""
    require_gpu()
    return Device(artifacts)


__all__: Sequence[str] = ["Device", "DeviceUnusableError", "Kernel", "open_device"]
