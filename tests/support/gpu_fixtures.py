"""Fixtures of tests/gpu and tests/stream: a device. The normal suite emulates one on the host,
`-m gpu` takes a real one.

Tests are skipped where there is none, or no g++ to emulate one with, and only there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from emulated_cupy import EmulatedCupy
from emulated_kernels import COMPILED, compiler
from gpu_device import Gpu

from vyre_dist.program import ArtifactCache


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels(shared_folder: Callable[[str], Path]) -> Iterator[None]:
    """What one process of this run compiles for the emulated device is there for all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(COMPILED, str(shared_folder("kernels")))
        yield


def _open(cubins: str | None, emulated: EmulatedCupy | None) -> Gpu:
    """Raises DeviceUnusableError or NvrtcMissingError."""
    from vyre_dist.kernels.cuda.device import open_device

    device = open_device(ArtifactCache(cubins))
    import cupy

    return Gpu(device, cupy.cuda.Stream(non_blocking=True), emulated)


@pytest.fixture(scope="session")
def real_gpu(tmp_path_factory: pytest.TempPathFactory) -> Gpu:
    """The device of this machine."""
    from vyre_dist.kernels.cuda.device import DeviceUnusableError
    from vyre_dist.kernels.cuda.nvrtc import NvrtcMissingError

    try:
        return _open(str(tmp_path_factory.mktemp("cubins")), None)
    except (DeviceUnusableError, NvrtcMissingError) as error:
        pytest.skip(str(error))


def _emulate(races: bool) -> Iterator[EmulatedCupy]:
    if compiler() is None:
        pytest.skip("there is no g++, which compiles the kernels for the emulated GPU")
    own = EmulatedCupy(races=races)
    yield own
    own.compiler.close()


@pytest.fixture(scope="session")
def emulation() -> Iterator[EmulatedCupy]:
    """The emulated device; kernels are compiled when they are first asked for."""
    yield from _emulate(races=False)


@pytest.fixture(scope="module")
def racing_emulation() -> Iterator[EmulatedCupy]:
    """One that watches all of the kernels' accesses to memory."""
    yield from _emulate(races=True)


def _install(emulation: EmulatedCupy, monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """In CuPy's place for one test."""
    for name, module in emulation.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return _open(None, emulation)


@pytest.fixture
def emulated_gpu(emulation: EmulatedCupy, monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """The emulated device."""
    return _install(emulation, monkeypatch)


@pytest.fixture
def racing_gpu(racing_emulation: EmulatedCupy, monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """The emulated device that watches for races."""
    return _install(racing_emulation, monkeypatch)


@pytest.fixture(params=["emulated", pytest.param("real", marks=pytest.mark.gpu)])
def gpu(request: pytest.FixtureRequest) -> Gpu:
    """The device: an emulated one in the normal suite, this machine's under `-m gpu`."""
    own: Gpu = request.getfixturevalue(f"{request.param}_gpu")
    return own
