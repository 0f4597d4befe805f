"""How long does each kernel take on text that is on the device? For a profiler, too.

    python benchmarks/gpu_kernels.py --sample SAMPLE --rules PACK [--copies 8] [--rounds 15] ncu
    --kernel-name scan --launch-skip 3 --launch-count 1 --section SpeedOfLight --section
    WarpStateStats \\
        python benchmarks/gpu_kernels.py --sample SAMPLE --rules PACK --rounds 1

SAMPLE is gpu_scan.py's. Prints microseconds of each kernel (medians), how many pivots and rows
there were, and the rate of all of them together. benchmarks/results/gpu_profile_h200.txt has what
ncu said of the prefilter.
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt
from corpus import read_sample
from gpu_scan import Gpu, repeated

from vyre_dist.compiler.arena import Arena
from vyre_dist.kernels.cuda import DEFAULT_TUNABLES, MAX_STEPS, CudaPrograms, DeviceArena, Workspace
from vyre_dist.program import compile_pack
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.rules import RulePack


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sample", required=True)
    parser.add_argument("--rules", required=True)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    gpu = Gpu()
    stream = gpu.stream
    tables = load_tables(compile_pack(RulePack.load(args.rules).data))
    arena = repeated(Arena.lay_out(read_sample(args.sample)[1]), args.copies)
    there, space = DeviceArena(), Workspace()
    there.upload(arena, stream)
    programs = CudaPrograms(gpu.device, tables, DEFAULT_TUNABLES, MAX_STEPS)
    rows = programs.run_fused(there, space, stream)  # and buffers grow
    stretches = there.stretches()
    # what the launches of a run are, one by one: there is no public way to leave some out
    scan, walk = programs._scan, programs._walk

    def launch(*kernels: object) -> npt.NDArray[np.uint32]:
        run = programs._begin(there, len(stretches), scan.lists, space, stream)
        for stretch in stretches:
            pivots = run.next_lists(stretch)
            if scan in kernels:
                scan.launch(stream, stretch, pivots, run.output)
            if walk in kernels:
                walk.launch(stream, stretch, pivots, run.output, run.count)
        lengths: npt.NDArray[np.uint32] = run.lengths
        return lengths

    def prefilter() -> None:
        for stretch in stretches:
            programs.launch_masks(stretch, space, stream)

    nothing = gpu.seconds(launch, args.rounds)
    times = {
        "prefilter": gpu.seconds(prefilter, args.rounds),
        "scan": gpu.seconds(lambda: launch(scan), args.rounds) - nothing,
        "walk": gpu.seconds(lambda: launch(walk), args.rounds) - nothing,
    }
    together = gpu.seconds(lambda: programs.launch_fused(there, space, stream), args.rounds)
    pivots = int(launch(scan).get(stream=stream).sum())
    print(f"{arena.data.size / 1e9:.2f} GB, {pivots} pivots, {np.unique(rows.rows).size} rows")
    for name, seconds in times.items():
        print(f"  {name:9} {seconds * 1e6:7.0f} µs")
    print(f"  together  {together * 1e6:7.0f} µs, {arena.data.size / together / 1e9:.0f} GB/s")


if __name__ == "__main__":
    main()
