"""The command as a user types it: how long it takes, what it found, and a Ray head for it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from planted_trees import Distinct, Place, digest, missing_and_more
from ray_start import ENVIRONMENT, running_head

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Setting:
    """How a scan is started. `gpus`: how many of them; 0: none is asked for."""

    pool: str
    backend: str
    workers: int
    gpus: int

    def __str__(self) -> str:
        gpus = f", {self.gpus} GPUs" if self.gpus else ""
        return f"{self.pool}, {self.backend}, {self.workers} processes{gpus}"


@dataclass(frozen=True)
class Scanned:
    """What a scan took and reported. `processor_seconds`: of all its processes that have been
    waited for.
    """

    seconds: float
    processor_seconds: float
    report: dict[str, Any]

    @property
    def bytes_by_backend(self) -> dict[str, int]:
        """What was scanned by which backend, of all workers."""
        total: dict[str, int] = {}
        for worker in self.report["workers_used"]:
            for backend, size in worker["bytes_by_backend"].items():
                total[backend] = total.get(backend, 0) + size
        return total


class Command:
    """Scans trees with one pack, in processes of their own, from a folder that holds nothing.

    `cache`: the folder of compiled packs. `address`: of the cluster for `pool ray`.
    """

    def __init__(self, rules: str | None, cache_folder: Path) -> None:
        self._rules, self._cache = rules, cache_folder
        self.address = ""

    def words(self, setting: Setting, tree: Path) -> list[str]:
        """The command's, less where its outputs go."""
        words = [sys.executable, "-P", "-m", "vyre_dist", "scan", str(tree)]
        words += ["--pool", setting.pool, "--backend", setting.backend]
        words += ["--rules", str(Path(self._rules).resolve())] if self._rules else []
        if setting.pool == "ray":
            words += ["--address", self.address]
            # there a worker is a GPU with processes of its own
            words += ["--workers", str(setting.gpus or setting.workers)]
        else:
            words += ["--workers", str(setting.workers)]
            words += ["--gpus", str(setting.gpus)] if setting.gpus and takes_gpus() else []
        return [*words, "--cache-dir", str(self._cache), "--store", "memory:"]

    def environment(self, setting: Setting, more: Mapping[str, str]) -> dict[str, str]:
        """A command that cannot be told how many GPUs there are sees no others."""
        base = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        if setting.pool == "local" and setting.gpus and not takes_gpus():
            base["CUDA_VISIBLE_DEVICES"] = ",".join(visible_gpus()[: setting.gpus])
        return base | ENVIRONMENT | more

    def scan(
        self, setting: Setting, made: Distinct, files: int, tree: Path, **more: str
    ) -> Scanned:
        """Scan a tree of so many files. SystemExit if not all of it was scanned, or if anything
        else was found than what was planted. `more`: for its environment.
        """
        with tempfile.TemporaryDirectory() as folder:
            found, report = Path(folder, "found.jsonl"), Path(folder, "report.json")
            words = self.words(setting, tree)
            words += ["--format", f"jsonl={found}", "--report", str(report), "--progress", "never"]
            before = processor_seconds()
            began = time.perf_counter()
            done = subprocess.run(
                words, capture_output=True, cwd=folder, env=self.environment(setting, more)
            )
            seconds = time.perf_counter() - began
            said = done.stderr[-4000:].decode(errors="replace")
            if done.returncode != 1:
                raise SystemExit(f"{' '.join(words)}: exit code {done.returncode}\n{said}")
            scanned = Scanned(seconds, processor_seconds() - before, json.loads(report.read_text()))
            check(scanned.report, places_in(found, tree), made, files)
        return scanned


def places_in(found: Path, tree: Path) -> list[tuple[str, Place]]:
    """(path in the tree, place) of all findings."""
    start = len(str(tree)) + 1
    places = []
    with found.open() as lines:
        for line in lines:
            said = json.loads(line)
            if said["type"] == "finding":
                place = (said["rule_id"], said["start"], said["end"])
                places.append((said["path"][start:], place))
    return places


def check(
    report: dict[str, Any], found: list[tuple[str, Place]], made: Distinct, files: int
) -> None:
    """That the whole tree was scanned, and that what was planted was found and nothing else."""
    if not report["complete"] or report["bytes"] != made.size(files):
        raise SystemExit(
            f"not all was scanned: {report['bytes']} bytes of {made.size(files)}, "
            f"{report['problems'][:3]}"
        )
    expected = list(made.expected(files))
    if len(found) != len(expected) or digest(found) != digest(expected):
        missing, extra = missing_and_more(found, expected)
        raise SystemExit(
            f"{len(found)} findings, {len(expected)} planted: {len(missing)} missing, as "
            f"{missing[:3]}; {len(extra)} not planted, as {extra[:3]}"
        )


def processor_seconds() -> float:
    """Of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@cache
def takes_gpus() -> bool:
    """Whether the command has --gpus."""
    asked = subprocess.run(
        [sys.executable, "-P", "-m", "vyre_dist", "scan", "--help"], capture_output=True
    )
    return b"--gpus" in asked.stdout


@cache
def visible_gpus() -> list[str]:
    """The GPUs that processes started here see, as CUDA_VISIBLE_DEVICES names them."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in named.split(",") if name]
    there = len(_nvidia_smi()) or len(list(Path("/dev").glob("nvidia[0-9]*")))
    return [str(number) for number in range(there)]


def gpu_facts() -> dict[str, Any]:
    """What is recorded of the GPUs."""
    listed = _nvidia_smi()
    if not listed:
        return {"gpu": None}
    name, driver = listed[0]
    return {"gpu": name, "gpus of the machine": len(listed), "driver": driver}


@cache
def _nvidia_smi() -> list[list[str]]:
    """(name, driver) of each GPU; none where there is no driver."""
    try:
        asked = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
        )
    except OSError:
        return []
    return [line.split(", ") for line in asked.stdout.splitlines()] if not asked.returncode else []


@contextlib.contextmanager
def ray_cluster(command: Command, gpus: int, **more: str) -> Iterator[None]:
    """A cluster of this machine for `command`, with so many GPUs. `more`: for its environment."""
    with tempfile.TemporaryDirectory(prefix="vr", ignore_cleanup_errors=True) as folder:
        before, address = dict(os.environ), command.address
        os.environ.update(ENVIRONMENT | more)
        try:
            with running_head(Path(folder), gpus) as address:
                command.address = address
                yield
        finally:
            command.address = address
            os.environ.clear()
            os.environ.update(before)
