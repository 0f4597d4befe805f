"""Whole documents through one GPU, so that reading, copying, kernels and extraction overlap.

    with ExtractionPool(pack, compiled, device_pack.reading, workers=4) as pool:
        with GpuStream(device_pack, pack, pool) as stream:
            for batch, rows in stream.scan_files(files):
                ...

`device_pack` is a vyre_dist.kernels.cuda.DevicePack, `pack` a RulePack's data. A GpuStream fills
slots (slots.py) with documents and has a device search them; row_jobs.py cuts what the device puts
out into jobs, and the processes of an ExtractionPool make finding rows of these (extraction.py).

Documents that are larger than a slot, and shards, retries and reports, are not in here: see
vyre_dist/engine and vyre_dist/driver. What runs on the device is in kernels/cuda.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vyre_dist.stream.extraction_pool import ExtractionPool, ExtractionWorkerError
    from vyre_dist.stream.gpu_stream import GpuStream, StreamTotals
    from vyre_dist.stream.slots import ArenaBatch

__all__ = ["ArenaBatch", "ExtractionPool", "ExtractionWorkerError", "GpuStream", "StreamTotals"]

_MODULES = {
    "ArenaBatch": "slots",
    "ExtractionPool": "extraction_pool",
    "ExtractionWorkerError": "extraction_pool",
    "GpuStream": "gpu_stream",
    "StreamTotals": "gpu_stream",
}


def __getattr__(name: str) -> Any:
    """Loads the module that has the public name `name`: extraction workers need one of them."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
