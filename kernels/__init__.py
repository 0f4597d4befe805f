"""Backends: what executes compiled packs. Only modules in here import hyperscan or cupy.

`cpu` finds candidates with Hyperscan and extracts with google-re2; `reference` runs the compiled tables
in NumPy, as a kernel does.
"""

from vyre_dist.kernels.backends import BACKENDS, ScanBackend, open_backend, resolve_backend
from vyre_dist.kernels.programs import CANDIDATE_DTYPE, ScanProgram

__all__ = ["BACKENDS", "CANDIDATE_DTYPE", "ScanBackend", "ScanProgram", "open_backend", "resolve_backend"]
