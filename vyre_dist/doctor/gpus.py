"""Checks of what a scan on NVIDIA GPUs needs: the driver, a GPU, CuPy, NVRTC."""

from __future__ import annotations

from vyre_dist.doctor.result import Asked, CheckResult
from vyre_dist.driver.gpu_signs import has_nvidia_driver

_NONE = "no NVIDIA GPU here: scans run on the processors"
_EXTRA = "install vyre-dist[cuda13]"
_SMI = "see what nvidia-smi says; in a container, start it with NVIDIA's runtime (--gpus all)"


def driver(_: Asked) -> CheckResult:
    """NVIDIA's driver: there, and new enough."""
    if not has_nvidia_driver():
        return CheckResult.ok(_NONE)
    from vyre_dist.kernels.cuda import OLDEST_CUDA, DriverError, driver_cuda

    try:
        major, minor = driver_cuda()
    except DriverError as error:
        return CheckResult.failed(f"the kernel has it, but {error}", _SMI)
    if (major, minor) < OLDEST_CUDA:
        return CheckResult.failed(
            f"it knows CUDA {major}.{minor}, and 13.0 is needed", "install driver 580 or newer"
        )
    return CheckResult.ok(f"for CUDA {major}.{minor}")


def gpu(_: Asked) -> CheckResult:
    """A GPU that the kernels run on."""
    if not has_nvidia_driver():
        return CheckResult.ok(_NONE)
    from vyre_dist.kernels.cuda import DriverError, devices

    try:
        found = devices()
    except DriverError as error:
        return CheckResult.failed(f"none can be used: {error}", _SMI)
    if not found:
        return CheckResult.warning("CUDA sees none", "check CUDA_VISIBLE_DEVICES")
    names = ", ".join(f"{each.name} ({each.capability[0]}.{each.capability[1]})" for each in found)
    if not all(each.new_enough for each in found):
        return CheckResult.warning(
            f"{names}: compute capability 8.0 (A100) or newer is needed",
            "leave older ones out with CUDA_VISIBLE_DEVICES, or use --backend cpu",
        )
    return CheckResult.ok(names)


def cupy(_: Asked) -> CheckResult:
    """CuPy, which launches the kernels."""
    from vyre_dist.kernels import has_cupy

    if not has_cupy():
        return _missing("it is not installed")
    from vyre_dist.kernels.cuda import cupy_version

    try:
        return CheckResult.ok(cupy_version())
    except (ImportError, OSError, RuntimeError) as error:
        return _missing(f"it can't be imported ({error})", broken=True)


def nvrtc(_: Asked) -> CheckResult:
    """NVRTC, which compiles the kernels."""
    from vyre_dist.kernels import has_cupy

    if not has_cupy():
        return _missing("not looked for: CuPy, which binds it, is not installed")
    from vyre_dist.kernels.cuda import NvrtcMissingError, nvrtc_version

    try:
        major, minor = nvrtc_version()
    except NvrtcMissingError as error:
        return _missing(str(error.__cause__ or error), broken=True)
    return CheckResult.ok(f"{major}.{minor}")


def _missing(what: str, broken: bool = False) -> CheckResult:
    """The result for something that only a GPU's scan needs. `broken`: it is there, in pieces."""
    if has_nvidia_driver():
        return CheckResult.failed(f"{what}: the GPU is of no use without it", _EXTRA)
    if broken:
        return CheckResult.warning(f"{what}; nothing needs it without a GPU", _EXTRA)
    return CheckResult.ok(f"{what}; nothing needs it without a GPU")
