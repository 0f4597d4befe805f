"""Backends: what executes compiled packs. Only modules in here import hyperscan or cupy.

`cpu` finds candidates with Hyperscan, where it is installed, and extracts with google-re2; `cuda`
runs the compiled tables on an NVIDIA GPU, `reference` runs them in NumPy, as a kernel does.
"""

from vyre_dist.kernels.backends import (
    BACKENDS,
    BackendOptions,
    backend_warning,
    open_backend,
    require_backend,
    require_known,
    resolve_backend,
)
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome
from vyre_dist.kernels.scan_backend import ScanBackend, scan_windows

__all__ = [
    "BACKENDS",
    "BackendOptions",
    "DispatchOutcome",
    "ScanBackend",
    "backend_warning",
    "open_backend",
    "require_backend",
    "require_known",
    "resolve_backend",
    "scan_windows",
]
