"""What a text without line breaks costs: `scan` from the shell over one line and over the same with
line breaks.

    python benchmarks/long_lines.py [--rules PACK ...] [--megabytes 64] [--every 8600] [--shard-size
    SIZE] [--record]

The text is JSON with a key of one of six kinds about every `--every` bytes; the ratio says how many
times as long one line takes. Without --rules the built-in pack is used. With --record a JSON line
for each pack goes to benchmarks/results/long_lines.jsonl.
"""

from __future__ import annotations

import argparse
import base64
import random
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results_file import append, run_facts

_LETTERS = string.ascii_letters + string.digits
_ENTRIES = (
    lambda rng: '"apiKey":"' + base64.b64encode(rng.randbytes(24)).decode() + '"',
    lambda rng: '"id":"AKIA' + "".join(rng.choices(string.ascii_uppercase + "234567", k=16)) + '"',
    lambda rng: '"gh":"ghp_' + "".join(rng.choices(_LETTERS, k=36)) + '"',
    lambda rng: '"npm":"npm_' + "".join(rng.choices(_LETTERS, k=36)) + '"',
    lambda rng: '"map":"AIza' + "".join(rng.choices(_LETTERS, k=35)) + '"',
    lambda rng: '"password": "' + "".join(rng.choices(_LETTERS, k=20)) + '"',
)


def write(path: Path, size: int, every: int, separator: str) -> int:
    """The text, the same every time but for what separates its objects; how many there are."""
    rng = random.Random(13)
    words = ["".join(rng.choices(string.ascii_lowercase[:20], k=7)) for _ in range(500)]
    written = number = 0
    with path.open("w") as file:
        while written < size:
            filler = " ".join(rng.choices(words, k=max(1, (every - 50) // 8)))
            written += file.write(f'{{{_ENTRIES[number % len(_ENTRIES)](rng)},"t":"{filler}"}},')
            file.write(separator)
            number += 1
    return number


def seconds(path: Path, rules: list[str], more: list[str]) -> tuple[float, int]:
    """(the better of two scans' wall time, how many findings)."""
    out = path.with_suffix(".jsonl")
    command = [
        sys.executable,
        "-m",
        "vyre_dist",
        "scan",
        "-j",
        "1",
        *rules,
        *more,
        "-f",
        f"jsonl={out}",
    ]
    best = float("inf")
    for _ in range(2):
        began = time.perf_counter()
        ended = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
        best = min(best, time.perf_counter() - began)
        if ended.returncode not in (0, 1):
            raise SystemExit(ended.stderr)
    with out.open() as lines:
        return best, sum('"type":"finding"' in line.replace('": "', '":"') for line in lines)


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rules", nargs="*", default=[])
    parser.add_argument("--megabytes", type=float, default=64)
    parser.add_argument("--every", type=int, default=8600)
    parser.add_argument("--shard-size")
    parser.add_argument("--commit")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    more = ["--shard-size", options.shard_size] if options.shard_size else []
    with tempfile.TemporaryDirectory() as folder:
        one, lines = Path(folder, "one.json"), Path(folder, "lines.json")
        for path, separator in ((one, ""), (lines, "\n")):
            write(path, int(options.megabytes * 1e6), options.every, separator)
        print(f"{options.megabytes:g} MB, a key every {options.every} bytes")
        for pack in options.rules or [None]:
            rules = [f"--rules={pack}"] if pack else []
            with_breaks, found = seconds(lines, rules, more)
            without, found_in_one = seconds(one, rules, more)
            record = run_facts(options.commit, pack) | {
                "megabytes": options.megabytes,
                "every": options.every,
                "shard_size": options.shard_size,
                "with_breaks_s": round(with_breaks, 2),
                "one_line_s": round(without, 2),
                "findings": [found, found_in_one],
                "ratio": round(without / with_breaks, 2),
            }
            print(
                f"{record['rules']}: {found} and {found_in_one} findings; with line breaks "
                f"{with_breaks:.2f} s, "
                f"in one line {without:.2f} s: {without / with_breaks:.2f} times as long"
            )
            if options.record:
                append("long_lines.jsonl", record)


if __name__ == "__main__":
    main()
