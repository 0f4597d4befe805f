"""What audits cost: processor seconds of a scan without and with them, beside google-re2's own for
the same documents.

    python benchmarks/audit.py [PATH ...] [--rules PACK] [--rates 0.01 0.1 1] [--rounds 3]
    [--commit COMMIT] [--record]

Without paths the text is Python's own library. `google-re2`: each rule's expression searched for in
each document with one of its keywords, match after match, in a plain loop, without filters, lines
or comparing. The ratio says how many times as long an audit of all takes, beyond the scan itself;
of a rate, the share of bytes that it audits is told beside the share of that cost. Scans run in
this process. Nothing may differ. With --record a JSON line goes to benchmarks/results/audit.jsonl.
"""

from __future__ import annotations

import argparse
import sysconfig
import time
from pathlib import Path
from statistics import median
from typing import Any

from results_file import append, run_facts

from vyre_dist import Scanner
from vyre_dist.engine.audit_filters import as_written
from vyre_dist.rules.model import PackData

PLAIN = "google-re2"


def plain_seconds(pack: PackData, documents: list[bytes]) -> float:
    """Processor seconds of the plain loop."""
    rules = [
        ([word.encode().lower() for word in rule.keywords], as_written(rule.regex))
        for rule in pack.rules
        if rule.regex is not None
    ]
    for _, pattern in rules:
        pattern.search(b"")  # compiled, as an auditor's are in the first round
    began = time.process_time()
    for document in documents:
        lowered = document.lower()
        for keywords, pattern in rules:
            if not keywords or any(word in lowered for word in keywords):
                for _ in pattern.finditer(document):
                    pass
    return time.process_time() - began


def main() -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", default=[sysconfig.get_paths()["stdlib"] + "/email"])
    parser.add_argument("--rules")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 1.0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commit", help="the state of the code; default: what git says")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    scanner = Scanner(args.rules)
    names = [f for path in args.paths for f in sorted(Path(path).rglob("*")) if f.is_file()]
    documents = [name.read_bytes() for name in names]
    seconds: dict[str, list[float]] = {}
    shares: dict[str, list[float]] = {}
    for turn in range(args.rounds + 1):
        seconds.setdefault(PLAIN, []).append(plain_seconds(scanner.engine.pack, documents))
        for rate in (0.0, *args.rates):
            began = time.process_time()
            result = scanner.scan_paths(args.paths, audit=rate, respect_gitignore=False)
            seconds.setdefault(str(rate), []).append(time.process_time() - began)
            totals = result.totals
            if totals.audit_differs or totals.not_audited:
                raise SystemExit(f"audits differ or fail: {result.problems} {result.notes}")
            shares.setdefault(str(rate), []).append(totals.audited_bytes / max(totals.bytes, 1))
        if not turn:  # it compiles what the others find compiled
            seconds, shares = {}, {}
    base = median(seconds["0.0"])
    full = median(seconds["1.0"]) - base if "1.0" in seconds else None
    plain = median(seconds[PLAIN])
    print(f"{totals.bytes:,} bytes in {totals.documents:,} documents; scan alone: {base:.3f} s")
    print(f"google-re2 in a plain loop: {plain:.3f} s ({totals.bytes / plain / 1e6:.1f} MB/s)")
    for rate in map(str, args.rates):
        more = median(seconds[rate]) - base
        told = f"--audit {rate}: {median(shares[rate]):.3f} of the bytes, {more:.3f} s more"
        if full:
            told += f", {more / full:.3f} of all documents' cost"
        print(f"{told}, {more / plain:.2f}× the plain loop")
    record: dict[str, Any] = {
        **run_facts(args.commit, args.rules),
        "bytes": totals.bytes,
        "documents": totals.documents,
        "seconds": {name: [round(t, 4) for t in times] for name, times in seconds.items()},
        "shares": {name: [round(s, 5) for s in own] for name, own in shares.items()},
    }
    if args.record:
        append("audit.jsonl", record)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
