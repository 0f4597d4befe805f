"""How fast is `vyre-dist scan` on this machine's processors? One command, every figure from the
same run.

    python benchmarks/scan_cpu.py TREE [--rules PACK] [--workers N] [--rounds 3]

For a tree and a pack: the reader alone (open and read every file), Hyperscan alone on the same
files with all of the pack's regexes, both as a C program if a compiler and Debian's
libhyperscan-dev are there, and from Python with the PyPI wheel; then `scan` as a user runs it,
process start included; and kingfisher if it is on PATH. The page cache is warmed first. The answer
is checked before a time is printed: every round must give the same findings, and as many (file,
rule) pairs must have raw matches as Hyperscan saw. Appends one JSON line to
benchmarks/results/scan_cpu.jsonl.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path

import hyperscan
import yaml

from vyre_dist.program import compile_pack
from vyre_dist.rules import RulePack
from vyre_dist.sources import DocumentRef, walk

HERE = Path(__file__).parent
OURS = "vyre-dist scan, from the shell"


def read_files(paths: list[str]) -> int:
    """Open and read every file; the bytes."""
    total = 0
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        total += len(os.read(fd, os.fstat(fd).st_size + 1))
        os.close(fd)
    return total


def wheel_scan(paths: list[str], patterns: list[tuple[int, bytes]]) -> int:
    """Read every file and scan it with the PyPI wheel's Hyperscan; the (file, rule) hits."""
    database = hyperscan.Database()
    database.compile(
        expressions=[p for _, p in patterns],
        ids=[i for i, _ in patterns],
        elements=len(patterns),
        flags=hyperscan.HS_FLAG_SINGLEMATCH,
    )
    hits: list[int] = []

    def on_match(rule: int, *_: object) -> None:
        hits.append(rule)

    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        data = os.read(fd, os.fstat(fd).st_size + 1)
        os.close(fd)
        if data:
            database.scan(data, match_event_handler=on_match)
    return len(hits)


def in_processes(
    function: Callable[..., int], paths: list[str], workers: int, *more: object
) -> tuple[float, int]:
    """(seconds, sum) of `function` over `workers` processes; starting and compiling included."""
    began = time.perf_counter()
    with get_context("fork").Pool(workers) as pool:
        parts = [pool.apply_async(function, (paths[i::workers], *more)) for i in range(workers)]
        total = sum(part.get() for part in parts)
        pool.close()
        pool.join()  # and their processor time can be told
    return time.perf_counter() - began, total


def build_harness(folder: Path) -> Path | None:
    """The C peer, if it can be built here."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    binary = folder / "harness"
    source = HERE / "peers" / "hyperscan_harness.c"
    done = subprocess.run(
        [compiler, "-O2", "-o", binary, source, "-lhs"], capture_output=True, check=False
    )
    return binary if done.returncode == 0 else None


def kingfisher_rules(rules: str, folder: Path) -> Path:
    """The pack's regexes as kingfisher reads them, with nothing else of the pack but its
    entropies.
    """
    listed = [
        {
            "name": rule.id,
            "id": f"peer.{rule.id.replace('_', '-')}.1",
            "pattern": rule.regex,
            "min_entropy": float(rule.entropy or 0),
            "confidence": "low",
            "examples": [],
        }
        for rule in RulePack.load(rules)
        if rule.regex is not None
    ]
    target = folder / "rules"
    target.mkdir()
    (target / "peer.yml").write_text(yaml.safe_dump({"rules": listed}))
    return target


def kingfisher(program: str, tree: str, rules: Path, workers: int) -> float:
    """Seconds of a whole kingfisher run with these rules, validation and archives off."""
    command = [
        program,
        "scan",
        tree,
        "--rules-path",
        str(rules),
        "--load-builtins=false",
        "--no-validate",
    ]
    command += [
        "-c",
        "low",
        "--git-history",
        "none",
        "--no-extract-archives",
        "-f",
        "jsonl",
        "-j",
        str(workers),
    ]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)
    seconds = time.perf_counter() - began
    # 0 nothing found, 200 findings
    if done.returncode not in (0, 200):
        raise SystemExit(
            f"kingfisher: exit code {done.returncode}: "
            f"{done.stderr[-500:].decode(errors='replace')}"
        )
    return seconds


def scan(tree: str, rules: str, workers: int) -> tuple[float, str, dict[str, object]]:
    """(seconds from the shell's point of view, a hash of the findings, the summary).

    Bytecode is kept between runs, as pip keeps it for an installed package: a developer's
    environment may say otherwise.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [
        sys.executable,
        "-m",
        "vyre_dist",
        "scan",
        tree,
        "--rules",
        rules,
        "--workers",
        str(workers),
    ]
    command += ["--format", "jsonl", "--progress", "never"]
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, env=environment)
    seconds = time.perf_counter() - began
    lines = done.stdout.splitlines()
    summary = json.loads(lines[-1])
    if not summary["complete"]:
        raise SystemExit(f"incomplete: {summary['problems'][:3]}")
    return seconds, hashlib.sha256(b"\n".join(lines[:-1])).hexdigest(), summary


def busy() -> float:
    """The seconds that processors were busy with what this process has started and seen end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Measure, print a table, append the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tree")
    parser.add_argument("--rules", default="builtin")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "scan_cpu.jsonl")
    args = parser.parse_args()

    compiled = compile_pack(RulePack.load(args.rules).data)
    patterns = [(r.index, r.candidate_pattern) for r in compiled.rules if r.min_width]
    paths = [d.location() for d in walk([args.tree]) if isinstance(d, DocumentRef)]
    size = read_files(paths)  # warms the page cache
    scan(args.tree, args.rules, args.workers)  # and our own
    seconds: dict[str, list[float]] = {}
    processor: dict[str, list[float]] = {}
    before = 0.0

    def took(name: str, taken: float) -> None:
        """Note a round of what has just ended, which is all that ran since the one before."""
        nonlocal before
        now = busy()
        seconds.setdefault(name, []).append(taken)
        processor.setdefault(name, []).append(now - before)
        before = now

    hits: dict[str, int] = {}
    digests = set()
    with tempfile.TemporaryDirectory() as folder:
        harness = build_harness(Path(folder))
        (Path(folder) / "patterns").write_bytes(b"".join(b"%d\t%b\n" % p for p in patterns))
        (Path(folder) / "files").write_bytes(b"".join(os.fsencode(p) + b"\0" for p in paths))
        program = shutil.which("kingfisher")
        peer_rules = kingfisher_rules(args.rules, Path(folder)) if program else Path()
        before = busy()
        for _ in range(args.rounds):
            # in turn, so that a machine whose speed drifts treats all alike
            if harness:
                for mode, name in (
                    ("read", "reader alone (C)"),
                    ("scan", "Hyperscan alone (C, Debian's library)"),
                ):
                    command = [
                        harness,
                        f"{folder}/patterns",
                        f"{folder}/files",
                        str(args.workers),
                        mode,
                    ]
                    out = subprocess.run(
                        command, capture_output=True, check=True, text=True
                    ).stdout.split()
                    took(name, float(out[2]))
                    if mode == "scan":
                        hits[name] = int(out[1])
            if program:
                name = "kingfisher, from the shell"
                took(name, kingfisher(program, args.tree, peer_rules, args.workers))
            taken, total = in_processes(read_files, paths, args.workers)
            assert total == size
            took("reader alone (Python)", taken)
            taken, total = in_processes(wheel_scan, paths, args.workers, patterns)
            name = "Hyperscan alone (Python, PyPI's wheel)"
            took(name, taken)
            hits[name] = total
            taken, digest, summary = scan(args.tree, args.rules, args.workers)
            took(OURS, taken)
            digests.add(digest)
    if len(digests) != 1 or len(set(hits.values())) != 1:
        raise SystemExit(
            f"answers differ: {len(digests)} sets of findings, Hyperscan's hits {hits}"
        )
    ours, ours_busy = statistics.median(seconds[OURS]), statistics.median(processor[OURS])
    print(
        f"{args.tree}: {len(paths)} files, {size / 1e6:.0f} MB; {len(compiled.rules)} regexes; "
        f"{args.workers} workers"
    )
    print(f"{'':42} {'seconds':>8} {'MB/s':>8} {'scan is':>9} {'busy':>8} {'scan is':>9}")
    for name, times in seconds.items():
        median = statistics.median(times)
        held = statistics.median(processor[name])
        print(
            f"{name:42} {median:8.2f} {size / median / 1e6:8.0f} {median / ours:8.2f}× {held:8.2f} "
            f"{held / ours_busy:8.2f}×"
        )
    print(
        f"findings: {summary['findings']}; rounds: {args.rounds}, medians; the page cache was "
        "warm; busy: seconds of processors, where Hyperscan alone compiles its patterns, too"
    )
    record = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            cwd=HERE,
            check=False,
        ).stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "versions": {name: metadata.version(name) for name in ("hyperscan", "google-re2")}
        | {"python": platform.python_version()},
        "tree": Path(args.tree).name,
        "corpus": hashlib.sha256(
            b"\0".join(os.fsencode(os.path.relpath(p, args.tree)) for p in paths)
        ).hexdigest()[:16],
        "rules": Path(args.rules).name,
        "regexes": len(compiled.rules),
        "files": len(paths),
        "bytes": size,
        "workers": args.workers,
        "findings": summary["findings"],
        "seconds": {name: [round(t, 3) for t in times] for name, times in seconds.items()},
        "processor_seconds": {
            name: [round(t, 3) for t in times] for name, times in processor.items()
        },
    }
    args.results.parent.mkdir(exist_ok=True)
    with args.results.open("a") as f:
        f.write(json.dumps(record) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
