"""The adaptive path against both fixed ones on a GPU, at six densities of hits and where the
density changes.

Part of gpu_scan.py. Text is drawn from letters; a share of its bytes is overwritten with keywords
that hit the bitmap, half of which the automata confirm. Each mode scans the same arenas in the same
order; what they find must be the same. The ratio is the median of the rounds', with its 95 %
interval. The same on processors: adaptive_cpu.py.
"""

from __future__ import annotations

import itertools
import statistics
import time
from typing import Any

import numpy as np
from intervals import median_interval

from vyre_dist.compiler import compile_tables
from vyre_dist.compiler.arena import Arena
from vyre_dist.dispatch.backend import SpeculationMode
from vyre_dist.regex import parse

PATTERN = r"\bsecret_key=[0-9a-f]{16}\b"
TRUE, FALSE = b" secret_key=0123456789abcdef ", b" secret_key=0123456789abcdeX "
DENSITIES = (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 0.3)
ARENA_BYTES = 512 << 20
TEXT_BYTES = 32 << 20
ARENAS = 18
WARM_UP = 10
ROUNDS = 15
SECONDS = 3.0
"""There are as many rounds as it takes, and ROUNDS at least: a sparse corpus is through in
milliseconds.
"""


def planted(density: float, seed: int) -> Arena:
    """An arena of which the share `density` of bytes belongs to planted keywords, every second of
    them a match.
    """
    rng = np.random.default_rng(seed)
    text = rng.integers(ord("a"), ord("z") + 1, TEXT_BYTES, np.uint8)
    text[rng.integers(0, TEXT_BYTES, TEXT_BYTES // 7)] = ord(" ")
    data = np.tile(text, ARENA_BYTES // TEXT_BYTES)
    width = len(TRUE)
    count = int(density * ARENA_BYTES / width)
    spots = rng.choice(ARENA_BYTES // width, count, replace=False) * width
    for text, own in ((TRUE, spots[::2]), (FALSE, spots[1::2])):
        data.reshape(-1)[own[:, None] + np.arange(width)] = np.frombuffer(text, np.uint8)
    starts = np.arange(0, ARENA_BYTES, 1 << 20, dtype=np.int64)
    whole = np.ones(starts.size, bool)
    return Arena(data, starts, np.append(starts[1:], ARENA_BYTES), whole, whole)


def adaptive(gpu: Any) -> dict[str, Any]:
    """Rates of fused, serial and adaptive for each corpus, and adaptive's ratio to the better fixed
    one.
    """
    from vyre_dist.kernels.cuda import (
        DEFAULT_TUNABLES,
        MAX_STEPS,
        AdaptivePrograms,
        CudaPrograms,
        DeviceArena,
        Workspace,
    )

    tables = compile_tables([parse(PATTERN).root]).tables
    there: dict[float, DeviceArena] = {}
    for density in DENSITIES:
        there[density] = DeviceArena()
        there[density].upload(planted(density, 7), gpu.stream)
        gpu.stream.synchronize()
    corpora = {f"{density:g}": [there[density]] * ARENAS for density in DENSITIES}
    corpora["changing"] = [there[d] for d in (0.0, 0.3, 1e-4, 1e-2) for _ in range(ARENAS // 2)]
    programs = CudaPrograms(gpu.device, tables, DEFAULT_TUNABLES, MAX_STEPS)
    modes = {
        "fused": SpeculationMode.FORCE,
        "serial": SpeculationMode.DISABLE,
        "adaptive": SpeculationMode.AUTO,
    }
    out: dict[str, Any] = {}
    print("density     fused  serial  adaptive GB/s   adaptive against the better of the two")
    for name, arenas in corpora.items():
        rates: dict[str, list[float]] = {mode: [] for mode in modes}
        found: set[int] = set()
        # the same buffers for all: how fast a kernel is depends a little on where they happen to
        # lie
        space = Workspace()
        runners = {
            mode: AdaptivePrograms(programs, gpu.stream, "bench", space=space) for mode in modes
        }
        for mode, runner in runners.items():  # buffers grow, and the race is run
            for arena in arenas[:WARM_UP]:
                rows = runner.run(arena, modes[mode]).rows
            found.add(np.unique(rows["position"]).size)
        end = time.perf_counter() + SECONDS
        for turn, order in enumerate(itertools.cycle(itertools.permutations(modes))):
            if turn >= ROUNDS and time.perf_counter() > end:
                break
            # each scans all of the corpus in one go, as it would alone, and as often behind the one
            # as behind the other
            for mode in order:
                began = time.perf_counter()
                for arena in arenas:
                    runners[mode].run(arena, modes[mode])
                rates[mode].append(sum(a.size for a in arenas) / (time.perf_counter() - began))
        assert len(found) == 1, "the paths differ in what they found"
        median = {mode: statistics.median(own) / 1e9 for mode, own in rates.items()}
        better = max(("fused", "serial"), key=lambda mode: median[mode])
        pairs = zip(rates["adaptive"], rates[better], strict=True)
        ratio, low, high = median_interval([own / fixed for own, fixed in pairs])
        out[name] = {
            **{mode: round(rate, 1) for mode, rate in median.items()},
            "ratio": round(ratio, 3),
            "interval": [round(low, 3), round(high, 3)],
            "pairs": len(rates["adaptive"]),
        }
        fused = sum(runners["adaptive"].paths) / len(runners["adaptive"].paths)
        print(
            f"{name:9} {median['fused']:7.0f} {median['serial']:7.0f} {median['adaptive']:9.0f}   "
            f"{ratio:10.3f} [{low:.3f}, {high:.3f}] of {len(rates['adaptive'])} pairs  "
            f"fused {fused:.0%} of the time"
        )
    return out
