"""What does one large file cost, compared with the same bytes in files that are scanned whole?

    python benchmarks/split_documents.py [--rules PACK] [--mb 400] [--csv-mb 200] [--record]

`vyre-dist scan -j 2 --backend cpu`, as a user runs it: one file of Python's own sources with
planted keys, and the same bytes in files of 1 MB. From each time that of a tiny file's scan is
taken off, so the ratio says what the pieces cost: reading them, seams, the join. Both must find the
same.
With `--csv-mb`, one table of e-mail addresses, each of which is a finding: findings a second, and
the largest memory of every process. `--record` appends a line to
benchmarks/results/split_documents.jsonl.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from results_file import append, run_facts

_PLANTED_EVERY = 100_000
_EMAILS = """
title = "emails"
[[rules]]
id = "email"
regex = '''[a-z0-9.]{1,40}@[a-z0-9]{1,40}\\.(?:com|org|net)'''
"""


def sources(size: int) -> bytes:
    """`size` bytes of source code in lines, with a key in it every _PLANTED_EVERY bytes."""
    rng = random.Random(15)
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = sorted(p for p in root.rglob("*.py") if "site-packages" not in p.parts)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    parts, total, due = [], 0, _PLANTED_EVERY
    while total < size:
        for path in paths:
            text = path.read_bytes()
            if total + len(text) >= due:
                key = "".join(rng.choices(letters, k=16))
                text += f'aws_access_key_id = "AKIA{key}"\n'.encode()
                due += _PLANTED_EVERY
            parts.append(text)
            total += len(text)
    return b"".join(parts)[:size]


def write_split(data: bytes, folder: Path, size: int) -> None:
    """`data` in files of about `size` bytes, cut at line breaks."""
    folder.mkdir()
    at = number = 0
    while at < len(data):
        end = data.rfind(b"\n", at, at + size) + 1 if at + size < len(data) else len(data)
        (folder / f"{number:05}.py").write_bytes(data[at:end])
        at, number = end, number + 1


def write_table(path: Path, size: int) -> None:
    """A CSV of about 42 bytes a row, with an address in each."""
    rng = random.Random(7)
    with path.open("wb") as file:
        written = row = 0
        while written < size:
            rows = []
            for _ in range(10_000):
                row += 1
                rows.append(f"{row},user{rng.getrandbits(32):x}@mail{row % 97}.com,{row % 7}\n")
            text = "".join(rows).encode()
            file.write(text)
            written += len(text)


class Peaks(threading.Thread):
    """The largest resident memory of a process and all below it, by its command's name."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.by_process: dict[int, int] = {}
        self.over = threading.Event()

    def run(self) -> None:
        """Look every 20 ms, as a process's own peak stays readable until it ends."""
        while not self.over.wait(0.02):
            waiting = [self.pid]
            while waiting:
                pid = waiting.pop()
                try:
                    status = Path(f"/proc/{pid}/status").read_text()
                    tasks = os.listdir(f"/proc/{pid}/task")
                    for task in tasks:
                        children = Path(f"/proc/{pid}/task/{task}/children").read_text()
                        waiting += map(int, children.split())
                except OSError:
                    continue
                for line in status.splitlines():
                    if line.startswith("VmHWM"):
                        self.by_process[pid] = int(line.split()[1]) << 10


def scan(target: Path, rules: str | Path, hashed: bool = True) -> dict[str, Any]:
    """Seconds, processor seconds, the summary, a hash of the findings and the processes' peaks."""
    command = [sys.executable, "-m", "vyre_dist", "scan", str(target), "--rules", str(rules)]
    command += ["-j", "2", "--backend", "cpu", "--format", "jsonl", "--progress", "never"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, env=environment)
        peaks = Peaks(process.pid)
        peaks.start()
        errors = process.communicate()[1]
        seconds = time.perf_counter() - began
        peaks.over.set()
        out.seek(0)
        digest, last = hashlib.sha256(), b""
        for line in out:
            last = line
            if hashed and b'"type":"finding"' in line.replace(b" ", b""):
                digest.update(json.loads(line)["match"].encode())
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    summary = json.loads(last)
    if not summary["complete"]:
        raise SystemExit(f"incomplete: {summary}\n{errors.decode()}")
    return {
        "seconds": seconds,
        "cpu": cpu,
        "summary": summary,
        "found": digest.hexdigest(),
        "peaks_mb": sorted((size >> 20 for size in peaks.by_process.values()), reverse=True),
    }


def compare(folder: Path, rules: str, megabytes: int, rounds: int) -> dict[str, Any]:
    """The large file against the small ones, in turns."""
    data = sources(megabytes * 1_000_000)
    (folder / "one.py").write_bytes(data)
    (folder / "tiny.py").write_bytes(b"x = 1\n")
    write_split(data, folder / "many", 1_000_000)
    del data
    names = {"start": "tiny.py", "one": "one.py", "many": "many"}
    times: dict[str, list[float]] = {name: [] for name in names}
    cpus: dict[str, list[float]] = {name: [] for name in names}
    found = {}
    for turn in range(rounds + 1):
        for name, target in names.items():
            done = scan(folder / target, rules)
            found[name] = (done["found"], done["summary"]["findings"])
            if turn:  # the first round fills caches
                times[name].append(done["seconds"])
                cpus[name].append(done["cpu"])
    if found["one"] != found["many"]:
        raise SystemExit(f"one file has {found['one']}, many have {found['many']}")
    middle = {name: statistics.median(own) for name, own in times.items()}
    cpu = {name: statistics.median(own) for name, own in cpus.items()}
    return {
        "mb": megabytes,
        "findings": found["one"][1],
        "seconds": {name: round(value, 3) for name, value in middle.items()},
        "cpu_seconds": {name: round(value, 3) for name, value in cpu.items()},
        "ratio": round((middle["one"] - middle["start"]) / (middle["many"] - middle["start"]), 2),
        "cpu_ratio": round((cpu["one"] - cpu["start"]) / (cpu["many"] - cpu["start"]), 2),
    }


def dense(folder: Path, megabytes: int) -> dict[str, Any]:
    """The table."""
    (folder / "emails.toml").write_text(_EMAILS)
    write_table(folder / "table.csv", megabytes * 1_000_000)
    done = scan(folder / "table.csv", folder / "emails.toml", hashed=False)
    count = done["summary"]["findings"]
    return {
        "mb": megabytes,
        "findings": count,
        "seconds": round(done["seconds"], 2),
        "findings_per_second": round(count / done["seconds"]),
        "peaks_mb": done["peaks_mb"],
    }


def main() -> int:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rules", default="builtin")
    parser.add_argument("--mb", type=int, default=400, help="0: leave the comparison out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--csv-mb", type=int, default=0)
    parser.add_argument("--commit", help="what the code is, where git does not say it")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    record: dict[str, Any] = run_facts(args.commit, args.rules)
    with tempfile.TemporaryDirectory() as name:
        if args.mb:
            record["large_file"] = compare(Path(name), args.rules, args.mb, args.rounds)
            print(json.dumps(record["large_file"], indent=2))
        if args.csv_mb:
            record["table"] = dense(Path(name), args.csv_mb)
            print(json.dumps(record["table"], indent=2))
    if args.record:
        append("split_documents.jsonl", record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
