"""Does `vyre-dist scan` give exactly google-re2's findings? One command, over a real tree, for
every pool and shard size.

    python benchmarks/compare_with_re2.py PACK TREE [--pools local,ray] [--workers 1,2] [--shards
    64K,64M]

The oracle here shares nothing with the scanner but the pack's loader and its filters (keyword
filter, entropy, allowlists): each file is read whole, each rule's regex goes to google-re2 as it
stands in the pack, `finditer` gives the matches, and lines are counted from the file. Differences
are printed one by one; the exit code is 0 only without any.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import re2

from vyre_dist.document_paths import written_path
from vyre_dist.program import DEFAULT_MAX_MATCH_BYTES
from vyre_dist.rules import CompiledFilters, RulePack

Row = tuple[str, str, int, int, int, int]
"""(path, rule id, start, end, line, column)"""


def files_below(tree: str) -> list[str]:
    """Every regular file below `tree`, `.git` left out; links are not followed."""
    found = []
    for folder, folders, names in os.walk(tree):
        folders[:] = [d for d in folders if d != ".git"]
        found += [
            p
            for n in names
            if not os.path.islink(p := os.path.join(folder, n)) and os.path.isfile(p)
        ]
    return found


def oracle_of(pack_path: str, paths: list[str]) -> list[Row]:
    """The findings in `paths`, by google-re2 over whole files."""
    pack = RulePack.load(pack_path)
    filters = CompiledFilters(pack)
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = 256 << 20
    compiled = [re2._Regexp(r.regex.encode(), options) if r.regex else None for r in pack.rules]
    rows: list[Row] = []
    for on_disk in paths:
        path = written_path(on_disk)
        if filters.document_skipped(path):
            continue
        with open(on_disk, "rb") as f:
            data = f.read()
        lowered = data.lower()
        for index, rule in enumerate(pack.rules):
            regexp = compiled[index]
            if regexp is None:
                if filters.rule_applies_to_path(index, path):
                    rows.append((path, rule.id, 0, 0, 0, 0))
            elif filters.has_keyword(index, lowered) and filters.rule_applies_to_path(index, path):
                for start, end, groups in matches(regexp, data):
                    lines = partial(line, data, start, end)
                    if filters.judge(index, path, data[start:end], groups, lines):
                        rows.append((path, rule.id, start, end, *position(data, start)))
    return rows


def oracle(pack: str, paths: list[str]) -> tuple[list[Row], float]:
    """(the findings in all files, seconds), on all processors."""
    began = time.perf_counter()
    cores = len(os.sched_getaffinity(0))
    turns = cores * 8
    with ProcessPoolExecutor(cores) as executor:
        lists = executor.map(oracle_of, [pack] * turns, [paths[i::turns] for i in range(turns)])
        rows = sorted(row for rows in lists for row in rows)
    return rows, time.perf_counter() - began


def matches(
    regexp: re2._Regexp, data: bytes
) -> Iterator[tuple[int, int, tuple[bytes | None, ...]]]:
    """google-re2's matches; one longer than the documented cap is cut to the best that fits."""
    pos = 0
    while (found := regexp.search(data, pos)) is not None:
        start, end = found.span()
        if end - start > DEFAULT_MAX_MATCH_BYTES:
            found = regexp.match(data, start, start + DEFAULT_MAX_MATCH_BYTES)
            if found is None:
                pos = start + 1
                continue
            end = found.end()
        if start != end:  # no rule of a real pack reports nothing
            yield start, end, found.groups()
        pos = end if end > pos else pos + 1


def line(data: bytes, start: int, end: int) -> bytes:
    """The lines that a match lies on."""
    stop = data.find(b"\n", end)
    return data[data.rfind(b"\n", 0, start) + 1 : len(data) if stop < 0 else stop]


def position(data: bytes, offset: int) -> tuple[int, int]:
    """(line, column), from 1."""
    return data.count(b"\n", 0, offset) + 1, offset - data.rfind(b"\n", 0, offset)


def scan(
    pack: str, tree: str, pool: str, workers: int, shard: str, extra: list[str]
) -> tuple[list[Row], float]:
    """What the command line finds."""
    command = [
        sys.executable,
        "-m",
        "vyre_dist",
        "scan",
        tree,
        "--rules",
        pack,
        "--format",
        "jsonl",
    ]
    command += [
        "--pool",
        pool,
        "--workers",
        str(workers),
        "--shard-size",
        shard,
        "--no-gitignore",
        *extra,
    ]
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    seconds = time.perf_counter() - began
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}")
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    if not lines or lines[-1]["type"] != "summary" or not lines[-1]["complete"]:
        raise SystemExit(f"{' '.join(command)}: no complete summary")
    rows = [
        (f["path"], f["rule_id"], f["start"], f["end"], f["line"], f["column"])
        for f in lines
        if f["type"] == "finding"
    ]
    return rows, seconds


def main() -> int:
    """Compare, print a line for each configuration, return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pack")
    parser.add_argument("tree")
    parser.add_argument("--pools", default="local,ray")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--shards", default="64K,64M")
    parser.add_argument("--backend", default="cpu")
    args = parser.parse_args()
    paths = files_below(args.tree)
    expected, seconds = oracle(args.pack, paths)
    print(
        f"google-re2: {len(expected)} findings in {len(paths)} files, {seconds:.1f} s", flush=True
    )
    different = 0
    for pool in args.pools.split(","):
        for workers in args.workers.split(","):
            for shard in args.shards.split(","):
                rows, seconds = scan(
                    args.pack, args.tree, pool, int(workers), shard, ["--backend", args.backend]
                )
                missing, added = set(expected) - set(rows), set(rows) - set(expected)
                doubled = len(rows) - len(set(rows))
                different += len(missing) + len(added) + doubled
                print(
                    f"{pool:5} workers {workers} shard {shard:>4}: {len(rows)} findings, "
                    f"{len(missing)} missing, "
                    f"{len(added)} added, {doubled} doubled, {seconds:.1f} s"
                )
                for sign, some in (("-", missing), ("+", added)):
                    for row in sorted(some)[:10]:
                        print("   ", sign, row)
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
