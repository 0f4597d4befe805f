"""The first look for a GPU, at drivers of which one says yes and the others, each for a reason of
its own, no.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from emulated_cupy import EmulatedCupy
from stub_driver import make_driver

from vyre_dist.kernels.cuda import look_for_gpu
from vyre_dist.kernels.cuda.device import open_device
from vyre_dist.program import ArtifactCache

ASK = "from vyre_dist.kernels.cuda import look_for_gpu; print(not look_for_gpu().missing)"


@pytest.mark.parametrize(
    ("init", "count", "capability", "answer"),
    [
        (0, 1, (8, 0), True),
        (0, 2, (10, 0), True),
        (0, 1, (7, 5), False),
        (0, 0, (9, 0), False),
        (100, 1, (9, 0), False),
    ],
    ids=["oldest", "new", "too old", "no device", "driver refuses"],
)
def test_drivers(
    tmp_path: Path, init: int, count: int, capability: tuple[int, int], answer: bool
) -> None:
    """A device is promising if the driver starts, sees one, and it is of compute capability 8.0 or
    more.
    """
    driver = make_driver(tmp_path, init=init, count=count, capability=capability)
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**os.environ, **driver},
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.split() == [str(answer)]


def test_a_cupy_in_memory_only(
    tmp_path: Path, emulation: EmulatedCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CuPy that is imported already is there, whether or not its module says where it came
    from.
    """
    code = "import sys, types; sys.modules['cupy'] = types.ModuleType('cupy'); " + ASK
    driver = make_driver(tmp_path)
    asked = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **driver},
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.split() == ["True"]
    for name, module in emulation.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
        # importlib raises ValueError for a module without one
        assert importlib.util.find_spec(name) is module.__spec__ is not None, name


def test_a_context_that_is_begun(tmp_path: Path) -> None:
    """It is that of the first device, and made by a thread; without a driver nothing happens."""
    told = tmp_path / "context"
    code = "from vyre_dist.kernels.cuda import begin_context; begin_context().join()"
    for more in ({}, make_driver(tmp_path)):
        assert not told.exists()
        environment = {**os.environ, **more, "STUB_CONTEXT": str(told)}
        if not more:
            environment["LD_LIBRARY_PATH"] = ""
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert told.read_text() == "40"


@pytest.mark.gpu
def test_a_real_one() -> None:
    """What will do is promising."""
    open_device(ArtifactCache(None))
    assert not look_for_gpu().missing
