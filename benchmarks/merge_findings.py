"""How many findings a second an output takes from part files: `merge` of a dense run, by format.

    python benchmarks/merge_findings.py [--findings 3000000] [--formats jsonl csv parquet sarif]
                                        [--rounds 3] [--folder FOLDER] [--record]

Tables of addresses are scanned once into a run directory; each address is a finding. Then `merge`
writes them in each format, in turns. Printed are findings for each second of processor time, less
that of the start (the merge of a run that found nothing), and two ceilings that are measured in the
same turns: writing the same bytes alone, and, for jsonl, json.dumps of ready dicts. Findings of
each output are counted, and those of jsonl are the scan's. With --record a JSON line goes to
benchmarks/results/merge_findings.jsonl.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from dense_findings import RULE, write_files
from results_file import append, run_facts

_FILES = 24
_ROW_BYTES = 42
_READY = 200_000
_BLOCK = 1 << 20


def seconds_of(command: list[str], folder: Path) -> float:
    """Processor seconds of a vyre-dist command that finds something, or nothing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "vyre_dist", *command],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def own_seconds(work: Callable[[], None]) -> float:
    """Processor seconds of something that this process does."""
    before = time.process_time()
    work()
    return time.process_time() - before


def copy(source: Path, target: Path) -> None:
    """The same bytes once more."""
    with source.open("rb") as read, target.open("wb") as written:
        while block := read.read(_BLOCK):
            written.write(block)


def found_in(file: Path, form: str) -> int:
    """The findings of an output."""
    if form == "parquet":
        from pyarrow import parquet

        return int(parquet.read_metadata(file).num_rows)
    counted = {"jsonl": b'{"type":"finding"', "csv": b"\nemail,", "sarif": b'{"ruleId":'}[form]
    data = file.read_bytes()
    return data.count(counted)


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--findings", type=int, default=3_000_000)
    parser.add_argument("--formats", nargs="+", default=["jsonl", "csv", "parquet", "sarif"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where all files are written; default: TMPDIR")
    parser.add_argument("--commit")
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        (folder / "rules.toml").write_text(RULE)
        (folder / "empty").mkdir()
        (folder / "csv").mkdir()
        rows = write_files(folder / "csv", _FILES, asked.findings / _FILES * _ROW_BYTES / 1e6)
        for source, run in (("empty", "nothing"), ("csv", "run")):
            words = ["scan", source, "-r", "rules.toml", "--progress", "never", "--run-dir", run]
            seconds_of([*words, "-f", f"jsonl={source}.jsonl"], folder)
        for _ in range(asked.rounds):
            for form in asked.formats:
                out = folder / f"out.{form}"
                for kind, run in (("start", "nothing"), ("merge", "run")):
                    spent = seconds_of(["merge", run, "-f", f"{form}={out}"], folder)
                    taken.setdefault(f"{form} {kind}", []).append(spent)
                if found_in(out, form) != rows:
                    raise SystemExit(f"{form}: {found_in(out, form)} findings, {rows} addresses")
                again = folder / "again"
                spent = own_seconds(lambda out=out, again=again: copy(out, again))
                taken.setdefault(f"{form} bytes", []).append(spent)
                if form == "jsonl":
                    scanned = (folder / "csv.jsonl").read_bytes().splitlines()[:-1]
                    lines = out.read_bytes().splitlines()[:-1]
                    if lines != scanned:
                        raise SystemExit("merge wrote other findings than the scan")
                    ready = list(map(json.loads, lines[:_READY]))
                    del scanned, lines
                    encode = json.JSONEncoder(separators=(",", ":")).encode
                    spent = own_seconds(lambda ready=ready, encode=encode: list(map(encode, ready)))
                    taken.setdefault("jsonl dumps", []).append(spent * rows / len(ready))
                again.unlink()
                out.unlink()
    rates: dict[str, dict[str, float]] = {}
    print(f"{rows:,} findings")
    for form in asked.formats:
        start, merged, written = (
            median(taken[f"{form} {kind}"]) for kind in ("start", "merge", "bytes")
        )
        own = rates[form] = {
            "findings_per_s": round(rows / (merged - start)),
            "with_start": round(rows / merged),
            "of_bytes_alone": round(written / (merged - start), 3),
        }
        line = (
            f"{form:8} {own['findings_per_s']:>10,} findings/s ({own['with_start']:,} with the "
            f"start); {own['of_bytes_alone']:.2f} of writing the bytes alone"
        )
        if form == "jsonl":
            dumped = median(taken["jsonl dumps"])
            own["of_dumps"] = round(dumped / (merged - start), 2)
            line += f", {own['of_dumps']:.2f} of json.dumps alone"
        print(line)
    if asked.record:
        facts = run_facts(asked.commit, "email")
        append("merge_findings.jsonl", facts | {"findings": rows, "rates": rates, "taken": taken})


if __name__ == "__main__":
    main()
