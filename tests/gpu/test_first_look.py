"""The first look for a GPU, at drivers of which one says yes and the others, each for a reason of its own, no."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from emulated_kernels import compiler

from vyre_dist.kernels.cuda.device import open_device
from vyre_dist.kernels.cuda.first_look import promising
from vyre_dist.program import ArtifactCache

# what is asked of libcuda.so.1, with CUDA's names and types
DRIVER = r"""
int cuInit(unsigned) { return INIT; }
int cuDeviceGetCount(int* count) { *count = COUNT; return 0; }
int cuDeviceGet(int* device, int number) { *device = 40 + number; return 0; }
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  if (device != 40) return 101;
  *value = attribute == 75 ? MAJOR : attribute == 76 ? MINOR : -1;
  return 0;
}
"""
ASK = "from vyre_dist.kernels.cuda.first_look import promising; print(promising())"


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
def test_drivers(tmp_path: Path, init: int, count: int, capability: tuple[int, int], answer: bool) -> None:
    """A device is promising if the driver starts, sees one, and it is of compute capability 8.0 or more."""
    gcc = compiler()
    if gcc is None:
        pytest.skip("there is no g++, which makes the driver")
    source = tmp_path / "driver.c"
    source.write_text(DRIVER)
    values = {"INIT": init, "COUNT": count, "MAJOR": capability[0], "MINOR": capability[1]}
    defines = [f"-D{name}={value}" for name, value in values.items()]
    command = [
        gcc,
        "-x",
        "c",
        "-shared",
        "-fPIC",
        *defines,
        str(source),
        "-o",
        str(tmp_path / "libcuda.so.1"),
    ]
    subprocess.run(command, check=True)
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.split() == [str(answer)]


@pytest.mark.gpu
def test_a_real_one() -> None:
    """What will do is promising."""
    open_device(ArtifactCache(None))
    assert promising()
