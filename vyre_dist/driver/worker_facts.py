"""WorkerFacts: who a worker is and what it works with, as it says itself when it is ready."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from vyre_dist import __version__
from vyre_dist.kernels.processor import processor
from vyre_dist.program.program_facts import ProgramFacts


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """Who a worker is.

    `node`: Ray's id of its node, "" outside Ray. `gpus`: the GPUs that it feeds, as Ray or
    CUDA_VISIBLE_DEVICES names them, and `gpu` their product, where that is known.

    `backend`: the one it was opened with. `device`: what that runs on, a processor or a GPU by its
    product name. `processes`: how many tasks it does at the same time. `version`: vyre-dist's;
    `versions`: those of what its speed depends on. `system`: what beside the device its timings
    hold for. `cache_trouble`: why its cache can't be written, "" if it can. `programs`: what it
    runs by default, where that is known before its first answer, which tells it, too.
    """

    node: str
    host: str
    pid: int
    backend: str
    gpus: tuple[str, ...] = ()
    processes: int = 1
    version: str = field(default=__version__)
    device: str = field(default="", compare=False)
    gpu: str = field(default="", compare=False)
    system: str = field(default="", compare=False)
    python: str = field(default="", compare=False)
    versions: Mapping[str, str] = field(default_factory=dict, compare=False)
    cache_trouble: str = field(default="", compare=False)
    programs: ProgramFacts | None = field(default=None, compare=False)

    @property
    def kind(self) -> tuple[str, str, str, tuple[tuple[str, str], ...]]:
        """What workers have in common whose timings may be put together."""
        return self.backend, self.device, self.system, tuple(sorted(self.versions.items()))


def facts_of(
    backend: str,
    gpu: str = "",
    *,
    node: str = "",
    gpus: tuple[str, ...] = (),
    processes: int = 1,
    pid: int = 0,
    programs: ProgramFacts | None = None,
) -> WorkerFacts:
    """The facts of a worker of this machine, by default this process.

    `gpu`: the product that the cuda backend uses, or that `auto` may.
    """
    on_gpu = backend == "cuda"
    return WorkerFacts(
        node,
        os.uname().nodename,
        pid or os.getpid(),
        backend,
        gpus,
        processes,
        device=gpu if on_gpu else processor(),
        gpu=gpu,
        system=_nvidia_driver() if on_gpu else platform.machine(),
        python=platform.python_version(),
        versions=_versions("hyperscan", "google-re2", "vyre-dist"),
        programs=programs,
    )


@cache
def _nvidia_driver() -> str:
    """The version of the kernel's module for NVIDIA's GPUs, as that tells it."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "unknown driver"
    lines = (
        line.partition(":")[2] for line in text.splitlines() if line.startswith("NVRM version:")
    )
    return " ".join(next(lines, "").split()) or "unknown driver"


@cache
def _versions(*names: str) -> dict[str, str]:
    """The installed versions of these distributions, from the names of their metadata's folders.

    importlib.metadata would read these, with a parser for e-mail that takes as long to import as a
    tenth of a small scan.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            entries = os.listdir(folder or ".")
        except OSError:
            continue  # sys.path may name what is not there, or an archive
        for entry in entries:
            name, dash, version = entry.removesuffix(".dist-info").partition("-")
            name = name.replace("_", "-").lower()
            if dash and entry.endswith(".dist-info") and name in names:
                found.setdefault(name, version)
    return found
