"""How many positions of real text a pack's tables look at twice: bitmap hits, windows, exact
candidates, automaton steps.

    python benchmarks/anchor_rates.py PACK TREE [TREE ...] [--sample-mb 24] [--worst 12] [--record]

PACK: whatever `vyre-dist scan --rules` takes. Of each tree a fixed pseudo-random sample of whole
files is read. Percentages are of all positions, also where only every `stride`-th of them is looked
at. By gram: places whose four bytes are those of a rule's window. By whole window: those whose
bytes around it (probes) are in their classes as well, the exact candidates that automata start
from. Each rule's share is counted on its own; rules that share places count them each. With
--record a JSON line for each tree goes to benchmarks/results/anchor_rates.jsonl.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import hashlib
import json
import os
import platform
import resource
import time
from pathlib import Path

import numpy as np
from corpus import sampled_files

from vyre_dist import regex as rx
from vyre_dist.compiler import CompiledTables, PackTables, compile_tables, execute_arena
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import Candidates, bitmap_positions, gram_candidates, probed
from vyre_dist.rules import RulePack

RECORDED_RULES = 5


def measure(
    compiled: CompiledTables, ids: list[str], tree: str, megabytes: float, worst: int
) -> dict[str, object]:
    """The tree's numbers, printed and as a record."""
    tables = compiled.tables
    documents = [text for _, text in sampled_files(tree, megabytes)]
    positions = sum(map(len, documents))
    bitmap = steps = confirmed = 0
    by_gram, by_whole_window = Stage(), Stage()
    for document in documents:
        arena = Arena.lay_out([document])
        hits = bitmap_positions(tables, arena.data)
        bitmap += hits.size
        found = gram_candidates(tables, arena, hits)
        by_gram.add(tables, found)
        by_whole_window.add(tables, probed(tables, arena, found))
    for document in documents[: max(1, len(documents) // 8)]:
        arena = Arena.lay_out([document])
        result = execute_arena(tables, arena, tile_bytes=1 << 62)
        steps += result.steps
        confirmed += len(result.confirmed)
    record = {
        "tree": os.path.basename(os.path.normpath(tree)),
        "files": len(documents),
        "bytes": positions,
        "sha256": hashlib.sha256(b"".join(documents)).hexdigest()[:16],
        "bitmap_percent": round(100 * bitmap / positions, 4),
        "expected_bitmap_percent": round(100 * tables.expected_hits / tables.stride, 4),
        "by_gram": by_gram.record(ids, positions),
        "by_whole_window": by_whole_window.record(ids, positions),
    }
    print(
        json.dumps(
            {key: value for key, value in record.items() if not isinstance(value, dict)}, indent=1
        )
    )
    by_gram.show("by gram", ids, positions, worst)
    by_whole_window.show("by whole window (exact candidates)", ids, positions, worst)
    print(f"an eighth of the files: {steps} automaton steps from anchors, {confirmed} confirmed\n")
    return record


class Stage:
    """What is left by one stage. Places count once, (place, entry) pairs for each rule and pivot
    that they lead to.
    """

    def __init__(self) -> None:
        self.places = self.pairs = 0
        self.by_rule: collections.Counter[int] = collections.Counter()

    def add(self, tables: PackTables, found: Candidates) -> None:
        """Count one document's."""
        self.places += int(np.unique(found.positions).size)
        self.pairs += int(found.positions.size)
        rules = tables.entries["rule"][found.entries]
        for rule in np.unique(rules).tolist():
            self.by_rule[rule] += int(np.unique(found.positions[rules == rule]).size)

    def record(self, ids: list[str], positions: int) -> dict[str, object]:
        """Percentages of positions, those of the heaviest rules by name."""
        worst = self.by_rule.most_common(RECORDED_RULES)
        heaviest = {ids[rule]: percent(count, positions) for rule, count in worst}
        return {
            "percent": percent(self.places, positions),
            "pairs_percent": percent(self.pairs, positions),
            "heaviest_percent": heaviest,
        }

    def show(self, name: str, ids: list[str], positions: int, worst: int) -> None:
        """Print the same, with each rule's share of all places."""
        print(f"{name}: {percent(self.places, positions):.4f} % of positions; the heaviest rules:")
        for rule, count in self.by_rule.most_common(worst):
            share = f"{100 * count / self.places:.0f} % of them"
            print(f"  {percent(count, positions):8.4f} %  {share:>12}  {ids[rule]}")


def percent(count: int, positions: int) -> float:
    """How many of a hundred, to four places."""
    return round(100 * count / positions, 4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
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
