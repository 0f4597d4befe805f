"""Backends: what executes compiled packs. Only modules in here import hyperscan or cupy.

`cpu` finds candidates with Hyperscan, where it is installed, and extracts with google-re2; `cuda`
runs the compiled tables on an NVIDIA GPU, `reference` runs them in NumPy, as a kernel does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import re2  # noqa: F401  # before hyperscan: where that is first, pyarrow ends the process

from vyre_dist.kernels.backends import (
    BACKENDS,
    BackendOptions,
    backend_warning,
    has_cupy,
    open_backend,
    require_backend,
    require_known,
    resolve_backend,
)

if TYPE_CHECKING:
    from vyre_dist.kernels.dispatch_outcome import DispatchOutcome
    from vyre_dist.kernels.scan_backend import ScanBackend, scan_windows

__all__ = [
    "BACKENDS",
    "BackendOptions",
    "DispatchOutcome",
    "ScanBackend",
    "backend_warning",
    "has_cupy",
    "open_backend",
    "require_backend",
    "require_known",
    "resolve_backend",
    "scan_windows",
]

_MODULES = {
    "DispatchOutcome": "dispatch_outcome",
    "ScanBackend": "scan_backend",
    "scan_windows": "scan_backend",
}


def __getattr__(name: str) -> Any:
    """Loads what only a worker needs: the command asks for the backends' names."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
