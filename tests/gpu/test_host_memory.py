"""Registering host memory with CUDA: once, as a whole mapping, and what happens where it is
refused.
"""

from __future__ import annotations

import logging
import mmap
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest
from gpu_device import Gpu


def test_registered_once_and_refused_once(gpu: Gpu, caplog: pytest.LogCaptureFixture) -> None:
    """A mapping is registered once for all arrays in it; a second owner is refused, told so in one
    line, and goes on.
    """
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


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) + 16])
def test_landing_buffers(gpu: Gpu, size: int) -> None:
    """As large as asked for, writable, and nobody else's while somebody has them."""
    del gpu
    from vyre_dist.kernels.cuda.host_memory import landing_buffer

    places = [landing_buffer(size) for _ in range(3)]
    for number, place in enumerate(places):
        assert place.shape == (size,)
        place.fill(number + 1)
    assert [set(place[:: 1 << 12].tolist()) for place in places] == [{1}, {2}, {3}] or size == 0


def test_landing_buffers_without_pinned_memory(
    gpu: Gpu, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no memory can be pinned, other memory does, and the log says so."""
    del gpu
    import cupy

    from vyre_dist.kernels.cuda.host_memory import landing_buffer

    def refuse(size: int) -> None:
        raise cupy.cuda.runtime.CUDARuntimeError(2)

    monkeypatch.setattr(cupy.cuda, "alloc_pinned_memory", refuse)
    with caplog.at_level(logging.WARNING):
        assert landing_buffer(2 << 20).shape == (2 << 20,)
    assert "2 MiB can't be pinned" in caplog.text


def test_parts_of_one_mapping(emulated_gpu: Gpu, tmp_path: Path) -> None:
    """Where a part has advice of its own, the kernel lists a mapping in pieces: they are registered
    as one.
    """
    del emulated_gpu
    from vyre_dist.kernels.cuda.host_memory import HostRegistry, mapping_of

    page = mmap.PAGESIZE
    with open(tmp_path / "file", "w+b") as file:
        file.truncate(8 * page)
        memory = mmap.mmap(file.fileno(), 8 * page)
    memory.madvise(mmap.MADV_DONTDUMP, 2 * page, page)
    memory.madvise(mmap.MADV_DONTDUMP, 5 * page, page)
    data = np.frombuffer(memory, np.uint8)
    with open("/proc/self/maps", encoding="utf-8") as maps:
        assert len([line for line in maps if str(tmp_path / "file") in line]) == 5
    for at in (0, 2 * page, 4 * page, 8 * page - 1):
        found = mapping_of(data.ctypes.data + at)
        assert found is not None
        assert (found.start, found.end) == (data.ctypes.data, data.ctypes.data + data.size)
    registry = HostRegistry()
    assert registry.register(data[page : 4 * page])
    assert registry.register(data)
    registry.close()


def test_two_mappings_are_not_one(emulated_gpu: Gpu, caplog: pytest.LogCaptureFixture) -> None:
    """What goes beyond its mapping's end is not registered, and the log says so."""
    del emulated_gpu
    from vyre_dist.kernels.cuda.host_memory import HostRegistry

    data = np.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), np.uint8)
    # no such array can be had honestly: what lies behind is another's
    beyond = np.lib.stride_tricks.as_strided(data, (1 << 46,))
    with caplog.at_level(logging.WARNING):
        assert not HostRegistry().register(beyond)
    assert "lie in several mappings" in caplog.text
