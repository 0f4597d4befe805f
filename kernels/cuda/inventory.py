"""What there is of CUDA on this machine: the driver's version, its devices, CuPy and NVRTC.

Each is looked at by itself, whatever else is missing.
"""

from __future__ import annotations

import ctypes
import importlib
from dataclasses import dataclass

from vyre_dist.kernels.cuda.first_look import OLDEST_CAPABILITY, device_name, said_by
from vyre_dist.kernels.cuda.nvrtc import nvrtc_module

OLDEST_CUDA = (13, 0)
"""Which CUDA the driver must know: the extra cuda13's."""

_MAJOR, _MINOR = 75, 76


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU that CUDA_VISIBLE_DEVICES shows: its product's name, and its compute capability."""

    name: str
    capability: tuple[int, int]

    @property
    def new_enough(self) -> bool:
        """Whether the kernels run on it."""
        return self.capability >= OLDEST_CAPABILITY


class DriverError(OSError):
    """NVIDIA's driver is not there, or answers with an error."""


def driver_cuda() -> tuple[int, int]:
    """The CUDA version that the driver knows. Raises DriverError."""
    version = ctypes.c_int()
    driver = _driver()
    _require(driver, driver.cuDriverGetVersion(ctypes.byref(version)))
    return version.value // 1000, version.value % 1000 // 10


def devices() -> list[Device]:
    """The GPUs that CUDA sees. Raises DriverError."""
    driver, count = _driver(), ctypes.c_int()
    _require(driver, driver.cuInit(0))
    _require(driver, driver.cuDeviceGetCount(ctypes.byref(count)))
    return [_device(driver, ordinal) for ordinal in range(count.value)]


def _device(driver: ctypes.CDLL, ordinal: int) -> Device:
    device, major, minor = (ctypes.c_int() for _ in range(3))
    _require(driver, driver.cuDeviceGet(ctypes.byref(device), ordinal))
    for value, attribute in ((major, _MAJOR), (minor, _MINOR)):
        _require(driver, driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device))
    return Device(device_name(driver, device), (major.value, minor.value))


def _driver() -> ctypes.CDLL:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise DriverError("libcuda.so.1 is not there") from None


def _require(driver: ctypes.CDLL, code: int) -> None:
    if code:
        raise DriverError(f"it answers with error {code}{said_by(driver, code)}")


def cupy_version() -> str:
    """CuPy's version, from CuPy itself. Raises ImportError, and what its libraries raise."""
    return str(importlib.import_module("cupy").__version__)


def nvrtc_version() -> tuple[int, int]:
    """NVRTC's version. Raises NvrtcMissingError."""
    major, minor = nvrtc_module().getVersion()
    return int(major), int(minor)
