"""Compiles kernels: a template's instance, through NVRTC, to a cubin that is kept on disk.

A cubin is cached under everything that shaped it: source, headers, options, architecture and
NVRTC's version. Publishing is ArtifactCache's: to a temporary file, then renamed; losing that race
is fine.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Any

from vyre_dist.errors import VyreError
from vyre_dist.program import ArtifactCache

_OPTIONS = ("--std=c++17", "--device-as-default-execution-space", "--restrict")


class KernelCompileError(VyreError):
    """NVRTC refused a kernel: `kernel`, `arch` and the compiler's `log`."""

    def __init__(self, kernel: str, arch: str, log: str) -> None:
        self.kernel, self.arch, self.log = kernel, arch, log
        super().__init__(f"kernel {kernel!r} does not compile for {arch}:\n{log}")


class NvrtcMissingError(VyreError):
    """CuPy or the NVRTC library can't be loaded."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the cuda backend needs CuPy and NVRTC, and they can't be loaded: {reason}; "
            "install vyre-dist[cuda13], or use --backend cpu"
        )


def nvrtc_module() -> Any:
    """CuPy's binding of NVRTC; no GPU is needed for it. Raises NvrtcMissingError."""
    try:
        from cupy.cuda import nvrtc

        nvrtc.getVersion()
    except (ImportError, OSError, RuntimeError) as error:
        raise NvrtcMissingError(str(error)) from error
    return nvrtc


@cache
def headers() -> dict[bytes, bytes]:
    """Every .cuh file of this package by name."""
    folder = resources.files("vyre_dist.kernels.cuda")
    found = {f.name.encode(): f.read_bytes() for f in folder.iterdir() if f.name.endswith(".cuh")}
    return dict(sorted(found.items()))


@cache
def sources_digest() -> str:
    """A hash of what kernels are compiled from, and how."""
    return hashlib.sha256(repr((_OPTIONS, sorted(headers().items()))).encode()).hexdigest()


def compile_cubin(kernel: str, source: str, arch: str, artifacts: ArtifactCache) -> bytes:
    """The cubin of `source` for `arch` (such as `sm_90`), from the cache or compiled now.

    Raises:
        KernelCompileError: the source does not compile.
        NvrtcMissingError: there is no NVRTC.
    """
    nvrtc = nvrtc_module()
    options = (f"--gpu-architecture={arch}", *_OPTIONS)
    files = headers()
    content = hashlib.sha256(repr((source, sorted(files.items()))).encode()).hexdigest()
    key = f"{kernel}:{content}:{options}:{nvrtc.getVersion()}"
    if (stored := artifacts.get("cubin", key)) is not None:
        return stored
    program = nvrtc.createProgram(source, f"{kernel}.cu", list(files.values()), list(files))
    try:
        try:
            nvrtc.compileProgram(program, options)
        except nvrtc.NVRTCError as error:
            log = nvrtc.getProgramLog(program) or str(error)
            raise KernelCompileError(kernel, arch, log) from error
        cubin: bytes = nvrtc.getCUBIN(program)
    finally:
        nvrtc.destroyProgram(program)
    artifacts.put("cubin", key, cubin)
    return cubin
