"""How many positions of real text a pack's tables look at twice: bitmap hits, exact candidates, automaton steps.

    python benchmarks/anchor_rates.py PACK TREE [TREE ...] [--sample-mb 24] [--worst 12] [--record]

PACK: whatever `vyre-dist scan --rules` takes. Of each tree a fixed pseudo-random sample of whole files is read. Percentages
are of all positions, also where only every `stride`-th of them is looked at. With --record a JSON line goes to
benchmarks/results/anchor_rates.jsonl.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import hashlib
import json
import os
import platform
import random
import resource
import time
from pathlib import Path

import numpy as np

from vyre_dist import regex as rx
from vyre_dist.compiler import CompiledTables, compile_tables, execute
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import bitmap_places, exact_candidates, probed
from vyre_dist.rules import RulePack


def sample(tree: str, megabytes: float) -> list[bytes]:
    """Whole files in a fixed random order, `megabytes` of them."""
    paths = sorted(
        path
        for folder, _, names in os.walk(tree)
        for name in names
        if os.path.isfile(path := os.path.join(folder, name)) and not os.path.islink(path)
    )
    random.Random(7).shuffle(paths)
    documents: list[bytes] = []
    size = 0.0
    for path in paths:
        if size >= megabytes * 1e6:
            break
        documents.append(Path(path).read_bytes())
        size += len(documents[-1])
    return documents


def measure(
    compiled: CompiledTables, ids: list[str], tree: str, megabytes: float, worst: int
) -> dict[str, object]:
    """The tree's numbers, printed and as a record."""
    tables = compiled.tables
    documents = sample(tree, megabytes)
    positions = bitmap = exact_places = exact_pairs = probed_places = probed_pairs = steps = confirmed = 0
    by_rule: collections.Counter[str] = collections.Counter()
    for document in documents:
        arena = Arena.pack([document])
        hits = bitmap_places(tables, arena.data)
        exact = exact_candidates(tables, arena, hits)
        left = probed(tables, arena, exact)
        positions += len(document)
        bitmap += hits.size
        exact_places += np.unique(exact.places).size
        exact_pairs += exact.places.size
        probed_places += np.unique(left.places).size
        probed_pairs += left.places.size
        rules = tables.entries["rule"][left.entries]
        for rule, count in zip(*np.unique(rules, return_counts=True), strict=True):
            by_rule[ids[rule]] += int(count)
    for document in documents[: max(1, len(documents) // 8)]:
        verdicts = execute(tables, document)
        steps += verdicts.steps
        confirmed += len(verdicts.confirmed)
    record = {
        "tree": os.path.basename(os.path.normpath(tree)),
        "files": len(documents),
        "bytes": positions,
        "sha256": hashlib.sha256(b"".join(documents)).hexdigest()[:16],
        "bitmap_percent": round(100 * bitmap / positions, 4),
        "exact_percent": round(100 * exact_places / positions, 4),
        "exact_pairs_percent": round(100 * exact_pairs / positions, 4),
        "probed_percent": round(100 * probed_places / positions, 4),
        "probed_pairs_percent": round(100 * probed_pairs / positions, 4),
        "expected_bitmap_percent": round(100 * tables.expected_hits / tables.stride, 4),
    }
    print(json.dumps(record, indent=1))
    print(f"an eighth of the files: {steps} automaton steps from anchors, {confirmed} confirmed")
    for rule, count in by_rule.most_common(worst):
        print(f"  {count / positions:.2e} {rule}")
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pack")
    parser.add_argument("trees", nargs="+")
    parser.add_argument("--sample-mb", type=float, default=24)
    parser.add_argument("--worst", type=int, default=12)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()

    pack = RulePack.load(args.pack)
    regexes = [(rule.id, rule.regex) for rule in pack.rules if rule.regex is not None]
    began = time.perf_counter()
    compiled = compile_tables([rx.parse(regex).root for _, regex in regexes])
    seconds = time.perf_counter() - began
    summary = {
        "pack": os.path.basename(args.pack),
        "rules": len(regexes),
        "routes": compiled.route_counts(),
        "stride": compiled.tables.stride,
        "grams": int(compiled.tables.grams.size),
        "table_bytes": compiled.tables.nbytes,
        "compile_s": round(seconds, 2),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }
    print(json.dumps(summary, indent=1))
    for tree in args.trees:
        record = measure(compiled, [i for i, _ in regexes], tree, args.sample_mb, args.worst)
        if args.record:
            stamp = {
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                "python": platform.python_version(),
            }
            with (Path(__file__).parent / "results" / "anchor_rates.jsonl").open("a") as file:
                file.write(json.dumps({**stamp, **summary, **record}) + "\n")


if __name__ == "__main__":
    main()
