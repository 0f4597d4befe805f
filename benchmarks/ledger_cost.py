"""What a run directory costs a healthy scan: pairs of scans with --run-dir and without, in random
order.

    python benchmarks/ledger_cost.py TREE [--rules PACK] [--pairs 20] [--pieces FILE] [--record]

Both are the same command, from the start of Python on; without --run-dir the inputs include an
empty standard input, which can't be read again, so that there is no private directory either. Their
findings are compared. Printed are the median processor seconds of both, and the ratio of with to
without over all pairs, with a bootstrap interval (95 %, of 10 000 samples of the pairs) of the
geometric mean and of the median. What varies most is the workers' own work, so the last line has
what the driver alone takes more, as part of the whole. --pieces keeps the pairs in FILE, and adds
to those that are there, so that a long series can be run in pieces. With --record a JSON line goes
to benchmarks/results/ledger_cost.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from math import exp, log
from pathlib import Path
from statistics import fmean, median

from results_file import append, run_facts
from run_directory import LIMIT, adopt_orphans, findings, timed

_SAMPLES = 10_000


def interval(
    ratios: Sequence[float], middle: Callable[[Sequence[float]], float]
) -> tuple[float, float, float]:
    """(middle, low, high) of the pairs' ratios."""
    rng = random.Random(16)
    samples = sorted(
        [middle(rng.choices(ratios, k=len(ratios))) for _ in range(_SAMPLES if ratios else 0)]
    )
    return middle(ratios), samples[_SAMPLES // 40], samples[-_SAMPLES // 40]


def geometric(ratios: Sequence[float]) -> float:
    """The geometric mean."""
    return exp(fmean(map(log, ratios)))


def pair(folder: Path, scan: list[str], rng: random.Random) -> list[float]:
    """Processor seconds of a scan without and with --run-dir, of which the order is drawn; and
    those of their drivers alone.
    """
    shutil.rmtree(folder / "run", ignore_errors=True)
    kinds = {
        "without": [*scan, "jsonl=without", "-"],
        "with": [*scan, "jsonl=with", "--run-dir", "run"],
    }
    order = list(kinds)
    rng.shuffle(order)
    took = {kind: timed(kinds[kind], folder) for kind in order}
    if findings(folder / "with") != findings(folder / "without"):
        raise SystemExit("they found different things")
    return [took[kind][what] for what in ("processor", "driver") for kind in kinds]


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tree")
    parser.add_argument("--rules")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--pieces", type=Path)
    parser.add_argument("--commit")
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    rules = ["--rules", os.path.abspath(asked.rules)] if asked.rules else []
    kept: Path | None = asked.pieces
    pairs: list[list[float]] = []
    if kept is not None and kept.exists():
        pairs = [json.loads(line) for line in kept.read_text().splitlines()]
    rng = random.Random()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = ["scan", os.path.abspath(asked.tree), *rules, "--progress", "never"]
        scan += ["--store", "memory:", "--cache-dir", str(folder / "cache"), "-f"]
        timed([*scan, "jsonl=warm", "-"], folder)  # fills the caches
        for _ in range(asked.pairs):
            pairs.append(pair(folder, scan, rng))
            if kept is not None:
                with kept.open("a") as file:
                    file.write(json.dumps(pairs[-1]) + "\n")
    ratios = [with_run / without for without, with_run, *_ in pairs]
    # what a run directory adds to the driver, as part of all that the scan takes
    total = median([without for without, *_ in pairs])
    added = [1 + (b - a) / total for _, _, a, b in pairs]
    record: dict[str, object] = {
        **run_facts(asked.commit, asked.rules),
        "tree": os.path.basename(asked.tree),
        "pairs": pairs,
    }
    print(
        f"{len(pairs)} pairs; processor seconds: without {total:.2f}, with "
        f"{median([own[1] for own in pairs]):.2f}"
    )
    shown: list[tuple[str, Sequence[float], Callable[[Sequence[float]], float]]] = [
        ("geometric mean", ratios, geometric),
        ("median", ratios, median),
        ("1 + what the driver takes more", added, fmean),
    ]
    for name, values, middle in shown:
        at, low, high = interval(values, middle)
        record[name] = [round(each, 4) for each in (at, low, high)]
        print(f"ratio, {name}: {at:.4f} ({low:.4f} to {high:.4f}); {LIMIT} is allowed")
    if asked.record:
        append("ledger_cost.jsonl", record)


if __name__ == "__main__":
    main()
