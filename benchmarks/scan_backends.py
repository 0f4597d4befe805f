"""How fast is `vyre-dist scan`, as a user starts it, on the GPU and on the processors? One command,
one run.

    python benchmarks/scan_backends.py --sample SAMPLE --rules PACK [--copies 8] [--trees "big
    files"]
                                        [--workers 4 16] [--ray] [--record]

SAMPLE is gpu_scan.py's. It is written out as trees: its files, 50 to a folder, `copies` times, and
the same text in files of 256 MiB. Each is scanned from the page cache by either backend with so
many workers, process start included; `--ray` adds one Ray cluster of this machine with a worker for
each GPU. All must give the same findings. Appends a JSON line to
benchmarks/results/scan_backends.jsonl with --record.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from corpus import read_sample
from results_file import append, run_facts

TREES = ("files", "big files")
BIG_FILE_BYTES = 256 << 20
FOLDER_FILES = 50


def write_files(tree: Path, paths: list[str], documents: list[bytes], copies: int) -> None:
    """The sample's files, 50 to a folder; all but the first copies are links, so that many fit the
    page cache.
    """
    for copy in range(copies):
        for number, (path, text) in enumerate(zip(paths, documents, strict=True)):
            file = tree / f"{copy}-{number // FOLDER_FILES}" / f"{number}-{Path(path).name}"
            file.parent.mkdir(parents=True, exist_ok=True)
            if copy:
                file.hardlink_to(tree / f"0-{number // FOLDER_FILES}" / file.name)
            else:
                file.write_bytes(text)


def write_big_files(tree: Path, documents: list[bytes], copies: int) -> None:
    """As much text in files of 256 MiB, linked likewise."""
    tree.mkdir()
    whole = b"\n".join(documents)
    first = tree / "0.txt"
    first.write_bytes((whole * (1 + BIG_FILE_BYTES // len(whole)))[:BIG_FILE_BYTES])
    for copy in range(1, copies * len(whole) // BIG_FILE_BYTES):
        (tree / f"{copy}.txt").hardlink_to(first)


def write_tree(name: str, root: Path, sample: str, copies: int) -> Path:
    """Where it is."""
    paths, documents = read_sample(sample)
    tree = root / name.replace(" ", "-")
    if name == "files":
        write_files(tree, paths, documents, copies)
    else:
        write_big_files(tree, documents, copies)
    return tree


def size_of(tree: Path) -> tuple[int, int]:
    """(files, bytes)."""
    sizes = [file.stat().st_size for file in tree.rglob("*") if file.is_file()]
    return len(sizes), sum(sizes)


def scan(tree: Path, rules: str, more: list[str], cache: str) -> tuple[float, dict[str, Any], str]:
    """(seconds from start to end, the run's report, a digest of the findings)."""
    with tempfile.TemporaryDirectory() as folder:
        found, report = Path(folder) / "found", Path(folder) / "report"
        command = [
            sys.executable,
            "-m",
            "vyre_dist",
            "scan",
            str(tree),
            "--rules",
            rules,
            "--cache-dir",
            cache,
        ]
        command += [
            "--format",
            f"jsonl={found}",
            "--report",
            str(report),
            "--progress",
            "never",
            "--store",
            "memory:",
        ]
        began = time.perf_counter()
        done = subprocess.run([*command, *more], capture_output=True, text=True)
        seconds = time.perf_counter() - began
        if done.returncode not in (0, 1):
            raise SystemExit(
                f"{' '.join(more)}: exit code {done.returncode}\n{done.stderr[-2000:]}"
            )
        lines = sorted(
            line for line in found.read_text().splitlines() if '"type":"finding"' in line
        )
        return (
            seconds,
            json.loads(report.read_text()),
            hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16],
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sample", required=True)
    parser.add_argument("--rules", required=True)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument(
        "--trees", nargs="+", choices=TREES, default=TREES, metavar="TREE", help="default: both"
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[len(os.sched_getaffinity(0))])
    parser.add_argument("--backends", nargs="+", default=["cpu", "cuda"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument(
        "--commit", help="what is recorded as the state of the code (default: what git says)"
    )
    args = parser.parse_args()
    settings = [
        (
            f"{backend}, {workers} processes",
            ["--backend", backend, "--workers", str(workers), "--pool", "local"],
        )
        for backend in args.backends
        for workers in args.workers
    ]
    if args.ray:
        settings.append(("Ray, a worker for each GPU", ["--pool", "ray", "--address", "local"]))
    record: dict[str, Any] = {**run_facts(args.commit, args.rules), "trees": {}}
    root = Path(tempfile.mkdtemp())
    try:
        for name in args.trees:
            tree = write_tree(name, root, args.sample, args.copies)
            files, size = size_of(tree)
            print(f"{name}: {files} files, {size / 1e9:.2f} GB")
            rows: dict[str, Any] = {}
            answers = set()
            for label, more in settings:
                times = []
                for _ in range(1 + args.rounds):  # the first one compiles, and reads the tree
                    seconds, report, digest = scan(tree, args.rules, more, str(root / "cache"))
                    times.append(seconds)
                    answers.add(digest)
                best = min(times[1:])
                rows[label] = {"seconds": round(best, 2), "GB/s": round(size / best / 1e9, 2)}
                findings = report["findings"]
                print(
                    f"  {label:30} {best:6.2f} s  {size / best / 1e9:6.2f} GB/s, {findings} "
                    "findings",
                    flush=True,
                )
            if len(answers) != 1:
                raise SystemExit(f"the scans of {name} found different things")
            record["trees"][name] = {"files": files, "bytes": size, **rows}
    finally:
        shutil.rmtree(root)
    if args.record:
        append("scan_backends.jsonl", record)


if __name__ == "__main__":
    main()
