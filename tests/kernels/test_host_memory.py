"""Which mapping of the process an array lies in: what is registered with CUDA as a whole."""

from __future__ import annotations

from multiprocessing.shared_memory import SharedMemory

import numpy as np

from vyre_dist.kernels.cuda.host_memory import mapping_of


def test_shared_memory_is_one_mapping() -> None:
    """The mapping of shared memory holds all of it, is writable, and has its name."""
    memory = SharedMemory(create=True, size=3 << 20)
    try:
        data = np.ndarray((3 << 20,), np.uint8, memory.buf)
        first, last = mapping_of(data.ctypes.data), mapping_of(data.ctypes.data + (3 << 20) - 1)
        assert first is not None
        assert first == last
        assert first.start <= data.ctypes.data
        assert data.ctypes.data + data.nbytes <= first.end
        assert first.writable
        assert first.name.endswith(memory.name)
        del data
    finally:
        memory.close()
        memory.unlink()


def test_nothing_is_mapped_at_null() -> None:
    """An address that no mapping holds has none."""
    assert mapping_of(16) is None
