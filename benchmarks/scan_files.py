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
import os
import platform
import shutil
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from ceilings import copies_rate, pieces_of, reader_rate
from planted_trees import Corpus, Distinct, kind_of, link_tree
from results_file import append, run_facts
from scan_command import Command, Setting, gpu_facts, ray_cluster, visible_gpus
from scan_ratios import print_ratios
from stack_samples import SAMPLER, print_samples

PARTS = ("start", "slope", "auto")
MOST_OF_AN_ACTOR = 32
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
    parser.add_argument("--most-gb", type=float, default=600, help="the largest tree (600)")
    parser.add_argument("--rounds", type=int, default=2, help="of every slope (2)")
    parser.add_argument("--start-rounds", type=int, default=5)
    parser.add_argument("--auto-gb", type=float, nargs="+", default=[0.01, 0.1, 1, 8, 64, 200])
    parser.add_argument("--folder", type=Path, help="where trees are made; kept if it is given")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--record", action="store_true")
    parser.add_argument(
        "--commit", help="what is recorded as the state of the code (default: what git says)"
    )
    return parser.parse_args()


def settings(args: argparse.Namespace, pool: str) -> Iterator[Setting]:
    """The configurations of a pool, those with few GPUs first."""
    processors = len(os.sched_getaffinity(0))
    there = [gpus for gpus in args.gpus if gpus <= len(visible_gpus())]
    for backend in args.backends:
        counts = [0] if backend == "cpu" else there
        for gpus in counts or ([0] if backend == "auto" else []):
            # an actor that owns a GPU has its share of the processors, less one for the GPU
            own = [gpus * min(MOST_OF_AN_ACTOR, processors // gpus - 1)] if gpus else args.workers
            for workers in own if pool == "ray" else args.workers:
                yield Setting(pool, backend, workers, gpus)


class Bench:
    """One run: the trees, the command and what has been measured."""

    def __init__(self, args: argparse.Namespace, root: Path) -> None:
        self.args, self.root = args, root
        self.began = time.monotonic()
        self.processors = len(os.sched_getaffinity(0))
        self.command = Command(args.rules, root / "cache")
        self.lines: list[dict[str, Any]] = []
        self.left_out: list[str] = []
        self._copies: dict[int, float] = {}
        self._made: dict[str, Distinct] = {}
        every = int(args.secret_mb * 1e6)
        self.corpus = Corpus(root, args.text, args.rules, args.text_mb, every)
        self.say(f"text: {len(self.corpus.text) / 1e6:.0f} MB, corpus {self.corpus.digest}")
        self.facts = {
            **run_facts(args.commit, args.rules),
            "machine": platform.machine(),
            "memory GB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
            **gpu_facts(),
            "versions": {name: metadata.version(name) for name in _packages()}
            | {"python": platform.python_version()},
            "corpus": self.corpus.digest,
        }

    def say(self, what: str) -> None:
        """Progress."""
        print(f"[{time.monotonic() - self.began:5.0f} s] {what}", flush=True)

    def distinct(self, files: str) -> Distinct:
        """The files of a kind, made when they are first needed."""
        if files not in self._made:
            kind = kind_of(files, getattr(self.args, f"{files}_size"))
            began = time.monotonic()
            size = self.args.distinct_gb * 1e9
            made = self._made[files] = self.corpus.write(kind, size, self.processors)
            self.say(
                f"{files}: {len(made.sizes)} distinct files, {made.ends[-1] / 1e9:.2f} GB, "
                f"made in {time.monotonic() - began:.1f} s"
            )
        return self._made[files]

    def tree(self, made: Distinct, files: int) -> Path:
        """A tree of so many files."""
        tree = self.root / made.kind.name / f"tree-{files}"
        return link_tree(made, files, tree, self.processors)

    def scan(self, setting: Setting, made: Distinct, files: int, **more: str) -> Any:
        """Scan such a tree."""
        return self.command.scan(setting, made, files, self.tree(made, files), **more)

    def time_left(self, what: str) -> bool:
        """Whether there is time for one more; else it is noted."""
        if time.monotonic() - self.began < 60 * self.args.minutes:
            return True
        self.left_out.append(what)
        return False

    def keep(self, part: str, files: str, setting: Setting | None, found: dict[str, Any]) -> None:
        """A line of results."""
        made = self._made[files]
        record = {
            **self.facts,
            "part": part,
            "files": files,
            "distinct files": len(made.sizes),
            "distinct bytes": made.ends[-1],
            **({} if setting is None else vars(setting)),
            **found,
        }
        self.lines.append(record)
        if self.args.record:
            append("scan_files.jsonl", record)

    def copies(self, gpus: int) -> float | None:
        """Bytes a second of pinned copies to so many GPUs; None for none."""
        if not gpus:
            return None
        if gpus not in self._copies:
            self._copies[gpus] = copies_rate(gpus, 2.0)
            self.say(f"pinned copies to {gpus} GPUs: {self._copies[gpus] / 1e9:.1f} GB/s")
        return self._copies[gpus]

    def start(self, files: str, setting: Setting) -> list[float]:
        """Seconds for a tree of one file, from a warm cache."""
        made = self.distinct(files)
        times = [self.scan(setting, made, 1).seconds for _ in range(1 + self.args.start_rounds)][1:]
        self.say(f"{files}, {setting}: one file {statistics.median(times):.2f} s")
        self.keep("start", files, setting, {"seconds": rounded(times)})
        return times

    def slope(self, files: str, setting: Setting) -> None:
        """Its slope, and what bounds it."""
        made = self.distinct(files)
        small = len(made.sizes)
        reads = [self.reader(made, setting.workers)]
        copies = self.copies(setting.gpus)
        large = self.large_enough(setting, made)
        times: dict[int, list[float]] = {small: [], large: []}
        spent: dict[int, list[float]] = {small: [], large: []}
        for _ in range(self.args.rounds):
            for count in (small, large):
                scanned = self.scan(setting, made, count)
                times[count].append(scanned.seconds)
                spent[count].append(scanned.processor_seconds)
            reads.append(self.reader(made, setting.workers))
        slope = self.rate_of(made, times, small, large)
        reader = statistics.median(reads)
        bound = min(reader, copies) if copies else reader
        self.say(
            f"{files}, {setting}: {slope / 1e9:.2f} GB/s, {slope / bound:.2f} of "
            f"{'reading' if bound == reader else 'copies'} alone ({bound / 1e9:.2f}); "
            f"{made.size(large) / 1e9:.1f} GB in {statistics.median(times[large]):.2f} s, "
            f"{made.size(small) / 1e9:.1f} GB in {statistics.median(times[small]):.2f} s"
        )
        per_gb = (statistics.median(spent[large]) - statistics.median(spent[small])) / (
            (made.size(large) - made.size(small)) / 1e9
        )
        self.keep(
            "slope",
            files,
            setting,
            {
                "reader GB/s": rounded([each / 1e9 for each in reads]),
                "copies GB/s": copies and round(copies / 1e9, 2),
                "bytes": [made.size(small), made.size(large)],
                "number of files": [small, large],
                "seconds": [rounded(times[small]), rounded(times[large])],
                "processor seconds for a GB": round(per_gb, 3),
                "bytes by backend": scanned.bytes_by_backend,
                "findings": scanned.report["findings"],
                "GB/s": round(slope / 1e9, 3),
                "of the bound": round(slope / bound, 3),
            },
        )
        if self.args.profile:
            self.profile(files, setting, made, large)

    def large_enough(self, setting: Setting, made: Distinct) -> int:
        """How many files the tree has that takes --seconds longer than the distinct ones, as far
        as --most-gb allows. Scans it, and what is smaller, so that all is warm.
        """
        small = len(made.sizes)
        self.scan(setting, made, 1)
        started = self.scan(setting, made, 1).seconds
        taken = self.scan(setting, made, small).seconds
        rate = made.size(small) / max(taken - started, 0.05)
        while True:
            size = min(self.args.most_gb * 1e9, made.size(small) + 1.2 * self.args.seconds * rate)
            large = max(small + 1, made.files_for(size))
            more = self.scan(setting, made, large).seconds - taken
            if more >= self.args.seconds or size == self.args.most_gb * 1e9:
                return large
            self.say(f"{setting}: {size / 1e9:.1f} GB took {more:.1f} s more: not enough")
            rate = max(1.2 * rate, (made.size(large) - made.size(small)) / max(more, 0.05))

    @staticmethod
    def rate_of(made: Distinct, times: dict[int, list[float]], small: int, large: int) -> float:
        """Bytes a second between two sizes of tree."""
        seconds = statistics.median(times[large]) - statistics.median(times[small])
        if seconds <= 0:
            raise SystemExit("the larger tree took no longer: ask for more --seconds or --most-gb")
        return (made.size(large) - made.size(small)) / seconds

    def reader(self, made: Distinct, processes: int) -> float:
        """Bytes a second of so many processes that read the distinct files."""
        listed = [(str(made.path(n)), size) for n, size in enumerate(made.sizes)]
        return reader_rate(pieces_of(listed), processes, 2.0)

    def profile(self, files: str, setting: Setting, made: Distinct, count: int) -> None:
        """Where the processes of one more scan spend their time."""
        folder = self.args.profile / f"{files}-{setting}".replace(", ", "-").replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        path = os.pathsep.join(filter(None, [str(SAMPLER), os.environ.get("PYTHONPATH")]))
        more = {"PYTHONPATH": path, "STACK_SAMPLES": str(folder.resolve())}
        if setting.pool == "ray":
            with ray_cluster(self.command, setting.gpus, **more):
                self.scan(setting, made, count, **more)
        else:
            self.scan(setting, made, count, **more)
        print_samples(folder)

    def auto(self, files: str, pool: str) -> None:
        """Every backend for trees of all sizes, in turn."""
        made = self.distinct(files)
        counts = sorted({1, *(made.files_for(size * 1e9) for size in self.args.auto_gb)})
        last = list(settings(self.args, pool))
        chosen = {each.backend: each for each in last}  # the most workers and GPUs of each
        for count in counts:
            if not self.time_left(f"auto, {files}, {pool}, {count} files"):
                continue
            times: dict[str, list[float]] = {backend: [] for backend in chosen}
            for _ in range(1 + self.args.rounds):
                for backend, setting in chosen.items():
                    times[backend].append(self.scan(setting, made, count).seconds)
            best = {backend: min(each[1:]) for backend, each in times.items()}
            shown = ", ".join(f"{backend} {seconds:.2f} s" for backend, seconds in best.items())
            self.say(f"{files}, {pool}, {made.size(count) / 1e9:.3f} GB in {count} files: {shown}")
            found = {
                "pool": pool,
                "workers": max(self.args.workers),
                "gpus": max(each.gpus for each in chosen.values()),
                "bytes": made.size(count),
                "number of files": count,
                "seconds of": {backend: rounded(each[1:]) for backend, each in times.items()},
            }
            self.keep("auto", files, None, found)

    def pool(self, pool: str) -> None:
        """Everything of one pool."""
        todo = list(settings(self.args, pool))
        for gpus in sorted({each.gpus for each in todo}) if pool == "ray" else [None]:
            if pool == "local":
                self.configurations(todo)
            else:
                with ray_cluster(self.command, gpus):
                    self.configurations([each for each in todo if each.gpus == gpus])
        if "auto" in self.args.only and pool == "local" and len(self.args.backends) > 1:
            for files in self.args.files:
                self.auto(files, pool)

    def configurations(self, todo: list[Setting]) -> None:
        """Start and slope of each."""
        if "start" in self.args.only:
            for setting in todo:
                if self.time_left(f"start, {setting}"):
                    self.start("small", setting)
        if "slope" in self.args.only:
            for files in self.args.files:
                for setting in todo:
                    if self.time_left(f"slope, {files}, {setting}"):
                        self.slope(files, setting)


def rounded(values: list[float]) -> list[float]:
    """As they are recorded."""
    return [round(value, 3) for value in values]


def _packages() -> list[str]:
    wanted = ("vyre-dist", "hyperscan", "google-re2", "numpy", "ray", "cupy-cuda13x", "cupy")
    there = {(each.metadata["Name"] or "").lower() for each in metadata.distributions()}
    return [name for name in wanted if name in there]


def main() -> None:
    args = arguments()
    if args.record and args.seconds < 10:
        raise SystemExit("a recorded slope takes 10 s at least: --seconds")
    parent = args.folder or Path(
        tempfile.mkdtemp(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)
    )
    parent.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(dir=parent))
    try:
        bench = Bench(args, root)
        for pool in args.pools:
            bench.pool(pool)
        print_ratios(bench.lines)
        for each in bench.left_out:
            print(f"left out for --minutes: {each}")
    finally:
        shutil.rmtree(root if args.folder else parent)


if __name__ == "__main__":
    main()
