"""Tables are on the device before a stream that waits for no other could read them."""

from __future__ import annotations

import numpy as np
from gpu_device import Gpu

from vyre_dist.kernels.cuda.uploads import upload


def test_no_stream_has_to_wait(gpu: Gpu) -> None:
    """What a lane's stream copies back is what was uploaded, though nobody has waited for the
    current one.
    """
    arrays = {
        "empty": np.empty(0, np.uint32),
        "words": np.arange(7, dtype=np.uint64),
        "many": np.arange(1 << 20, dtype=np.uint32),
        "matrix": np.arange(12, dtype=np.uint8).reshape(3, 4),
    }
    there = upload(arrays)
    for name, array in arrays.items():
        back = there[name].get(stream=gpu.stream).tobytes()
        assert back[: array.nbytes] == array.tobytes()
