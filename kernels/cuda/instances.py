"""The lines of CUDA that instantiate each program's template, and how its launch looks. No cupy in here.

The program `fused` is `scan` and `walk`, one behind the other; the conservative path is `prefilter` and `compact`, whose
list is looked at by the host, and `probe` and `walk`.
"""

from __future__ import annotations

from dataclasses import dataclass

from vyre_dist.program.tunables import Tunables

COMPACT_THREADS = 256
PROBE_THREADS = 256
WALK_THREADS = 256
PROBE_BLOCKS_PER_SM = 4
WALK_BLOCKS_PER_SM = 4


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
_HITS = "const __grid_constant__ vyre::Lists<vyre::u32> hits"
_PIVOTS = "const __grid_constant__ vyre::Lists<vyre::Pivot> pivots"
_OUTPUT = "const __grid_constant__ vyre::Output output"


def scan(tunables: Tunables) -> Instance:
    """From text to pivots, in lists, one a block: (Tables, Stretch, Lists of Pivot, Output)."""
    t = tunables
    call = f"vyre::scan<{t.threads}, {t.unroll}, {t.bitmap_bits}>(tables, stretch, pivots, output)"
    return _instance(
        "scan",
        [_TABLES, _STRETCH, _PIVOTS, _OUTPUT],
        call,
        t.threads,
        t.blocks_per_sm,
        (1 << t.bitmap_bits) // 8,
    )


def prefilter(tunables: Tunables) -> Instance:
    """The bitmap's answers as bits: (Tables, Stretch, masks, blocks)."""
    t = tunables
    parameters = [_TABLES, _STRETCH, "vyre::u8* masks", "vyre::u32* blocks"]
    call = f"vyre::prefilter<{t.threads}, {t.unroll}, {t.bitmap_bits}>(tables, stretch, masks, blocks)"
    return _instance("prefilter", parameters, call, t.threads, t.blocks_per_sm, (1 << t.bitmap_bits) // 8)


def compact() -> Instance:
    """From bits to one list: (Stretch, masks, blocks, has_blocks, Lists of hits)."""
    parameters = [_STRETCH, "const vyre::u8* masks", "const vyre::u32* blocks", "vyre::u32 has_blocks", _HITS]
    call = f"vyre::compact<{COMPACT_THREADS}>(stretch, masks, blocks, has_blocks, hits)"
    return _instance("compact", parameters, call, COMPACT_THREADS, 8, 0)


def probe() -> Instance:
    """From one list of hits to pivots, in lists, one a block: (Tables, Stretch, Lists of hits, Lists of Pivot, Output)."""
    call = f"vyre::probe<{PROBE_THREADS}>(tables, stretch, hits, pivots, output)"
    parameters = [_TABLES, _STRETCH, _HITS, _PIVOTS, _OUTPUT]
    return _instance("probe", parameters, call, PROBE_THREADS, PROBE_BLOCKS_PER_SM, 0)


def walk() -> Instance:
    """From pivots to rows: (Tables, Stretch, Lists of Pivot, Output)."""
    call = f"vyre::walk<{WALK_THREADS}>(tables, stretch, pivots, output)"
    parameters = [_TABLES, _STRETCH, _PIVOTS, _OUTPUT]
    return _instance("walk", parameters, call, WALK_THREADS, WALK_BLOCKS_PER_SM, 0)


def _instance(
    kernel: str, parameters: list[str], call: str, threads: int, blocks_per_sm: int, shared_bytes: int
) -> Instance:
    source = (
        f'#include "{kernel}.cuh"\n'
        f'extern "C" __global__ void __launch_bounds__({threads}, {blocks_per_sm})\n'
        f"{kernel}({', '.join(parameters)}) {{\n  {call};\n}}\n"
    )
    return Instance(kernel, source, threads, blocks_per_sm, shared_bytes)
