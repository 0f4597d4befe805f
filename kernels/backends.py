"""ScanBackend: the dispatch core's Backend plus what a scan needs of it; and the list of backends
by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from vyre_dist.dispatch.backend import Backend
from vyre_dist.errors import UsageError
from vyre_dist.extract import RuleMatcher, Window
from vyre_dist.kernels.programs import ScanProgram
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.rules.finder import Groups

if TYPE_CHECKING:
    from vyre_dist.rules.byte_filters import ByteFilter


class ScanBackend(Backend[ScanProgram], Protocol):
    """A backend that runs ScanPrograms for the one pack that it was opened with."""

    compiled: CompiledPack
    matchers: dict[int, RuleMatcher]
    """By rule number; also the engine's for groups and for what straddles two windows."""
    most_bytes: int
    """What `dispatch_bytes` is at most."""

    @property
    def used(self) -> str:
        """The name of the backend that did the last dispatch, where this one stands for several."""
        ...

    @property
    def dispatch_bytes(self) -> int:
        """A dispatch should have about so many bytes, or `dispatch_windows` windows, whichever
        comes first.
        """
        ...

    @property
    def dispatch_windows(self) -> int:
        """See dispatch_bytes."""
        ...

    @property
    def warm(self) -> bool:
        """Whether times of dispatches say something about later ones."""
        ...

    @property
    def read_memory(self) -> Callable[[int], memoryview] | None:
        """Gives memory of so many bytes to read documents into: what lies there, in order and each
        at a multiple of 16, need not be copied for a dispatch. Called once at most. None: any
        memory will do.
        """
        ...

    @property
    def groups(self) -> Mapping[int, Mapping[int, Mapping[int, Groups]]]:
        """Of the last dispatch's matches, as far as they were worked out on the way: by window,
        rule and start.
        """
        ...

    def confirm_serial(self, windows: Sequence[Window], outputs: Sequence[Any]) -> list[bytes]:
        """The prefilter's outputs, confirmed one by one: a list of one buffer of spans
        (SPAN_DTYPE), without a tail.
        """
        ...


def rule_matchers(compiled: CompiledPack) -> dict[int, RuleMatcher]:
    """A matcher for each rule number of `compiled`."""
    return {
        r.index: RuleMatcher(
            r.pattern,
            r.max_width,
            r.max_match_bytes,
            captures_matter=r.captures_matter,
            loose_pattern=r.loose_pattern,
        )
        for r in compiled.rules
    }


def programs(compiled: CompiledPack) -> tuple[ScanProgram, ScanProgram]:
    """(fused, prefilter) for a pack."""
    return ScanProgram("fused", compiled.key), ScanProgram("prefilter", compiled.key)


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """What some backends can make use of.

    `byte_filters`: gives, by the pack's rule number, the matches that need not be found, since a
    filter drops them. `gpu`: the address of the process that owns the GPU
    (kernels/cuda/service.py), "" for this one.
    """

    byte_filters: Callable[[], Sequence[ByteFilter]] | None = None
    gpu: str = ""


def cpu_backend_class() -> Callable[[CompiledPack, ArtifactCache], ScanBackend]:
    """The class that is the cpu backend here."""
    if has_hyperscan():
        from vyre_dist.kernels.cpu import CpuBackend

        return CpuBackend
    from vyre_dist.kernels.cpu_without_hyperscan import Re2CpuBackend

    return Re2CpuBackend


def _open_cpu(compiled: CompiledPack, cache: ArtifactCache, options: BackendOptions) -> ScanBackend:
    del (
        options
    )  # to find out where a match is costs it the time, so that it has nothing of byte_filters
    return cpu_backend_class()(compiled, cache)


def _open_reference(
    compiled: CompiledPack, cache: ArtifactCache, options: BackendOptions
) -> ScanBackend:
    del options
    from vyre_dist.kernels.reference import ReferenceBackend

    return ReferenceBackend(compiled, cache)


def _open_cuda(
    compiled: CompiledPack, cache: ArtifactCache, options: BackendOptions
) -> ScanBackend:
    if options.gpu:
        from vyre_dist.kernels.cuda import WarmingBackend

        return WarmingBackend(compiled, cache, options.gpu)
    from vyre_dist.kernels.cuda import CudaBackend, DevicePack

    byte_filters = options.byte_filters() if options.byte_filters else None
    return CudaBackend(compiled, cache, DevicePack(compiled, cache, byte_filters).lane())


BACKENDS: dict[str, Callable[[CompiledPack, ArtifactCache, BackendOptions], ScanBackend]] = {
    "cpu": _open_cpu,
    "cuda": _open_cuda,
    "reference": _open_reference,
}


def has_hyperscan() -> bool:
    """Whether the package is installed, and of use. There are wheels of it for CPython 3.11 to
    3.13.
    """
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


def backend_warning(name: str) -> str:
    """What whoever starts a scan with this backend, on this machine, is to be told; empty for
    nothing.
    """
    why = "" if resolve_backend(name) != "cpu" else _why_no_hyperscan()
    return why and (
        f"the package hyperscan {why}: google-re2 searches alone, which finds the same and takes "
        "several times as "
        "long; there are wheels of it for Python 3.11 to 3.13 (pip install "
        "'hyperscan>=0.7.13,<0.7.23')"
    )


def resolve_backend(name: str) -> str:
    """The name of the backend that `name` stands for: `auto` is the fastest one there is, any other
    name itself.
    """
    return "cpu" if name == "auto" else name


def require_known(name: str) -> None:
    """Raise UsageError for a name that is neither `auto` nor in BACKENDS."""
    if resolve_backend(name) not in BACKENDS:
        raise UsageError(
            f"unknown backend {name!r}: use one of auto, {', '.join(sorted(BACKENDS))}"
        )


def require_backend(name: str, gpu: str = "") -> None:
    """Raise UsageError for an unknown backend, and for cuda where a look tells that this process
    can't have it.

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
    """The backend called `name` (`auto`: the fastest one that this machine can run), loaded with
    `compiled`.

    Raises what require_backend raises.
    """
    options = options or BackendOptions()
    require_backend(name, options.gpu)
    return BACKENDS[resolve_backend(name)](compiled, cache or ArtifactCache(None), options)
