"""What many small rows cost: `scan_batch` and `scan_table` over them, beside `scan` over the same
bytes as one document, rows joined by newlines. All in one process, on one core.

    python benchmarks/rows.py [--rules PACK] [--rows 1000000] [--sizes 100 10 1000] [--rounds 3]
    [--every 1000] [--kinds bytes ...] [--commit COMMIT] [--record]

The text is Python's own library, cut into rows; one row in `--every` holds a GitHub token. Of each
size there are as many rows, but never more than 200 MB. Ratios say how many times as long the rows
take as the document. The findings of every kind are compared, by row and place, before a time is
printed; those of the first rows also with `scan` of each row alone. Without --rules the built-in
pack is used. With --record a JSON line goes to benchmarks/results/rows.jsonl.
"""

from __future__ import annotations

import argparse
import random
import string
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
from corpus import shuffled_paths
from results_file import append, run_facts

from vyre_dist import Finding, Scanner

MOST_BYTES = 200_000_000
ALONE = 3000

Places = list[tuple[int, str, int, int]]


def text_of(size: int) -> bytes:
    """At least `size` bytes of ASCII without line breaks."""
    parts: list[bytes] = []
    held = 0
    for path in shuffled_paths(sysconfig.get_paths()["stdlib"], 7):
        if path.endswith(".py"):
            content = Path(path).read_bytes()
            text = content.decode("ascii", "ignore").encode().replace(b"\n", b" ")
            parts.append(text)
            held += len(text)
            if held >= size:
                break
    text = b"".join(parts)
    return text * -(-size // len(text))


def rows_of(number: int, size: int, every: int) -> list[bytes]:
    """`number` rows of `size` bytes; each `every`-th ends in a token, if there is room for one."""
    text, rng = text_of(number * size), random.Random(15)
    rows = [text[at : at + size] for at in range(0, number * size, size)]
    letters = string.ascii_letters + string.digits
    for at in range(0, number, every):
        token = b" ghp_" + "".join(rng.choices(letters, k=36)).encode()
        if size > len(token):
            rows[at] = rows[at][: -len(token)] + token
    return rows


def places(lists: list[list[Finding]]) -> Places:
    """Findings by row."""
    return [(row, f.rule_id, f.start, f.end) for row, found in enumerate(lists) for f in found]


def measured(
    scanner: Scanner, rows: list[bytes], kinds: list[str]
) -> dict[str, tuple[Callable[[], Any], Callable[[Any], Places | int]]]:
    """By kind: what is timed, and what makes the findings' places, or number, of its answer."""
    texts = [row.decode() for row in rows]
    table = pa.table({"text": pa.array(texts, pa.string())})
    document = b"\n".join(rows)
    known: dict[str, tuple[Callable[[], Any], Callable[[Any], Places | int]]] = {
        "one document": (lambda: scanner.scan(document), len),
        "list of bytes": (lambda: scanner.scan_batch(rows), places),
        "list of str": (lambda: scanner.scan_batch(texts), places),
        "Arrow string": (
            lambda: list(scanner.scan_table(table)),
            lambda found: [(row, f.rule_id, f.start, f.end) for row, _, f in found],
        ),
    }
    return {
        name: both
        for name, both in known.items()
        if name == "one document" or not kinds or name.split()[-1] in kinds
    }


def _count(answer: Places | int) -> int:
    return answer if isinstance(answer, int) else len(answer)


def main() -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rules")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 10, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every", type=int, default=1000)
    parser.add_argument("--kinds", nargs="+", default=[], help="bytes, str, string")
    parser.add_argument("--commit", help="the state of the code; default: what git says")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    scanner = Scanner(args.rules)
    record = {
        **run_facts(args.commit, args.rules),
        "rows": args.rows,
        "every": args.every,
        "sizes": {},
    }
    for size in args.sizes:
        number = min(args.rows, MOST_BYTES // size)
        rows = rows_of(number, size, args.every)
        timed = measured(scanner, rows, args.kinds)
        seconds: dict[str, list[float]] = {name: [] for name in timed}
        answers: dict[str, Places | int] = {}
        for _ in range(args.rounds):
            # in turn, so that a machine whose speed drifts treats all alike
            for name, (run, places_in) in timed.items():
                began = time.perf_counter()
                answer = run()
                seconds[name].append(time.perf_counter() - began)
                answers[name] = places_in(answer)
                del answer
        found = [answer for answer in answers.values() if isinstance(answer, list)]
        alone = places([scanner.scan(row) for row in rows[:ALONE]])
        for answer in found:
            if answer != found[0] or [place for place in answer if place[0] < ALONE] != alone:
                counts = {name: _count(answer) for name, answer in answers.items()}
                raise SystemExit(f"findings differ: {counts}, {len(alone)} in the first rows alone")
        one = median(seconds["one document"])
        print(
            f"{number} rows of {size} B; one document: {one:.3f} s, "
            f"{_count(answers['one document'])} findings"
        )
        for name, times in seconds.items():
            if name != "one document":
                print(
                    f"  {name:14} {median(times):7.3f} s {median(times) / one:7.2f}×"
                    f" {median(times) / number * 1e6:7.3f} µs a row, {len(found[0])} findings"
                )
        record["sizes"][str(size)] = {
            "rows": number,
            "findings": len(found[0]),
            "seconds": {name: [round(t, 4) for t in times] for name, times in seconds.items()},
        }
    if args.record:
        append("rows.jsonl", record)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
