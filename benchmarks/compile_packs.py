"""How long packs take to compile, cold and from the cache, how much memory that takes, and what
comes out.

    python benchmarks/compile_packs.py [PACK ...] [--record]

PACK: whatever `vyre-dist scan --rules` takes; without any, everything built in. A made-up pack of 5
000 literals (6 to 20 bytes) and 1 000 regexes always comes last. Each pack is compiled in a process
of its own, with an empty cache, on one core; seconds are wall time, without starting Python. Memory
is the process's peak. With --record a JSON line for each goes to
benchmarks/results/compile_packs.jsonl.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import os
import platform
import random
import tempfile
import time
from pathlib import Path

from vyre_dist.program import ArtifactCache, compile_pack
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.rules import RulePack

MADE_UP = "5000 literals and 1000 regexes"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_-"


def made_up() -> dict[str, str]:
    """The synthetic pack, the same every time."""
    rng = random.Random(3)
    patterns = {f"l{i}": "".join(rng.choices(LETTERS, k=rng.randrange(6, 21))) for i in range(5000)}
    for i in range(1000):
        word = "".join(rng.choices("abcdefghijklmnop", k=9))
        value = rf"[a-z0-9]{{{rng.randrange(16, 41)}}}"
        patterns[f"r{i}"] = (
            rf"(?i)\b{word[:5]}(?:_|-)?{word[5:]}[\s'\"]{{0,3}}[:=]\s{{0,5}}{value}\b"
        )
    return patterns


def measure(name: str, folder: str) -> dict[str, object]:
    """One pack's numbers; to be run in a fresh process."""
    pack = (
        RulePack.from_patterns(made_up())
        if name == MADE_UP
        else RulePack.load(name)
        if name
        else RulePack.builtin()
    )
    cache = ArtifactCache(folder)
    began = time.perf_counter()
    compiled = compile_pack(pack.data, cache=cache)
    parsed = time.perf_counter()
    tables = load_tables(compiled, cache)
    done = time.perf_counter()
    cached = []
    for _ in range(7):
        start = time.perf_counter()
        load_tables(compile_pack(pack.data, cache=cache), cache)
        cached.append(time.perf_counter() - start)
    with open("/proc/self/status", encoding="ascii") as status:
        # not ru_maxrss, which starts at what the parent held when it forked
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    routes = tables.routes.tolist()
    return {
        "pack": os.path.basename(name) or pack.name,
        "rules": len(compiled.rules),
        "parse_s": round(parsed - began, 2),
        "tables_s": round(done - parsed, 2),
        "from_cache_ms": round(1000 * sorted(cached)[3], 1),
        "peak_mb": round(peak * 1024 / 1e6),
        "table_bytes": tables.nbytes,
        "grams": int(tables.grams.size),
        "by_tables": sum(route in (0, 1) for route in routes),
        "by_host": routes.count(2),
        "never": routes.count(3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("packs", nargs="*", default=[""])
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    stamp = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    for name in [*args.packs, MADE_UP]:
        with (
            tempfile.TemporaryDirectory() as folder,
            multiprocessing.get_context("spawn").Pool(1) as pool,
        ):
            record = pool.apply(measure, (name, folder))
        print(json.dumps(record))
        if args.record:
            with (Path(__file__).parent / "results" / "compile_packs.jsonl").open("a") as file:
                file.write(json.dumps({**stamp, **record}) + "\n")


if __name__ == "__main__":
    main()
