"""The lines of CUDA that instantiate each program's template, and how its launch looks. No cupy in here.

The program `fused` is `hits` and `confirm`; the conservative path is `prefilter`, `compact` and `confirm`.
"""

from __future__ import annotations

from dataclasses import dataclass

from vyre_dist.program.tunables import Tunables

COMPACT_THREADS = 256
CONFIRM_THREADS = 256
CONFIRM_BLOCKS_PER_SM = 4


@dataclass(frozen=True, slots=True)
class Instance:
    """`source`: CUDA C++ with one extern "C" kernel called `kernel`. `shared_bytes`: dynamic, per block."""

    kernel: str
    source: str
    threads: int
    blocks_per_sm: int
    shared_bytes: int


_TABLES = "const __grid_constant__ vyre::Tables tables"
_STRETCH = "const __grid_constant__ vyre::Stretch stretch"
_LISTS = "const __grid_constant__ vyre::Lists lists"
_OUTPUT = "const __grid_constant__ vyre::Output output"


def hits(tunables: Tunables) -> Instance:
    """The bitmap's hits in lists, one a block: (Tables, Stretch, Lists)."""
    t = tunables
    call = f"vyre::hits<{t.threads}, {t.unroll}, {t.bitmap_bits}>(tables, stretch, lists)"
    return _instance("hits", [_TABLES, _STRETCH, _LISTS], call, t.threads, t.blocks_per_sm, (1 << t.bitmap_bits) // 8)


def prefilter(tunables: Tunables) -> Instance:
    """The bitmap's answers as bits: (Tables, Stretch, masks, blocks)."""
    t = tunables
    parameters = [_TABLES, _STRETCH, "vyre::u8* masks", "vyre::u32* blocks"]
    call = f"vyre::prefilter<{t.threads}, {t.unroll}, {t.bitmap_bits}>(tables, stretch, masks, blocks)"
    return _instance("prefilter", parameters, call, t.threads, t.blocks_per_sm, (1 << t.bitmap_bits) // 8)


def compact() -> Instance:
    """From bits to one list: (Stretch, masks, blocks, has_blocks, Lists)."""
    parameters = [_STRETCH, "const vyre::u8* masks", "const vyre::u32* blocks", "vyre::u32 has_blocks", _LISTS]
    call = f"vyre::compact<{COMPACT_THREADS}>(stretch, masks, blocks, has_blocks, lists)"
    return _instance("compact", parameters, call, COMPACT_THREADS, 8, 0)


def confirm() -> Instance:
    """From lists to rows: (Tables, Stretch, Lists, Output)."""
    call = f"vyre::confirm<{CONFIRM_THREADS}>(tables, stretch, lists, output)"
    parameters = [_TABLES, _STRETCH, _LISTS, _OUTPUT]
    return _instance("confirm", parameters, call, CONFIRM_THREADS, CONFIRM_BLOCKS_PER_SM, 0)


def _instance(
    kernel: str, parameters: list[str], call: str, threads: int, blocks_per_sm: int, shared_bytes: int
) -> Instance:
    source = (
        f'#include "{kernel}.cuh"\n'
        f'extern "C" __global__ void __launch_bounds__({threads}, {blocks_per_sm})\n'
        f"{kernel}({', '.join(parameters)}) {{\n  {call};\n}}\n"
    )
    return Instance(kernel, source, threads, blocks_per_sm, shared_bytes)
