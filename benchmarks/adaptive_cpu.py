"""Adaptive speculation against both fixed modes on processors, in the same run.

    python benchmarks/adaptive_cpu.py CORPUS… [--rules PACK] [--pairs 21] [--bytes 16M] [--record]

For each corpus (a folder or a file) one engine for each mode scans the same bytes, in an order that
is drawn anew for each round; its rate is by processor time, so that others on the machine count
little. The ratio of a round is adaptive's rate over that of the fixed mode that is better over all
rounds; what is printed is the median with its 95 % interval, from the order statistics of the
rounds. All modes must find the same. `--record` appends a line to
benchmarks/results/adaptive_cpu.jsonl. The same on a GPU: adaptive_paths.py.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intervals import median_interval
from results_file import append, run_facts

from vyre_dist.cli.sizes import SIZE
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.tasks import ScanTask
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.program import ArtifactCache
from vyre_dist.rules import RulePack
from vyre_dist.rules.model import PackData
from vyre_dist.runs.ahead import Sample

MODES = {"adaptive": "auto", "fused": "force", "serial": "disable"}
LEAST_PAIRS = 15


def seconds_of(engine: ScanEngine, tasks: Sequence[ScanTask]) -> tuple[float, int]:
    """(processor seconds, findings) of a scan."""
    began = time.thread_time()
    found = sum([len(engine.run(task).findings) for task in tasks])
    return time.thread_time() - began, found


def compared(pack: PackData, corpus: Path, most_bytes: int, pairs: int) -> dict[str, Any]:
    """The modes on one corpus."""
    sample = Sample.of([str(corpus)], "cpu", most_bytes)
    cache = ArtifactCache(None)
    config = {
        name: EngineConfig(backend="cpu", speculation=mode, shard_bytes=sample.shard_bytes)
        for name, mode in MODES.items()
    }
    engines = {name: ScanEngine(pack, own, cache=cache) for name, own in config.items()}
    seconds: dict[str, list[float]] = {name: [] for name in MODES}
    found = {seconds_of(engine, sample.tasks)[1] for engine in engines.values()}
    if len(found) != 1:
        raise SystemExit(f"{corpus.name}: the modes differ in what they find: {found}")
    order = list(MODES)
    for _ in range(pairs):
        random.shuffle(order)
        for name in order:
            seconds[name].append(seconds_of(engines[name], sample.tasks)[0])
    better = min(("fused", "serial"), key=lambda name: statistics.median(seconds[name]))
    ratios = [fixed / own for own, fixed in zip(seconds["adaptive"], seconds[better], strict=True)]
    ratio, low, high = median_interval(ratios)
    rates = {
        name: round(sample.bytes / statistics.median(own) / 1e6) for name, own in seconds.items()
    }
    print(
        f"{corpus.name:16} adaptive / {better}: {ratio:.3f} [{low:.3f}, {high:.3f}] of {pairs} "
        f"pairs; MB/s of a processor: {rates}"
    )
    return {
        "corpus": corpus.name,
        "bytes": sample.bytes,
        "findings": found.pop(),
        "MB/s of a processor": rates,
        "better": better,
        "adaptive / better": [round(each, 3) for each in (ratio, low, high)],
        "pairs": pairs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--rules")
    parser.add_argument("--pairs", type=int, default=21)
    parser.add_argument("--bytes", default="16M")
    parser.add_argument("--commit")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    if options.pairs < LEAST_PAIRS:
        parser.error(f"--pairs: at least {LEAST_PAIRS}")
    pack = RulePack.load(options.rules).data if options.rules else RulePack.builtin().data
    most = SIZE.convert(options.bytes, None, None)
    lines = [compared(pack, corpus, most, options.pairs) for corpus in options.corpora]
    if options.record:
        append("adaptive_cpu.jsonl", {**run_facts(options.commit, options.rules), "corpora": lines})
    if any(line["adaptive / better"][2] < 0.99 for line in lines):
        raise SystemExit("adaptive is shown to be slower than 0.99 of the better fixed mode")


if __name__ == "__main__":
    main()
