"""Registering host memory with CUDA: once, as a whole mapping, and what happens where it is refused."""

from __future__ import annotations

import logging
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest
from gpu_device import Gpu


def test_registered_once_and_refused_once(gpu: Gpu, caplog: pytest.LogCaptureFixture) -> None:
    """A mapping is registered once for all arrays in it; a second owner is refused, told so in one line, and goes on."""
    del gpu
    from vyre_dist.kernels.cuda.host_memory import HostRegistry

    memory = SharedMemory(create=True, size=8 << 20)
    data = np.ndarray((8 << 20,), np.uint8, memory.buf)
    data.fill(1)
    owner, other = HostRegistry(), HostRegistry()
    try:
        assert owner.register(data[: 1 << 20])
        assert owner.register(data[1 << 20 :])
        with caplog.at_level(logging.WARNING):
            assert not other.register(data)
            assert not other.register(data[:100])
        assert len([r for r in caplog.records if "can't be registered with CUDA" in r.message]) == 1
    finally:
        owner.close()
        other.close()
        del data
        memory.close()
        memory.unlink()
