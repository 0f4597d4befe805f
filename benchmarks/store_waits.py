"""How long a scan waits for its autotune store, whatever the server does.

    python benchmarks/store_waits.py [--rounds 15] [--scan 1] [--server redis-server] [--record]

In turn, each in a process of its own: the local file alone, with a healthy server, with one that
accepts connections and says nothing, with one that nobody listens at. Each opens the store and
looks up, as a scan does before its workers are ready, which takes the `--scan` seconds that are not
counted; then it waits for the answer, asks for a lease, puts and closes. Prints medians of the wall
time, and what each takes beyond the file alone. With --record a JSON line goes to
benchmarks/results/store_waits.jsonl.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from results_file import append, run_facts

_SCAN = """
import json, sys, time
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.urls import open_store
from vyre_dist.autotune.wait_budget import WaitBudget
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey

spec = SpecCacheKey(int(sys.argv[3]), 0, (1, 1, 1), 0)
key = AutotuneKey.of(spec, "benchmark")
record = StoredRecord(key, AutotuneRecord((1, 1, 1), 1), spec, gain=Gain(0.9, 0.8, 1.0, 9))
began = time.perf_counter()
store = open_store(sys.argv[1] or None, local_path=sys.argv[2], budget=WaitBudget())
store.get(key, spec)
first = time.perf_counter() - began
time.sleep(float(sys.argv[4]))
began = time.perf_counter()
if hasattr(store, "flush"):
    store.flush(0.4)
    lease = store.lease("tune", 10)
    store.put(record) if lease is None else store.put_leased(record, lease)
    if lease is not None:
        lease.release()
else:
    store.put(record)
store.close()
print(json.dumps([first + time.perf_counter() - began, store.trouble]))
"""


@contextlib.contextmanager
def servers(program: str, folder: Path) -> Iterator[dict[str, str]]:
    """URLs by what the server does; "" stands for none."""
    server = subprocess.Popen(
        [program, "--port", "0", "--unixsocket", str(folder / "s"), "--save", "", "--dir", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if b"accept connections" in line:
                break
        with socket.create_server(("127.0.0.1", 0)) as hung, socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
            yield {
                "file alone": "",
                "healthy": f"unix://{folder / 's'}",
                "hung": f"redis://127.0.0.1:{hung.getsockname()[1]}/0",
                "stopped": f"redis://127.0.0.1:{taken.getsockname()[1]}/0",
            }
    finally:
        server.kill()
        server.communicate()


def waited(url: str, path: Path, number: int, scan_s: float) -> float:
    """Seconds of one process."""
    command = [sys.executable, "-c", _SCAN, url, str(path), str(number), str(scan_s)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(json.loads(told)[0])


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--scan", type=float, default=1.0)
    parser.add_argument("--server", default="redis-server")
    parser.add_argument("--commit")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with servers(options.server, folder) as urls:
            times: dict[str, list[float]] = {kind: [] for kind in urls}
            for number in range(1, options.rounds + 1):
                for kind, url in urls.items():
                    times[kind].append(
                        waited(url, folder / f"{kind}.sqlite3", number, options.scan)
                    )
    medians = {kind: statistics.median(found) for kind, found in times.items()}
    most = {kind: max(found) for kind, found in times.items()}
    for kind, seconds in medians.items():
        beyond = seconds - medians["file alone"]
        print(f"{kind:>10}: {seconds:.3f} s, at most {most[kind]:.3f} s; {beyond:+.3f} s")
    if options.record:
        record = run_facts(options.commit, None) | {
            "rounds": options.rounds,
            "scan_s": options.scan,
            "median_s": {kind: round(seconds, 3) for kind, seconds in medians.items()},
            "most_s": {kind: round(seconds, 3) for kind, seconds in most.items()},
        }
        append("store_waits.jsonl", record)


if __name__ == "__main__":
    main()
