"""How much longer does a scan of one file take with a GPU than without? One command, one run.

    python benchmarks/gpu_start.py [--rounds 11] [--most SECONDS] [--gpus N|LIST] [--record]

Scans one small file from the shell with each of cpu, cuda and auto, in turns, with a warm cache:
one round before the others compiles the pack and the GPU's programs. Prints the medians and their
differences to cpu's, how long NVIDIA's driver alone takes to show a GPU, and how long a process
takes until its GPU could scan. `--most`: exit code 1 if cuda's median is more than so much above
cpu's, or auto's more than a tenth of that. `--grow`: also scans 1, 2, 4, … GB (links of one file of
256 MiB) with each, and prints auto's ratio to the better of the other two. Appends a JSON line to
benchmarks/results/gpu_start.jsonl with --record.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from results_file import append, run_facts

BACKENDS = ("cpu", "cuda", "auto")
TEXT = "key = AKIAZ5GMXQ3RKV7HWN2T\n" * 100
BIG_FILE_BYTES = 256 << 20

LOOK = """
import time
began = time.perf_counter()
from vyre_dist.kernels.cuda import require_gpu
imported = time.perf_counter()
found = require_gpu()
print(found.device, time.perf_counter() - imported, imported - began, sep="|")
"""

READY = """
import sys, time
from vyre_dist.driver.gpu_devices import GpuDevice
from vyre_dist.driver.gpu_process import GpuProcess
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.engine.config import EngineConfig
from vyre_dist.program.packs import load_pack
from vyre_dist.program import ArtifactCache
folder = sys.argv[1]
pack, _ = load_pack((), ArtifactCache(folder))
spec = WorkerSpec(pack, EngineConfig("cuda", cache_dir=folder))
began = time.perf_counter()
process = GpuProcess(spec, GpuDevice(""), folder + "/socket", forks=True, alone=True)
process.start()
seen = None
while not process.ready and not process.gone:
    process.take_message()
    if process.promising and seen is None:
        seen = time.perf_counter() - began
print(seen, time.perf_counter() - began, process.gone, sep="|")
process.close()
"""


def scan(path: Path, folder: Path, backend: str, more: list[str]) -> tuple[float, dict[str, Any]]:
    """(seconds from start to end, the run's report)."""
    report = folder / "report.json"
    command = [sys.executable, "-P", "-m", "vyre_dist", "scan", str(path), "--backend", backend]
    command += ["--cache-dir", str(folder / "cache"), "--store", "memory:", "--pool", "local"]
    command += ["--report", str(report), "--progress", "never", "-o", str(folder / "found.jsonl")]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, *(more if backend != "cpu" else [])], capture_output=True, text=True, cwd=folder
    )
    seconds = time.perf_counter() - began
    if done.returncode not in (0, 1):
        raise SystemExit(f"{backend}: exit code {done.returncode}\n{done.stderr[-4000:]}")
    return seconds, json.loads(report.read_text())


def scanned(report: dict[str, Any]) -> dict[str, int]:
    """Bytes by backend."""
    found: dict[str, int] = {}
    for worker in report["workers_used"]:
        for name, size in worker["bytes_by_backend"].items():
            found[name] = found.get(name, 0) + size
    return found


def in_turns(
    path: Path, folder: Path, rounds: int, more: list[str]
) -> tuple[dict[str, list[float]], dict[str, dict[str, int]]]:
    """Seconds of each round and bytes by backend of the last one, for each backend. The first round
    is not counted.
    """
    times: dict[str, list[float]] = {backend: [] for backend in BACKENDS}
    by: dict[str, dict[str, int]] = {}
    findings = set()
    for turn in range(1 + rounds):
        for backend in BACKENDS[turn % 3 :] + BACKENDS[: turn % 3]:
            seconds, report = scan(path, folder, backend, more)
            findings.add(report["findings"])
            by[backend] = scanned(report)
            if turn:
                times[backend].append(seconds)
    if len(findings) != 1:
        raise SystemExit(f"the backends found different things: {findings}")
    return times, by


def child(program: str, *arguments: str) -> list[str]:
    """What a program of its own prints, in parts."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *arguments], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    return done.stdout.strip().split("|")


def grow(folder: Path, gigabytes: list[int], rounds: int, more: list[str]) -> dict[str, Any]:
    """auto's ratio to the better of the others, by size."""
    line = b"the quick brown fox jumps over 1234 lazy dogs; id=%d\n"
    text = b"".join(line % number for number in range(40_000))
    first = folder / "big"
    first.write_bytes((text * (1 + BIG_FILE_BYTES // len(text)))[:BIG_FILE_BYTES])
    rows = {}
    for size in gigabytes:
        tree = folder / f"tree{size}"
        tree.mkdir()
        for number in range(size << 30 >> 28):
            (tree / f"{number}.txt").hardlink_to(first)
        times, by = in_turns(tree, folder, rounds, more)
        best = {backend: min(own) for backend, own in times.items()}
        ratio = min(best["cpu"], best["cuda"]) / best["auto"]
        rows[str(size)] = {"seconds": times, "ratio": ratio, "auto": by["auto"]}
        print(
            f"  {size:4} GiB: "
            + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in best.items())
            + f"; auto is at {ratio:.2f} of the better one, {by['auto']}",
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--most", type=float)
    parser.add_argument("--gpus")
    parser.add_argument("--grow", type=int, nargs="*", default=[], metavar="GIB")
    parser.add_argument("--record", action="store_true")
    parser.add_argument(
        "--commit", help="what is recorded as the state of the code (default: what git says)"
    )
    args = parser.parse_args()
    more = [] if args.gpus is None else ["--gpus", args.gpus]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "text").write_text(TEXT)
        times, by = in_turns(folder / "text", folder, args.rounds, more)
        device, look, imports = child(LOOK)
        seen, ready, gone = child(READY, str(folder / "cache"))
        median = {backend: statistics.median(own) for backend, own in times.items()}
        for backend in BACKENDS:
            own = times[backend]
            print(
                f"  {backend:5} median {median[backend]:.3f} s ({min(own):.3f} to {max(own):.3f}), "
                f"{median[backend] - median['cpu']:+.3f} s; bytes {by[backend]}"
            )
        print(
            f"  {device}: a first look takes {float(look):.3f} s, with {float(imports):.3f} s of "
            f"imports; a process has it after {seen} s and is ready after {ready} s {gone}"
        )
        # in this folder, where the file's pages are in memory
        rows = grow(folder, args.grow, max(1, args.rounds // 4), more) if args.grow else {}
    more_than_cpu = {name: median[name] - median["cpu"] for name in ("cuda", "auto")}
    print(
        f"one file, {len(os.sched_getaffinity(0))} processors: cuda - cpu "
        f"{more_than_cpu['cuda']:.3f} s, auto - cpu {more_than_cpu['auto']:.3f} s"
    )
    if args.record:
        record = {
            **run_facts(args.commit, None),
            "device": device,
            "seconds": times,
            "more than cpu": more_than_cpu,
            "first look": float(look),
            "ready": [float(seen), float(ready)],
            "grow": rows,
        }
        append("gpu_start.jsonl", record)
    if args.most is not None and (
        more_than_cpu["cuda"] > args.most or more_than_cpu["auto"] > args.most / 10
    ):
        raise SystemExit(f"more than {args.most:g} s, or a tenth of it with auto")


if __name__ == "__main__":
    main()
