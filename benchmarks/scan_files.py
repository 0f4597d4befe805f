"""How fast is `vyre-dist scan` from files to findings, against what bounds it? One command, one
run.

    python benchmarks/scan_files.py [--rules PACK] [--text TREE|SAMPLE] [--only PART ...]
                                    [--files big small] [--pools local ray] [--backends cpu cuda]
                                    [--gpus 1 2] [--workers 15 31] [--record] [--profile FOLDER]

Parts:
  slope  two sizes of tree: the difference in bytes for the difference in seconds, against the
         smaller of reading alone (as many processes) and pinned copies (to as many GPUs at once)
  start  a tree of one small file
  auto   trees from one file to --auto-gb: every backend, and `auto` against the better of the
         others

Trees are made in --folder (default: /dev/shm) of TEXT (default: Python's library; a sample is
gpu_scan.py's) with secrets planted in it: `big` files of 256 MiB, `small` ones of 17 kB in the
mean. Above --distinct-gb the files are hard links. Everything is in the page cache. Each scan is a
process from its start to its end, and its findings must be those that were planted before a time
counts. For --pools ray a cluster of this machine is started. Parts that need a GPU are left out
where there is none.

Each configuration's line is printed when it is done, and appended to
benchmarks/results/scan_files.jsonl with --record. --minutes: start no configuration later than
that; those that are left out are named. --profile: scan the larger tree of each configuration once
more, and say where its processes spend their time (benchmarks/sampling).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sysconfig
import tempfile
from pathlib import Path

from planted_trees import remove_tree
from scan_bench import Bench
from scan_command import visible_gpus
from scan_ratios import print_ratios

PREFIX = "vyre-scan-files-"
PARTS = ("start", "slope", "auto")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a memory file system, where there is one


def arguments() -> argparse.Namespace:
    """What this run is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    gpus = len(visible_gpus())
    processors = len(os.sched_getaffinity(0))
    parser.add_argument("--rules", help="default: everything built in")
    parser.add_argument("--text", default=sysconfig.get_paths()["stdlib"])
    parser.add_argument("--text-mb", type=float, default=64, help="so much of it (64)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--files", nargs="+", choices=("big", "small"), default=["big", "small"])
    parser.add_argument("--big-size", default="256M")
    parser.add_argument("--small-size", default="17k", help="the mean")
    parser.add_argument("--distinct-gb", type=float, default=8, help="of each kind (8)")
    parser.add_argument("--secret-mb", type=float, default=8, help="text for each secret (8)")
    parser.add_argument("--pools", nargs="+", choices=("local", "ray"), default=["local"])
    parser.add_argument(
        "--backends", nargs="+", default=["cpu", "cuda", "auto"] if gpus else ["cpu"]
    )
    parser.add_argument("--gpus", type=int, nargs="+", default=sorted({1, gpus} - {0}))
    parser.add_argument("--workers", type=int, nargs="+", default=[max(1, processors - 1)])
    parser.add_argument("--seconds", type=float, default=10, help="the least for a slope (10)")
    parser.add_argument("--most-gb", type=float, default=2000, help="the largest tree (2000)")
    parser.add_argument("--most-files", type=int, default=12_000_000, help="or (12 million)")
    parser.add_argument("--rounds", type=int, default=2, help="of every slope (2)")
    parser.add_argument("--start-rounds", type=int, default=5)
    parser.add_argument("--auto-gb", type=float, nargs="+", default=[0.01, 0.1, 1, 8, 64, 200])
    parser.add_argument("--folder", type=Path, help="where trees are made")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--record", action="store_true")
    parser.add_argument(
        "--commit", help="what is recorded as the state of the code (default: what git says)"
    )
    return parser.parse_args()


def roomy(args: argparse.Namespace) -> Path | None:
    """The shared memory's folder if it has room for the distinct files and as much again."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(SHARED_MEMORY).free > 2e9 * args.distinct_gb * len(args.files):
            return SHARED_MEMORY
    return None


def remove_root(root: Path) -> None:
    """All of a run's trees."""
    for tree in root.glob("*/*"):
        remove_tree(tree, len(os.sched_getaffinity(0)))
    shutil.rmtree(root, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """What killed runs have left in a folder."""
    for root in folder.glob(f"{PREFIX}*"):
        if not Path("/proc", root.name.removeprefix(PREFIX).partition("-")[0]).exists():
            print(f"{root}: left by a run that was killed; removed", flush=True)
            remove_root(root)


def main() -> None:
    args = arguments()
    if args.record and "slope" in args.only and args.seconds < 10:
        raise SystemExit("a recorded slope takes 10 s at least: --seconds")
    if given := os.environ.get("PYTHONPATH"):  # scans start in folders of their own
        os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, given.split(os.pathsep)))
    if args.folder:
        args.folder.mkdir(parents=True, exist_ok=True)
    for folder in {args.folder or SHARED_MEMORY, Path(tempfile.gettempdir())}:
        remove_leftovers(folder)
    # one that is ended by a limit of time leaves its trees to nobody
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=args.folder or roomy(args)))
    try:
        bench = Bench(args, root)
        for pool in args.pools:
            bench.pool(pool)
        print_ratios(bench.lines)
        for each in bench.left_out:
            print(f"left out for --minutes: {each}")
        if bench.failed:
            raise SystemExit(f"failed: {'; '.join(bench.failed)}")
    finally:
        remove_root(root)


if __name__ == "__main__":
    main()
