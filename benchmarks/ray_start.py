"""How long does a scan of one small file take on a Ray cluster that is running? One command, one
run.

    python benchmarks/ray_start.py [--rounds 5] [--most SECONDS] [--backend auto] [--record]

Starts a cluster on this machine with what it finds (`ray start --head`), scans one file from the
shell with all the defaults (an actor for each GPU, where there are any), and stops the cluster. The
first scan compiles the pack and is told apart. `--most`: exit code 1 if the median of the others
takes longer. What the workers used is what the report says. Appends a JSON line to
benchmarks/results/ray_start.jsonl with --record.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from results_file import append, run_facts

START_SECONDS = 120
# a cluster of this machine alone, which nobody counts
ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
TEXT = "key = AKIAZ5GMXQ3RKV7HWN2T\n" * 100


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextlib.contextmanager
def running_head(folder: Path, gpus: int | None, cpus: int | None = None) -> Iterator[str]:
    """The address of a cluster of this machine, which ends behind it; `folder`: a short path.

    `gpus`, `cpus`: so many of them, also where there are fewer; None: what Ray finds.
    """
    port, client = free_ports(2)
    command = [sys.executable, "-P", "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += ["--port", str(port), "--temp-dir", str(folder / "ray")]
    command += ["--ray-client-server-port", str(client), "--include-dashboard", "false"]
    for option, number in (("--num-gpus", gpus), ("--num-cpus", cpus)):
        command += [] if number is None else [option, str(number)]
    with (folder / "log").open("wb") as log:
        head = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        end = time.monotonic() + START_SECONDS
        while b"runtime started" not in (folder / "log").read_bytes():
            if time.monotonic() > end or head.poll() is not None:
                raise SystemExit(f"no cluster came up\n{(folder / 'log').read_text()[-4000:]}")
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        head.terminate()
        head.wait(60)


def scan(address: str, folder: Path, backend: str) -> tuple[float, dict[str, Any]]:
    """(seconds from start to end, the run's report)."""
    report = folder / "report.json"
    command = [
        sys.executable,
        "-P",
        "-m",
        "vyre_dist",
        "scan",
        str(folder / "text"),
        "--pool",
        "ray",
    ]
    command += [
        "--address",
        address,
        "--backend",
        backend,
        "--report",
        str(report),
        "--progress",
        "never",
    ]
    command += ["--cache-dir", str(folder / "cache"), "--store", "memory:"]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    seconds = time.perf_counter() - began
    if done.returncode not in (0, 1):
        raise SystemExit(f"exit code {done.returncode}\n{done.stderr[-4000:]}")
    return seconds, json.loads(report.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=float)
    parser.add_argument("--backend", default="auto")
    parser.add_argument(
        "--gpus", type=int, help="so many GPUs, also where there are none: actors with a team each"
    )
    parser.add_argument("--cpus", type=int, help="so many processors, also where there are fewer")
    parser.add_argument("--record", action="store_true")
    parser.add_argument(
        "--commit", help="what is recorded as the state of the code (default: what git says)"
    )
    args = parser.parse_args()
    os.environ |= ENVIRONMENT
    # a socket's path has room for 107 bytes, and Ray's part of it is long
    with tempfile.TemporaryDirectory(prefix="vr", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        (folder / "text").write_text(TEXT)
        times, report = [], {}
        with running_head(folder, args.gpus, args.cpus) as address:
            for _ in range(1 + args.rounds):
                seconds, report = scan(address, folder, args.backend)
                times.append(seconds)
                print(
                    f"  {seconds:6.2f} s, of which {report['seconds']:.2f} s from plan to end",
                    flush=True,
                )
    if report["findings"] != 100:
        raise SystemExit(f"{report['findings']} findings, not 100")
    median = statistics.median(times[1:])
    for worker in report["workers_used"]:
        print(
            f"  worker {worker['worker']}: {worker['backend']} on {worker['device']}, "
            f"{worker['bytes_by_backend']}"
        )
    print(
        f"one file on a running cluster, {os.cpu_count()} processors: median {median:.2f} s, first "
        f"{times[0]:.2f} s"
    )
    if args.record:
        record = {
            **run_facts(args.commit, None),
            "backend": args.backend,
            "seconds": times,
            "median": median,
        }
        append("ray_start.jsonl", record)
    if args.most is not None and median > args.most:
        raise SystemExit(f"more than {args.most:g} s")


if __name__ == "__main__":
    main()
