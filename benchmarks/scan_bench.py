"""The measurements of scan_files.py: starts, slopes against what bounds them, and `auto`."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from ceilings import copies_rate, pieces_of, reader_rate
from planted_trees import Corpus, Distinct, kind_of, link_tree, remove_tree
from results_file import append, run_facts
from scan_command import Command, Scanned, Setting, gpu_facts, ray_cluster, visible_gpus
from stack_samples import SAMPLER, print_samples

MOST_OF_AN_ACTOR = 32
SHORT_SECONDS, SHORT_ROUNDS = 3.0, 5
"""Shorter scans than that vary more than what is looked for, so there are more of them."""


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
        self.failed: list[str] = []
        self._copies: dict[int, float | None] = {}
        self._made: dict[str, Distinct] = {}
        every = int(args.secret_mb * 1e6)
        self.corpus = Corpus(root, args.text, args.rules, args.text_mb, every)
        self.say(f"text: {len(self.corpus.text) / 1e6:.0f} MB, corpus {self.corpus.digest}")
        self.facts = {
            **run_facts(args.commit, args.rules),
            "machine": processor_name(),
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

    def forget(self, made: Distinct, counts: tuple[int, ...]) -> None:
        """Remove trees that no other configuration is likely to scan."""
        for count in counts:
            remove_tree(self.root / made.kind.name / f"tree-{count}", self.processors)

    def scan(self, setting: Setting, made: Distinct, files: int, **more: str) -> Scanned:
        """Scan such a tree."""
        return self.command.scan(setting, made, files, self.tree(made, files), **more)

    def attempt(self, what: str, work: Callable[[], object]) -> None:
        """Do it if there is time. What goes wrong is told, and the others are measured."""
        if time.monotonic() - self.began > 60 * self.args.minutes:
            self.left_out.append(what)
            return
        try:
            work()
        except SystemExit as error:
            self.say(f"{what}: FAILED: {error}")
            self.failed.append(what)

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
            try:
                self._copies[gpus] = copies_rate(gpus, 2.0)
                self.say(f"pinned copies to {gpus} GPUs: {self._copies[gpus] / 1e9:.1f} GB/s")
            except SystemExit as error:
                self._copies[gpus] = None
                self.say(f"pinned copies to {gpus} GPUs: FAILED: {error}")
                self.failed.append("copies")
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
        reads = [self.reader(made, setting.workers)]
        copies = self.copies(setting.gpus)
        counts, scans = self.large_enough(setting, made)
        reads.append(self.reader(made, setting.workers))
        for _ in range(self.args.rounds - 1):
            for count, own in zip(counts, scans, strict=True):
                own.append(self.scan(setting, made, count))
            reads.append(self.reader(made, setting.workers))
        seconds = [statistics.median(each.seconds for each in own) for own in scans]
        spent = [statistics.median(each.processor_seconds for each in own) for own in scans]
        sizes = [made.size(count) for count in counts]
        if self.args.profile:
            self.profile(files, setting, made, counts[1])
        self.forget(made, counts)
        if seconds[1] <= seconds[0]:
            raise SystemExit(f"{sizes[1] / 1e9:.1f} GB took no longer: give --most-gb")
        more = sizes[1] - sizes[0]
        slope = more / (seconds[1] - seconds[0])
        reader = statistics.median(reads)
        bound = min(reader, copies) if copies else reader
        last = scans[1][-1]
        # Ray's processes are not the command's
        for_a_gb = None if setting.pool == "ray" else round((spent[1] - spent[0]) / more * 1e9, 3)
        by_gpu = last.bytes_by_backend.get("cuda", 0) / sizes[1]
        self.say(
            f"{files}, {setting}: {slope / 1e9:.2f} GB/s, {slope / bound:.2f} of "
            f"{'reading' if bound == reader else 'copies'} alone ({bound / 1e9:.2f}); "
            f"{sizes[0] / 1e9:.1f} GB in {seconds[0]:.2f} s, {sizes[1] / 1e9:.1f} GB in "
            f"{seconds[1]:.2f} s"
            + (f"; {for_a_gb:.3f} processor s for a GB" if for_a_gb else "")
            + (f"; {100 * by_gpu:.0f} % on a GPU" if setting.gpus else "")
        )
        found = {
            "reader GB/s": rounded([each / 1e9 for each in reads]),
            "copies GB/s": copies and round(copies / 1e9, 2),
            "bytes": sizes,
            "number of files": counts,
            "seconds": [rounded([each.seconds for each in own]) for own in scans],
            "processor seconds for a GB": for_a_gb,
            "bytes by backend": last.bytes_by_backend,
            "findings": last.report["findings"],
            "GB/s": round(slope / 1e9, 3),
            "of the bound": round(slope / bound, 3),
        }
        self.keep("slope", files, setting, found)

    def large_enough(
        self, setting: Setting, made: Distinct
    ) -> tuple[tuple[int, int], tuple[list[Scanned], list[Scanned]]]:
        """Two sizes of tree, one four times the other, whose scans differ by --seconds as far as
        --most-gb and --most-files allow, and a scan of each.

        The smaller one is large enough for a GPU to be at work long before its end.
        """
        self.scan(setting, made, 1)
        started = self.scan(setting, made, 1).seconds
        taken = self.scan(setting, made, len(made.sizes)).seconds
        rate = made.ends[-1] / max(taken - started, 0.05)
        most = min(self.args.most_files, made.files_for(self.args.most_gb * 1e9))
        while True:
            large = min(most, made.files_for(1.15 * self.args.seconds / 0.75 * rate))
            counts = max(1, large // 4), max(2, large)
            scans = self.scan(setting, made, counts[0]), self.scan(setting, made, counts[1])
            passed = scans[1].seconds - scans[0].seconds
            if passed >= self.args.seconds or large == most:
                return counts, ([scans[0]], [scans[1]])
            size = made.size(counts[1])
            self.say(f"{setting}: {size / 1e9:.1f} GB took {passed:.1f} s more, not enough")
            rate = max(1.2 * rate, 0.75 * size / max(passed, 0.05))
            self.forget(made, counts)

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
        """Every backend, with the most workers and GPUs, for trees of all sizes."""
        made = self.distinct(files)
        chosen = {each.backend: each for each in settings(self.args, pool)}
        counts = sorted({1, *(made.files_for(size * 1e9) for size in self.args.auto_gb)})
        if "cuda" in chosen:
            # a scan that is over before ends the compilation of the kernels, too
            self.attempt("warm caches", lambda: self.scan(chosen["cuda"], made, counts[-1]))
        for count in counts:
            self.attempt(
                f"auto, {files}, {count} files",
                lambda count=count: self.compare(files, chosen, count),
            )

    def compare(self, files: str, chosen: dict[str, Setting], count: int) -> None:
        """All backends with a tree of so many files, in turn."""
        made = self.distinct(files)
        times: dict[str, list[float]] = {backend: [] for backend in chosen}
        rounds = self.args.rounds
        while min(map(len, times.values())) < rounds:
            for backend, setting in chosen.items():
                times[backend].append(self.scan(setting, made, count).seconds)
            if max(each[-1] for each in times.values()) < SHORT_SECONDS:
                rounds = max(rounds, SHORT_ROUNDS)
        shown = ", ".join(f"{backend} {min(each):.2f} s" for backend, each in times.items())
        self.say(f"{files}, {made.size(count) / 1e9:.3f} GB in {count} files: {shown}")
        found = {
            "pool": next(iter(chosen.values())).pool,
            "workers": max(self.args.workers),
            "gpus": max(each.gpus for each in chosen.values()),
            "bytes": made.size(count),
            "number of files": count,
            "seconds of": {backend: rounded(each) for backend, each in times.items()},
        }
        self.keep("auto", files, None, found)
        self.forget(made, (count,))

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
                self.attempt(f"start, {setting}", lambda own=setting: self.start("small", own))
        if "slope" in self.args.only:
            for files in self.args.files:
                for setting in todo:
                    self.attempt(
                        f"slope, {files}, {setting}",
                        lambda kind=files, own=setting: self.slope(kind, own),
                    )


def rounded(values: list[float]) -> list[float]:
    """As they are recorded."""
    return [round(value, 3) for value in values]


def processor_name() -> str:
    """Its kind, and its name where the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{platform.machine()}, {line.partition(':')[2].strip()}"
    return platform.machine()


def _packages() -> list[str]:
    wanted = ("vyre-dist", "hyperscan", "google-re2", "numpy", "ray", "cupy-cuda13x", "cupy")
    there = {(each.metadata["Name"] or "").lower() for each in metadata.distributions()}
    return [name for name in wanted if name in there]
