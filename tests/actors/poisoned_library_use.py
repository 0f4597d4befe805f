"""Uses of the library, each a program of its own: `python poisoned_library_use.py KIND PATH`;
prints how many findings.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

PATTERNS = {"tok": r"\btok_([0-9a-z]{20})\b"}


def scanner(path: str) -> int:
    from vyre_dist import RulePack, Scanner

    return len(Scanner(RulePack.from_patterns(PATTERNS)).scan_paths([path]))


def pool_of(start_method: str, backend: str, path: str) -> int:
    from vyre_dist import RulePack
    from vyre_dist.driver.local_pool import LocalPool
    from vyre_dist.driver.plan import Plan
    from vyre_dist.driver.pool import WorkerSpec
    from vyre_dist.driver.run import Callbacks, run_scan
    from vyre_dist.engine.config import EngineConfig
    from vyre_dist.sources import walk_folders

    pack = RulePack.from_patterns(PATTERNS)
    found: list[Any] = []
    pool = LocalPool(WorkerSpec(pack.data, EngineConfig(backend)), 1, start_method)
    callbacks = Callbacks(found.extend, lambda _: None, lambda _: None, lambda _t, _p: None)
    run_scan(Plan(walk_folders([path]), 1 << 20), pool, pack.rules, callbacks)
    return len(found)


def gpu(path: str) -> int:
    import emulated_gpu_process

    from vyre_dist.driver import gpu_process

    gpu_process._own_gpu = emulated_gpu_process.own_gpu
    return pool_of("spawn", "cuda", path)


def extraction(path: str) -> int:
    """Extraction workers of a GPU's stream, which find nothing: it is their start that counts."""
    from multiprocessing.shared_memory import SharedMemory

    from vyre_dist import RulePack
    from vyre_dist.program import compile_pack
    from vyre_dist.program.pack_tables import load_tables
    from vyre_dist.rows.reading import RowReading
    from vyre_dist.stream import ExtractionPool

    pack = RulePack.from_patterns(PATTERNS)
    compiled = compile_pack(pack.data)
    with ExtractionPool(
        pack.data, compiled, RowReading.of(load_tables(compiled)), workers=1
    ) as pool:
        pool.warm_up()
    memory = SharedMemory(create=True, size=4096)
    memory.close()
    memory.unlink()
    return scanner(path)


KINDS = {
    "scanner": scanner,
    "fork": lambda path: pool_of("fork", "cpu", path),
    "spawn": lambda path: pool_of("spawn", "cpu", path),
    "forkserver": lambda path: pool_of("forkserver", "cpu", path),
    "gpu": gpu,
    "extraction": extraction,
}

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1] / "support"))
    sys.stdout.write(f"{KINDS[sys.argv[1]](sys.argv[2])}\n")
