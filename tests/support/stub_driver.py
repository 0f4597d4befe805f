"""NVIDIA's driver as far as the first look asks it, compiled from C: it shows what a test wants it
to show.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from emulated_kernels import compiler

# what is asked of libcuda.so.1, with CUDA's names and types
_SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
int cuInit(unsigned) { return INIT; }
int cuDriverGetVersion(int* version) { *version = VERSION; return 0; }
int cuDeviceGetCount(int* count) { *count = COUNT; return 0; }
int cuDeviceGet(int* device, int number) { *device = 40 + number; return 0; }
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  if (device != 40) return 101;
  *value = attribute == 75 ? MAJOR : attribute == 76 ? MINOR : -1;
  return 0;
}
int cuDevicePrimaryCtxRetain(void** context, int device) {
  const char* told = getenv("STUB_CONTEXT");
  FILE* file = told ? fopen(told, "w") : NULL;
  if (file) { fprintf(file, "%d", device); fclose(file); }
  *context = NULL;
  return 0;
}
"""


def make_driver(
    folder: Path,
    *,
    init: int = 0,
    count: int = 1,
    capability: tuple[int, int] = (9, 0),
    version: int = 13000,
) -> dict[str, str]:
    """A libcuda.so.1 in `folder`; the environment that makes processes load it. Skips the test
    without g++.

    `init`: what cuInit answers; `count`: how many devices there are; `capability`: of the first
    one; `version`: the CUDA that it knows, as cuda.h writes it.
    """
    gcc = compiler()
    if gcc is None:
        pytest.skip("there is no g++, which makes the driver")
    source = folder / "driver.c"
    source.write_text(_SOURCE)
    values = {
        "INIT": init,
        "COUNT": count,
        "MAJOR": capability[0],
        "MINOR": capability[1],
        "VERSION": version,
    }
    defines = [f"-D{name}={value}" for name, value in values.items()]
    library = str(folder / "libcuda.so.1")
    subprocess.run(
        [gcc, "-x", "c", "-shared", "-fPIC", *defines, str(source), "-o", library], check=True
    )
    return {"LD_LIBRARY_PATH": str(folder)}
