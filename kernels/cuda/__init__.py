"""The programs on NVIDIA GPUs: CUDA C++ templates, compiled by NVRTC and launched through CuPy.

One launcher and one header of the same name for each program; what they share is in the other
headers. What rows mean once they are on the host is in vyre_dist/rows, batches that overlap are in
vyre_dist/stream.

Code outside imports from this package, not from its modules; a contract in pyproject.toml says so.
Nothing is loaded before it is asked for, and CuPy not before a device is opened.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vyre_dist.kernels.cuda.adaptive import AdaptivePrograms
    from vyre_dist.kernels.cuda.arenas import DeviceArena
    from vyre_dist.kernels.cuda.backend import CudaBackend
    from vyre_dist.kernels.cuda.device import open_device
    from vyre_dist.kernels.cuda.device_pack import DEFAULT_TUNABLES, MAX_STEPS, DevicePack
    from vyre_dist.kernels.cuda.errors import DeviceMemoryError, DeviceUnusableError
    from vyre_dist.kernels.cuda.first_look import begin_context, look_for_gpu, require_gpu
    from vyre_dist.kernels.cuda.host_memory import HostRegistry
    from vyre_dist.kernels.cuda.inventory import (
        OLDEST_CUDA,
        DriverError,
        cupy_version,
        devices,
        driver_cuda,
        nvrtc_version,
    )
    from vyre_dist.kernels.cuda.lane import Lane
    from vyre_dist.kernels.cuda.lane_facts import LaneFacts
    from vyre_dist.kernels.cuda.nvrtc import NvrtcMissingError
    from vyre_dist.kernels.cuda.pending import DeviceRows
    from vyre_dist.kernels.cuda.programs import CudaPrograms
    from vyre_dist.kernels.cuda.remote_lane import RemoteLane
    from vyre_dist.kernels.cuda.service import GpuService
    from vyre_dist.kernels.cuda.warming_backend import WarmingBackend
    from vyre_dist.kernels.cuda.workspace import Workspace

__all__ = [
    "DEFAULT_TUNABLES",
    "MAX_STEPS",
    "OLDEST_CUDA",
    "AdaptivePrograms",
    "CudaBackend",
    "CudaPrograms",
    "DeviceArena",
    "DeviceMemoryError",
    "DevicePack",
    "DeviceRows",
    "DeviceUnusableError",
    "DriverError",
    "GpuService",
    "HostRegistry",
    "Lane",
    "LaneFacts",
    "NvrtcMissingError",
    "RemoteLane",
    "WarmingBackend",
    "Workspace",
    "begin_context",
    "cupy_version",
    "devices",
    "driver_cuda",
    "look_for_gpu",
    "nvrtc_version",
    "open_device",
    "require_gpu",
]

_MODULES = {
    "DEFAULT_TUNABLES": "device_pack",
    "MAX_STEPS": "device_pack",
    "OLDEST_CUDA": "inventory",
    "AdaptivePrograms": "adaptive",
    "CudaBackend": "backend",
    "CudaPrograms": "programs",
    "DeviceArena": "arenas",
    "DeviceMemoryError": "errors",
    "DevicePack": "device_pack",
    "DeviceRows": "pending",
    "DeviceUnusableError": "errors",
    "DriverError": "inventory",
    "GpuService": "service",
    "HostRegistry": "host_memory",
    "Lane": "lane",
    "LaneFacts": "lane_facts",
    "NvrtcMissingError": "nvrtc",
    "RemoteLane": "remote_lane",
    "WarmingBackend": "warming_backend",
    "Workspace": "workspace",
    "begin_context": "first_look",
    "cupy_version": "inventory",
    "devices": "inventory",
    "driver_cuda": "inventory",
    "look_for_gpu": "first_look",
    "nvrtc_version": "inventory",
    "open_device": "device",
    "require_gpu": "first_look",
}


def __getattr__(name: str) -> Any:
    """Loads the module that has the public name `name`."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
