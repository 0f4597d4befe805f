"""Instance: the lines of CUDA that instantiate a kernel's template, and its launch's shape.

Each kernel's own is beside its header: `scan.cuh` and `scan.py`, and so on. Needs no CuPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vyre_dist.program.tunables import Tunables

TABLES = "const __grid_constant__ vyre::Tables tables"
STRETCH = "const __grid_constant__ vyre::Stretch stretch"
HITS = "const __grid_constant__ vyre::Lists<vyre::u32> hits"
PIVOTS = "const __grid_constant__ vyre::Lists<vyre::Pivot> pivots"
OUTPUT = "const __grid_constant__ vyre::Output output"


@dataclass(frozen=True, slots=True)
class Instance:
    """`source`: CUDA C++ with the extern "C" `kernel`. `shared_bytes`: dynamic, per block."""

    kernel: str
    source: str
    threads: int
    blocks_per_sm: int
    shared_bytes: int

    @classmethod
    def of(
        cls,
        kernel: str,
        template: Sequence[int],
        parameters: Sequence[str],
        *,
        blocks_per_sm: int,
        shared_bytes: int = 0,
    ) -> Instance:
        """The kernel of `{kernel}.cuh` with these template arguments; the first: threads per block.

        `parameters`: declarations, in order; the template's function takes the same names.
        """
        names = ", ".join(declaration.split()[-1] for declaration in parameters)
        call = f"vyre::{kernel}<{', '.join(map(str, template))}>({names})"
        source = (
            f'#include "{kernel}.cuh"\n'
            f'extern "C" __global__ void __launch_bounds__({template[0]}, {blocks_per_sm})\n'
            f"{kernel}({', '.join(parameters)}) {{\n  {call};\n}}\n"
        )
        return cls(kernel, source, template[0], blocks_per_sm, shared_bytes)


def bitmap_template(tunables: Tunables) -> tuple[int, ...]:
    """The template's first arguments in `scan.cuh` and `prefilter.cuh`: both look the text up in
    the bitmap (`windows.cuh`).
    """
    return tunables.threads, tunables.unroll, tunables.bitmap_bits
