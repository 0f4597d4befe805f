"""A first look for a GPU, through NVIDIA's driver alone, which is over before CuPy is imported."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import sys
import threading
from dataclasses import dataclass

from vyre_dist.kernels.cuda.errors import DeviceUnusableError

OLDEST_CAPABILITY = (8, 0)
"""Of a device that the kernels run on: an A100's."""

# CUdevice_attribute
_MAJOR, _MINOR = 75, 76

_BLOCKING_SYNC = 4
_LONGEST_NAME = 256


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What a first look finds: `device`, by its product name, or what is missing and the fix.

    Both are empty where CuPy is loaded already: it knows more than a look can tell.
    """

    device: str = ""
    missing: str = ""
    fix: str = ""


def look_for_gpu() -> FirstLook:
    """Look for CuPy and, through the driver, at the first device; open_device may refuse it."""
    if sys.modules.get("cupy") is not None:
        return FirstLook()
    if importlib.util.find_spec("cupy") is None:
        return _missing("CuPy is not installed", "install vyre-dist[cuda13]")
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return _missing("NVIDIA's driver (libcuda.so.1) is not there", "install it")
    count, device, major, minor = (ctypes.c_int() for _ in range(4))
    if code := driver.cuInit(0):
        return _missing(
            f"NVIDIA's driver answers with error {code}{said_by(driver, code)}",
            "see what nvidia-smi says",
        )
    if driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return _missing("CUDA sees no device", "check CUDA_VISIBLE_DEVICES")
    if (
        driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
        or driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    ):
        return _missing("the first device does not say what it is", "see what nvidia-smi says")
    name = device_name(driver, device)
    if (major.value, minor.value) < OLDEST_CAPABILITY:
        return _missing(
            f"{name} is of compute capability {major.value}.{minor.value}",
            "8.0 (A100) or newer is needed",
        )
    return FirstLook(name)


def require_gpu() -> FirstLook:
    """The same. Raises DeviceUnusableError where something is missing."""
    found = look_for_gpu()
    if found.missing:
        raise DeviceUnusableError(found.missing, found.fix)
    return found


def begin_context() -> threading.Thread:
    """Have the first device's context made, which takes as long as to import CuPy, by a thread of
    its own; CuPy finds it there. What goes wrong CuPy meets, too, and says.
    """
    thread = threading.Thread(target=_make_context, name="vyre-context", daemon=True)
    thread.start()
    return thread


def _make_context() -> None:
    # it stays as long as the process
    with contextlib.suppress(OSError, AttributeError):
        driver, device, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.c_void_p()
        if driver.cuInit(0) == 0 and driver.cuDeviceGet(ctypes.byref(device), 0) == 0:
            # who waits for the device gives its processor to a worker; by default it would spin
            if hasattr(driver, "cuDevicePrimaryCtxSetFlags_v2"):
                driver.cuDevicePrimaryCtxSetFlags_v2(device, _BLOCKING_SYNC)
            driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)


def _missing(what: str, fix: str) -> FirstLook:
    return FirstLook(missing=what, fix=f"{fix}, or use --backend cpu")


def said_by(driver: ctypes.CDLL, code: int) -> str:
    """The driver's own words for the error, in brackets; "" for none."""
    text = ctypes.c_char_p()
    said = (
        hasattr(driver, "cuGetErrorString")
        and driver.cuGetErrorString(code, ctypes.byref(text)) == 0
    )
    return f" ({text.value.decode()})" if said and text.value else ""


def device_name(driver: ctypes.CDLL, device: ctypes.c_int) -> str:
    """The device's product name."""
    text = ctypes.create_string_buffer(_LONGEST_NAME)
    if hasattr(driver, "cuDeviceGetName") and not driver.cuDeviceGetName(
        text, _LONGEST_NAME, device
    ):
        return text.value.decode("utf-8", "replace")
    return "an NVIDIA GPU"
