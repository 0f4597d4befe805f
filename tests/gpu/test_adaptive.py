"""AdaptivePrograms: the rows are the same on either path, and the dearer path is left."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import pytest
from gpu_device import Gpu
from gpu_support import PATTERNS, TUNABLES, found, make_tables, random_document

from vyre_dist import RulePack
from vyre_dist.compiler.arena import Arena
from vyre_dist.dispatch.backend import SpeculationMode

PACK = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})


def test_adaptive_agrees(gpu: Gpu) -> None:
    """Whatever path the speculator takes, the rows are the fused programs'; a class of density is
    tried once.
    """
    from vyre_dist.kernels.cuda.adaptive import TRIALS, AdaptivePrograms
    from vyre_dist.kernels.cuda.arenas import DeviceArena
    from vyre_dist.kernels.cuda.workspace import Workspace

    rng = random.Random(8)
    programs = gpu.programs(make_tables(PATTERNS), TUNABLES[0])
    adaptive = AdaptivePrograms(programs, gpu.stream, "test", probe_every=4)
    there = DeviceArena()
    there.upload(
        Arena.lay_out([random_document(rng, 400) for _ in range(gpu.amount(20, 6))]), gpu.stream
    )
    want = found(programs.run_fused(there, Workspace(), gpu.stream))
    for turn in range(3 * (TRIALS + 1) + 1):
        for mode in (SpeculationMode.AUTO, SpeculationMode.FORCE, SpeculationMode.DISABLE):
            rows = adaptive.run(there, mode)
            assert found(rows)[:2] == want[:2]
            assert len(np.unique(rows.rows)) > 20
        assert len(adaptive.paths) == turn + 1
    # the first arena shows the density, then both paths are tried in turn
    assert adaptive.paths[1 : 2 * (TRIALS + 1) + 1] == [True, False] * (TRIALS + 1)
    assert not adaptive._classes[adaptive._density].in_trial
    empty = DeviceArena()
    empty.upload(Arena.lay_out([b"." * 5000]), gpu.stream)
    for _ in range(10):
        assert adaptive.run(empty).rows.size == 0


def test_densities_that_alternate(emulated_gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each class is tried also where no two arenas of it follow each other; then the dearer path is
    left.
    """
    from vyre_dist.kernels.cuda import adaptive as module
    from vyre_dist.kernels.cuda.arenas import DeviceArena

    made: list[module._Class] = []
    plain = module._Class
    monkeypatch.setattr(module, "_Class", lambda every: made.append(plain(every)) or made[-1])
    programs = emulated_gpu.programs(make_tables(["token=[0-9a-f]{8}"]), TUNABLES[3])
    real, now = programs.run_fused, [0]

    def dear(*arguments: Any) -> Any:
        now[0] += 10**9
        return real(*arguments)

    def clock() -> int:
        now[0] += 1000
        return now[0]

    monkeypatch.setattr(programs, "run_fused", dear)
    monkeypatch.setattr(time, "perf_counter_ns", clock)
    adaptive = module.AdaptivePrograms(programs, emulated_gpu.stream, "test")
    arenas = []
    for text in (b"." * 5000 + b"token=deadbeef", b"token=deadbeef " * 300):
        arenas.append(DeviceArena())
        arenas[-1].upload(Arena.lay_out([text]), emulated_gpu.stream)
    for turn in range(100):
        adaptive.run(arenas[turn % 2])
    assert sum(adaptive.paths) < 20
    assert not any(adaptive.paths[30:60])
    assert made == list(
        adaptive._classes.values()
    )  # none is made in vain: that takes time in each run


def test_a_class_that_is_only_passed_through(emulated_gpu: Gpu) -> None:
    """Where a class comes only after one that is settled, its trial is given up, and what it keeps
    does not grow.
    """
    from vyre_dist.kernels.cuda.adaptive import _MOST_TURNS, AdaptivePrograms
    from vyre_dist.kernels.cuda.arenas import DeviceArena

    programs = emulated_gpu.programs(make_tables(["token=[0-9a-f]{8}"]), TUNABLES[3])
    adaptive = AdaptivePrograms(programs, emulated_gpu.stream, "test")
    often, seldom = DeviceArena(), DeviceArena()
    often.upload(Arena.lay_out([b"." * 400]), emulated_gpu.stream)
    seldom.upload(Arena.lay_out([b"token=deadbeef " * 30]), emulated_gpu.stream)
    for turn in range(6 * _MOST_TURNS):
        adaptive.run(seldom if turn % 5 == 4 else often)
    assert len(adaptive._classes) == 2
    assert not any(each.in_trial for each in adaptive._classes.values())
    assert all(
        len(times) <= _MOST_TURNS
        for each in adaptive._classes.values()
        for times in each._times.values()
    )
