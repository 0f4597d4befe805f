"""A first look for a GPU, through NVIDIA's driver alone, which is over before CuPy is imported."""

from __future__ import annotations

import ctypes
import importlib.util
import sys

OLDEST_CAPABILITY = (8, 0)
"""Of a device that the kernels run on: an A100's."""

# CUdevice_attribute
_MAJOR, _MINOR = 75, 76


def promising() -> bool:
    """Whether the driver shows a device that is new enough, and CuPy is there. If not, open_device says what is wrong."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count, device, major, minor = (ctypes.c_int() for _ in range(4))
    return (
        _cupy_is_there()
        and driver.cuInit(0) == 0
        and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        and count.value > 0
        and driver.cuDeviceGet(ctypes.byref(device), 0) == 0
        and driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device) == 0
        and driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device) == 0
        and (major.value, minor.value) >= OLDEST_CAPABILITY
    )


def _cupy_is_there() -> bool:
    # find_spec raises ValueError for a module that was imported in a way that left it without one
    return "cupy" in sys.modules or importlib.util.find_spec("cupy") is not None
