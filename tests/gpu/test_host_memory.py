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


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) + 16])
def test_landing_places(gpu: Gpu, size: int) -> None:
    """As large as asked for, writable, and nobody else's while somebody has them."""
    del gpu
    from vyre_dist.kernels.cuda.host_memory import landing_place

    places = [landing_place(size) for _ in range(3)]
    for number, place in enumerate(places):
        assert place.shape == (size,)
        place.fill(number + 1)
    assert [set(place[:: 1 << 12].tolist()) for place in places] == [{1}, {2}, {3}] or size == 0


def test_landing_places_without_pinned_memory(
    gpu: Gpu, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no memory can be pinned, other memory does, and the log says so."""
    del gpu
    import cupy

    from vyre_dist.kernels.cuda.host_memory import landing_place

    def refuse(size: int) -> None:
        raise cupy.cuda.runtime.CUDARuntimeError(2)

    monkeypatch.setattr(cupy.cuda, "alloc_pinned_memory", refuse)
    with caplog.at_level(logging.WARNING):
        assert landing_place(2 << 20).shape == (2 << 20,)
    assert "2 MiB can't be pinned" in caplog.text
