"""What findings cost and the memory they take: `scan` from the shell over CSVs of addresses.

    python benchmarks/dense_findings.py [--files 80] [--megabytes 1] [--formats jsonl csv parquet]
                                        [--workers N] [--record]
    python benchmarks/dense_findings.py --files 1 --megabytes 1000

Each row of a CSV is an address and a comma, 42 bytes, and each address is a finding. For each
format it prints findings per second, start included; the processor time that the driver takes for
a finding, which limits a run with many workers, and what the workers take; and the highest resident
size (VmHWM) of the driver and of a worker. Workers are forked: of what they share with the driver,
each counts all of it, so the highest proportional size (PSS, sampled) is printed beside it. With
--record a JSON line goes to benchmarks/results/dense_findings.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from results_file import append, run_facts

RULE = """\
[[rules]]
id = "email"
description = "An e-mail address"
regex = '''[a-z0-9.]{3,40}@[a-z0-9]{3,20}\\.example'''
keywords = ["@"]
"""
_ROW_BYTES = 42
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Peak:
    """One process: its highest sizes in kB, and its processor seconds, as far as was sampled."""

    resident: int = 0
    proportional: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Sampler:
    """Looks at a process and all that it starts until it is told to stop."""

    root: int
    stop: threading.Event = field(default_factory=threading.Event)
    peaks: dict[int, Peak] = field(default_factory=dict)

    def run(self) -> None:
        while not self.stop.wait(0.05):
            for pid in [self.root, *_descendants(self.root)]:
                self._look_at(pid, self.peaks.setdefault(pid, Peak()))

    def _look_at(self, pid: int, peak: Peak) -> None:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it is gone
            return
        peak.resident = max(peak.resident, _kilobytes(status, "VmHWM:"))
        peak.proportional = max(peak.proportional, _kilobytes(rollup, "Pss:"))
        peak.seconds = (int(stat[11]) + int(stat[12])) / _TICKS


def _kilobytes(text: str, name: str) -> int:
    found = [line.split()[1] for line in text.splitlines() if line.startswith(name)]
    return int(found[0]) if found else 0


def _descendants(pid: int) -> list[int]:
    try:
        children = [
            int(child)
            for task in os.listdir(f"/proc/{pid}/task")
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        ]
    except OSError:
        return []
    return [*children, *(pid for child in children for pid in _descendants(child))]


def write_files(folder: Path, files: int, megabytes: float) -> int:
    """The CSVs, with different addresses in every row; how many rows there are."""
    rng = random.Random(15)
    rows = max(1, int(megabytes * 1e6 / _ROW_BYTES))
    number = 0
    for i in range(files):
        with (folder / f"{i:05}.csv").open("w") as file:
            for low in range(0, rows, 10_000):
                count = min(10_000, rows - low)
                noise = rng.randbytes(5 * count).hex("-", 5).split("-")
                file.writelines(
                    [
                        f"user.{number + n:09}.{noise[n]}@mail{n % 10}.example,\n"
                        for n in range(count)
                    ]
                )
                number += count
    return number


def measure(folder: Path, form: str, workers: int | None, more: list[str]) -> dict[str, object]:
    """One scan of all files in `folder`."""
    out, report = folder / f"out.{form}", folder / "report.json"
    jobs = ["--workers", str(workers)] if workers else []
    # fmt: off
    command = [
        sys.executable, "-m", "vyre_dist", "scan", "--rules", str(folder / "rules.toml"), *jobs,
        *more, "--progress", "never", "-f", f"{form}={out}", "--report", str(report),
        str(folder / "csv"),
    ]
    # fmt: on
    began = time.perf_counter()
    scan = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    sampler = Sampler(scan.pid)
    thread = threading.Thread(target=sampler.run)
    thread.start()
    errors = scan.communicate()[1]
    seconds = time.perf_counter() - began
    sampler.stop.set()
    thread.join()
    if scan.returncode != 1:
        raise SystemExit(f"exit code {scan.returncode}: {errors[-2000:].decode()}")
    findings = json.loads(report.read_text())["findings"]
    driver = sampler.peaks.pop(scan.pid)
    others = list(sampler.peaks.values())
    out.unlink()
    return {
        "format": form,
        "findings": findings,
        "seconds": round(seconds, 2),
        "findings_per_s": round(findings / seconds),
        "driver_us_per_finding": round(driver.seconds / findings * 1e6, 2),
        "workers_us_per_finding": round(sum(p.seconds for p in others) / findings * 1e6, 2),
        "driver_peak_mb": round(driver.resident / 1e3),
        "worker_peak_mb": round(max(p.resident for p in others) / 1e3),
        "driver_peak_pss_mb": round(driver.proportional / 1e3),
        "worker_peak_pss_mb": round(max(p.proportional for p in others) / 1e3),
    }


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=80)
    parser.add_argument("--megabytes", type=float, default=1.0, help="of each file")
    parser.add_argument("--formats", nargs="+", default=["jsonl", "csv", "parquet"])
    parser.add_argument("--workers", type=int)
    parser.add_argument("--redact", help="--redact=PERCENT of scan")
    parser.add_argument("--folder", help="where the files are written; default: TMPDIR")
    parser.add_argument("--commit")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        (folder / "csv").mkdir()
        (folder / "rules.toml").write_text(RULE)
        rows = write_files(folder / "csv", options.files, options.megabytes)
        print(f"{options.files} CSVs of {options.megabytes:g} MB, {rows:,} addresses")
        results = []
        for form in options.formats:
            more = [f"--redact={options.redact}"] if options.redact else []
            found = measure(folder, form, options.workers, more)
            if found["findings"] != rows:
                raise SystemExit(f"{form}: {found['findings']} findings, {rows} addresses")
            results.append(found)
            print(
                f"{form}: {found['findings_per_s']:,} findings/s in {found['seconds']} s; driver "
                f"{found['driver_us_per_finding']} µs each, workers "
                f"{found['workers_us_per_finding']} µs; peaks: driver "
                f"{found['driver_peak_mb']} MB, worker {found['worker_peak_mb']} MB (PSS "
                f"{found['driver_peak_pss_mb']} and {found['worker_peak_pss_mb']})",
                flush=True,
            )
    if options.record:
        facts = run_facts(options.commit, "email")
        append(
            "dense_findings.jsonl",
            facts | {"files": options.files, "megabytes": options.megabytes, "runs": results},
        )


if __name__ == "__main__":
    main()
