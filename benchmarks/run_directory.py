"""What a run directory costs a scan that nothing happens to, and how fast its findings come back.

    python benchmarks/run_directory.py TREE [--rules PACK] [--rounds N] [--record]

Prints the processor time of scans of TREE with --run-dir, of scans that have a private directory
after two seconds, and of scans without any (standard input, which is empty, can't be read again),
in turns; and what `merge` and a resume of a run that is over take. All find the same. --record adds
a line to results/run_directory.jsonl.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from results_file import append, run_facts

LIMIT = 1.02
"""A run directory may cost two hundredths of a scan's processor time."""


_TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Have processes whose parent ends be this process's children, so that their time counts."""
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise SystemExit("this process can't be told of the end of its children's children")


def wait_for_orphans() -> None:
    """Wait for all children."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def timed(words: list[str], folder: Path) -> dict[str, float]:
    """Wall and processor seconds of a command that finds something, or nothing; and those of its
    first process alone, the driver.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-P", "-m", "vyre_dist", *words]
    started = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL)
    os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
    stat = Path(f"/proc/{started.pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(stat[11]) + int(stat[12])) / _TICKS
    code = started.wait()
    wait_for_orphans()
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if code not in (0, 1):
        raise SystemExit(f"{' '.join(words)}: exit code {code}")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "processor": processor, "driver": own}


def findings(file: Path) -> list[bytes]:
    """The lines of a jsonl output, less the summary."""
    return file.read_bytes().splitlines()[:-1]


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tree")
    parser.add_argument("--rules")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--commit")
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    tree = os.path.abspath(asked.tree)
    rules = ["--rules", os.path.abspath(asked.rules)] if asked.rules else []
    taken: dict[str, list[dict[str, float]]] = {}
    adopt_orphans()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = ["scan", tree, *rules, "--progress", "never", "--store", "memory:"]
        scan += ["--cache-dir", str(folder / "cache"), "-f"]
        named = ["--run-dir", "run"]
        for number in range(asked.rounds + 1):
            shutil.rmtree(folder / "run", ignore_errors=True)
            kinds = {
                "without": [*scan, "jsonl=without", "-"],
                "private": [*scan, "jsonl=private"],
                "named": [*scan, "jsonl=named", *named],
                "resumed": [*scan, "jsonl=resumed", *named, "--resume"],
                "merged": ["merge", "run", "-f", "jsonl=merged"],
            }
            for kind, words in kinds.items():
                took = timed(words, folder)
                if number:  # the first round fills the caches
                    taken.setdefault(kind, []).append(took)
                if findings(folder / kind) != findings(folder / "without"):
                    raise SystemExit(f"{kind} found something else")
        found = len(findings(folder / "without"))
        written = sum(file.stat().st_size for file in (folder / "run").rglob("*"))
    base = median(each["processor"] for each in taken["without"])
    for kind, times in taken.items():
        seconds = median(each["seconds"] for each in times)
        processor = median(each["processor"] for each in times)
        print(
            f"{kind:8} {seconds:8.2f} s, processor {processor:8.2f} s, "
            f"{processor / base:6.3f} of a scan without ({LIMIT} are allowed)"
        )
    print(f"{found:,} findings, {written:,} bytes in the directory")
    if asked.record:
        record = {**run_facts(asked.commit, asked.rules), "tree": os.path.basename(tree)}
        append("run_directory.jsonl", record | {"taken": taken, "findings": found})


if __name__ == "__main__":
    main()
