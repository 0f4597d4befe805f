"""The lines of CUDA that instantiate each program's template, and how its launch looks. No cupy in here.

Shared memory: the bitmap and, for programs that confirm, a set of queues for every warp (confirmer.cuh).
"""

from __future__ import annotations

from dataclasses import dataclass

from vyre_dist.program.tunables import Tunables

QUEUES_BYTES = 64 * (4 + 8 + 8 + 4) + 16
"""sizeof(Queues)."""

CONTEXT_BYTES = 384 + 64 + 48
"""sizeof(Context)."""

COMPACT_THREADS = 256
CONFIRM_THREADS = 256


@dataclass(frozen=True, slots=True)
class Instance:
    """`source`: CUDA C++ with one extern "C" kernel called `kernel`. `shared_bytes`: dynamic, per block."""

    kernel: str
    source: str
    threads: int
    blocks_per_sm: int
    shared_bytes: int


_PARAMETERS = {
    "Tables": "const __grid_constant__ vyre::Tables tables",
    "Stretch": "const __grid_constant__ vyre::Stretch stretch",
    "Output": "const __grid_constant__ vyre::Output output",
}


def fused(tunables: Tunables) -> Instance:
    """Prefilter and confirm in one launch: (Tables, Stretch, Output)."""
    t = tunables
    return _instance(
        "fused",
        [_PARAMETERS["Tables"], _PARAMETERS["Stretch"], _PARAMETERS["Output"]],
        f"vyre::fused<{t.threads}, {t.unroll}, {t.bitmap_bits}>(tables, stretch, output)",
        t.threads,
        t.blocks_per_sm,
        CONTEXT_BYTES + (1 << t.bitmap_bits) // 8 + t.threads // 32 * QUEUES_BYTES,
    )


def prefilter(tunables: Tunables) -> Instance:
    """The bitmap's answers: (Tables, Stretch, masks, blocks)."""
    t = tunables
    return _instance(
        "prefilter",
        [_PARAMETERS["Tables"], _PARAMETERS["Stretch"], "vyre::u8* masks", "vyre::u32* blocks"],
        f"vyre::prefilter<{t.threads}, {t.unroll}, {t.bitmap_bits}>(tables, stretch, masks, blocks)",
        t.threads,
        t.blocks_per_sm,
        (1 << t.bitmap_bits) // 8,
    )


def compact() -> Instance:
    """From the masks to a list: (Stretch, masks, blocks, has_blocks, places, counts, capacity)."""
    return _instance(
        "compact",
        [
            _PARAMETERS["Stretch"],
            "const vyre::u8* masks",
            "const vyre::u32* blocks",
            "vyre::u32 has_blocks",
            "vyre::u32* places",
            "vyre::u32* counts",
            "vyre::u32 capacity",
        ],
        f"vyre::compact<{COMPACT_THREADS}>(stretch, masks, blocks, has_blocks, places, counts, capacity)",
        COMPACT_THREADS,
        4,
        0,
    )


def confirm() -> Instance:
    """From the list to rows: (Tables, Stretch, Output, places, counts, capacity)."""
    return _instance(
        "confirm",
        [
            _PARAMETERS["Tables"],
            _PARAMETERS["Stretch"],
            _PARAMETERS["Output"],
            "const vyre::u32* places",
            "const vyre::u32* counts",
            "vyre::u32 capacity",
        ],
        f"vyre::confirm<{CONFIRM_THREADS}>(tables, stretch, output, places, counts, capacity)",
        CONFIRM_THREADS,
        4,
        CONTEXT_BYTES + CONFIRM_THREADS // 32 * QUEUES_BYTES,
    )


def _instance(
    kernel: str, parameters: list[str], call: str, threads: int, blocks_per_sm: int, shared_bytes: int
) -> Instance:
    source = (
        f'#include "{kernel}.cuh"\n'
        f'extern "C" __global__ void __launch_bounds__({threads}, {blocks_per_sm})\n'
        f"{kernel}({', '.join(parameters)}) {{\n  {call};\n}}\n"
    )
    return Instance(kernel, source, threads, blocks_per_sm, shared_bytes)
