"""The backends by name: which there are, which one a scan takes, and how they are opened."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from vyre_dist.errors import UsageError

if TYPE_CHECKING:
    from vyre_dist.kernels.scan_backend import ScanBackend
    from vyre_dist.program import ArtifactCache, CompiledPack
    from vyre_dist.rules.byte_filters import ByteFilter
    from vyre_dist.rules.content_filters import ContentFilter
    from vyre_dist.rules.keyword_table import KeywordTable


ByteFilters: TypeAlias = Callable[[], "Sequence[ByteFilter]"]
"""Gives the byte filters, by the pack's rule number."""

ContentFilters: TypeAlias = Callable[[], "Sequence[ContentFilter]"]
"""Gives the content filters, by the pack's rule number."""


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """What some backends can make use of.

    `byte_filters`, `contents`: give, by the pack's rule number, which matches need not be found,
    since a filter drops them. `keywords`: gives what a device may look for. `gpu`: where the socket
    of the process that owns the GPU will be (kernels/cuda/service.py), "" for this one. With it
    `auto` takes the GPU as long as that is faster.
    """

    byte_filters: ByteFilters | None = None
    gpu: str = ""
    contents: ContentFilters | None = None
    keywords: Callable[[], KeywordTable] | None = None


class CpuBackendClass(Protocol):
    """A class that is the cpu backend."""

    def __call__(
        self,
        compiled: CompiledPack,
        cache: ArtifactCache,
        options: BackendOptions | None = None,
    ) -> ScanBackend: ...


def cpu_backend_class() -> CpuBackendClass:
    """The class that is the cpu backend here."""
    if has_hyperscan():
        from vyre_dist.kernels.cpu import CpuBackend

        return CpuBackend
    from vyre_dist.kernels.cpu_without_hyperscan import Re2CpuBackend

    return Re2CpuBackend


def _open_cpu(compiled: CompiledPack, cache: ArtifactCache, options: BackendOptions) -> ScanBackend:
    return cpu_backend_class()(compiled, cache, options)


def _open_reference(
    compiled: CompiledPack, cache: ArtifactCache, options: BackendOptions
) -> ScanBackend:
    del options
    from vyre_dist.kernels.reference import ReferenceBackend

    return ReferenceBackend(compiled, cache)


def _open_warming(
    compiled: CompiledPack, cache: ArtifactCache, gpu: str, *, measured: bool
) -> ScanBackend:
    from vyre_dist.kernels.cuda import WarmingBackend

    return WarmingBackend(compiled, cache, gpu, measured=measured)


def _open_cuda(
    compiled: CompiledPack, cache: ArtifactCache, options: BackendOptions
) -> ScanBackend:
    if options.gpu:
        return _open_warming(compiled, cache, options.gpu, measured=False)
    from vyre_dist.kernels.cuda import CudaBackend, DevicePack

    byte_filters = options.byte_filters() if options.byte_filters else None
    keywords = options.keywords() if options.keywords else None
    device_pack = DevicePack(compiled, cache, byte_filters, keywords=keywords)
    return CudaBackend(compiled, cache, device_pack.lane())


BACKENDS: dict[str, Callable[[CompiledPack, ArtifactCache, BackendOptions], ScanBackend]] = {
    "cpu": _open_cpu,
    "cuda": _open_cuda,
    "reference": _open_reference,
}


def has_hyperscan() -> bool:
    """Whether the package hyperscan (wheels: CPython 3.11 to 3.13) can be imported."""
    return not _why_no_hyperscan()


def _why_no_hyperscan() -> str:
    try:
        importlib.import_module("hyperscan")
    except ModuleNotFoundError as error:
        return (
            "is not installed"
            if error.name in ("hyperscan", None)
            else f"cannot be imported ({error})"
        )
    except ImportError as error:  # such as a library that it is linked to and that is not there
        return f"cannot be imported ({error})"
    return ""


def has_cupy() -> bool:
    """Whether CuPy is installed. It is not imported for that."""
    if "cupy" in sys.modules:
        return True
    return importlib.util.find_spec("cupy") is not None


def backend_warning(name: str) -> str:
    """A warning for who starts a scan with this backend on this machine; empty for none."""
    why = "" if resolve_backend(name) != "cpu" else _why_no_hyperscan()
    return why and (
        f"the package hyperscan {why}: google-re2 searches alone, which finds the same and takes "
        "several times as "
        "long; there are wheels of it for Python 3.11 to 3.13 (pip install "
        "'hyperscan>=0.7.13,<0.7.23')"
    )


def resolve_backend(name: str) -> str:
    """The backend that `name` stands for: `auto` is the fastest that needs no GPU, another name is
    itself.
    """
    return "cpu" if name == "auto" else name


def require_known(name: str) -> None:
    """Raise UsageError for a name that is neither `auto` nor in BACKENDS."""
    if resolve_backend(name) not in BACKENDS:
        raise UsageError(
            f"unknown backend {name!r}: use one of auto, {', '.join(sorted(BACKENDS))}"
        )


def require_backend(name: str, gpu: str = "") -> None:
    """Raise UsageError for an unknown backend, and for cuda if a first look finds no GPU.

    `gpu`: see BackendOptions. Nothing is compiled or imported for it.
    """
    require_known(name)
    if name == "cuda" and not gpu:
        from vyre_dist.kernels.cuda import require_gpu

        require_gpu()


def open_backend(
    name: str,
    compiled: CompiledPack,
    cache: ArtifactCache | None = None,
    options: BackendOptions | None = None,
) -> ScanBackend:
    """The backend called `name`, or that `auto` stands for, loaded with `compiled`.

    Raises what require_backend raises.
    """
    from vyre_dist.program import ArtifactCache

    options = options or BackendOptions()
    require_backend(name, options.gpu)
    if name == "auto" and options.gpu:
        return _open_warming(compiled, cache or ArtifactCache(None), options.gpu, measured=True)
    return BACKENDS[resolve_backend(name)](compiled, cache or ArtifactCache(None), options)
