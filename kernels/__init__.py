"""Backends: what executes compiled packs. Only modules in here import hyperscan or cupy.

`cpu` finds candidates with Hyperscan, where it is installed, and extracts with google-re2;
`reference` runs the compiled tables in NumPy, as a kernel does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vyre_dist.kernels.backends import (
    BACKENDS,
    ScanBackend,
    backend_warning,
    open_backend,
    require_backend,
    require_known,
    resolve_backend,
)
from vyre_dist.kernels.programs import ScanProgram

if TYPE_CHECKING:
    from vyre_dist.kernels.programs import CANDIDATE_DTYPE

__all__ = [
    "BACKENDS",
    "CANDIDATE_DTYPE",
    "ScanBackend",
    "ScanProgram",
    "backend_warning",
    "open_backend",
    "require_backend",
    "require_known",
    "resolve_backend",
]


def __getattr__(name: str) -> Any:
    """CANDIDATE_DTYPE needs NumPy, and is there when it is asked for."""
    from vyre_dist.kernels import programs

    return getattr(programs, name)
