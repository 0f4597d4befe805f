"""Do cold runs of `vyre-dist autotune tune` agree? On the same files, and on samples of a tree.

    python benchmarks/autotune_runs.py TREE [--rules PACK] [--runs 20] [--samples 10] [--share 0.5]
        [--backend cpu] [--record]

Each run is a process of its own with an empty store. Two runs agree on a class if they have the
same winner, or if the intervals of their winners' ratios overlap: then neither has shown that its
own is better. A sample is that share of the tree's files, chosen at random. Prints, for each class,
the winners and their ratios; ends with 1 if any two runs differ. `--record` appends a line to
benchmarks/results/autotune_runs.jsonl.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results_file import append, run_facts

from vyre_dist.sources import DocumentRef, walk

Result = dict[str, Any]


def tuned(places: Sequence[Path], rules: str | None, backend: str, folder: Path) -> list[Result]:
    """What a cold run prints, a result for each class. `folder`: keeps compiled rules."""
    with tempfile.TemporaryDirectory(dir=folder) as empty:
        command = [
            sys.executable,
            "-m",
            "vyre_dist",
            "autotune",
            "tune",
            *([rules] if rules else []),
        ]
        command += [arg for place in places for arg in ("--on", str(place))]
        command += ["--backend", backend, "--json", "--cache-dir", str(folder / "cache")]
        command += ["--store", f"sqlite://{empty}/store.sqlite3"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}: {done.stderr[-500:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def sampled(files: Sequence[str], tree: Path, share: float, seed: int, folder: Path) -> Path:
    """A folder with copies of a random share of the files."""
    target = folder / f"sample-{seed}"
    for name in random.Random(seed).sample(files, max(1, int(len(files) * share))):
        copy = target / Path(name).relative_to(tree)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(name, copy)
    return target


def agree(one: Result, other: Result) -> bool:
    """Whether they have the same winner, or neither has shown its own to be the better one."""
    if one["choice"] == other["choice"] or None in (one["ratio"], other["ratio"]):
        return True
    return bool(one["low"] <= other["high"] and other["low"] <= one["high"])


def told(title: str, runs: Sequence[list[Result]]) -> dict[str, Any]:
    """Print and return how far they agree, for each class."""
    classes: dict[str, list[Result]] = defaultdict(list)
    for results in runs:
        for each in results:
            classes[f"{each['backend']} {each['workload']}"].append(each)
    out: dict[str, Any] = {}
    for name, results in sorted(classes.items()):
        winners = Counter(json.dumps(each["choice"]) for each in results)
        pairs = list(itertools.combinations(results, 2))
        differ = sum(not agree(one, other) for one, other in pairs)
        ratios = sorted(each["ratio"] for each in results if each["ratio"] is not None)
        out[name] = {
            "runs": len(results),
            "winners": dict(winners.most_common()),
            "pairs of runs that differ": differ,
            "ratios": [round(ratio, 3) for ratio in (ratios[0], ratios[-1])] if ratios else [],
            "fewest pairs": min(c["pairs"] for each in results for c in each["compared"]),
        }
        shown = ", ".join(f"{winner} {n}" for winner, n in winners.most_common())
        print(f"{title}, {name}: {len(results)} runs: {shown}; {differ} of {len(pairs)} differ")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tree", type=Path)
    parser.add_argument("--rules")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--commit")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    tree: Path = options.tree
    files = [ref.path for ref in walk([str(tree)]) if isinstance(ref, DocumentRef)]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        arguments = options.rules, options.backend, folder
        same = [tuned([tree], *arguments) for _ in range(options.runs)]
        results = {"same files": told("the same files", same)}
        samples = [
            tuned([sampled(files, tree, options.share, seed, folder)], *arguments)
            for seed in range(options.samples)
        ]
        results["samples"] = told("samples", samples)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    record = {
        **run_facts(options.commit, options.rules),
        "tree": tree.name,
        "files": len(files),
        "share": options.share,
        "processor seconds": round(used.ru_utime + used.ru_stime, 1),
        **results,
    }
    if options.record:
        append("autotune_runs.jsonl", record)
    differ = sum(
        each["pairs of runs that differ"] for part in results.values() for each in part.values()
    )
    raise SystemExit(1 if differ else 0)


if __name__ == "__main__":
    main()
