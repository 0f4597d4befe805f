"""Uploads tables to the device, before any stream reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vyre_dist.kernels.cuda.device import DeviceUnusableError

_PADDING = bytes(16)  # an empty array gets an address, too


def upload(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    """The arrays' bytes on the device, by name; all of them are there when this returns.

    CuPy queues copies on its current stream, and lanes have streams of their own, which wait for no
    other: without waiting here a first scan on a busy device reads tables that are still on their
    way, and misses matches without a word.

    Raises DeviceUnusableError when the device has no room for them, or lets nobody in.
    """
    import cupy

    try:
        there = {
            name: cupy.asarray(np.frombuffer(array.tobytes() + _PADDING, np.uint8))
            for name, array in arrays.items()
        }
    except cupy.cuda.memory.OutOfMemoryError as error:
        size = sum(array.nbytes for array in arrays.values())
        raise DeviceUnusableError(
            f"its memory is too full for a pack's tables of {size >> 10} KiB",
            "free some, or use --backend cpu",
        ) from error
    except cupy.cuda.runtime.CUDARuntimeError as error:
        # the first to need a context: another process may have the device for itself
        raise DeviceUnusableError(
            str(error), "see what nvidia-smi shows, or use --backend cpu"
        ) from error
    cupy.cuda.get_current_stream().synchronize()
    return there
