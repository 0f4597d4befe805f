"""Would the cpu backend be faster if Hyperscan looked for the compiler's anchors instead of the
whole regexes?

    python benchmarks/anchor_literals.py PACK TREE [TREE ...] [--sample-mb 24] [--record]

The cpu backend's fused program is timed over whole files, in processor time on one core, with
Hyperscan databases of: the regexes as it uses them; all rules' anchors; the anchors of only those
rules whose anchors are expected less often than once in 10^5 or 10^6 bytes, and the other rules'
regexes. Google-re2 extracts where a database reports, and all of them must give the same spans.
With --record a JSON line for each tree goes to benchmarks/results/anchor_literals.jsonl.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import hyperscan
from corpus import sampled_files

from vyre_dist import regex as rx
from vyre_dist.compiler import RegexTooLargeError, default_model
from vyre_dist.compiler.anchors import AnchorSet, choose_anchors
from vyre_dist.compiler.position_automaton import build_position_automaton
from vyre_dist.extract import Window
from vyre_dist.extract.spans import encode_spans
from vyre_dist.extract.window import whole
from vyre_dist.kernels.cpu import CpuBackend
from vyre_dist.kernels.hyperscan_db import CandidateDatabases
from vyre_dist.program import ArtifactCache, CompiledPack, compile_pack
from vyre_dist.regex.nodes import CharClass, concat
from vyre_dist.rules import RulePack

DISPATCH_WINDOWS = 256

Chosen = Callable[[AnchorSet], bool]
VARIANTS: dict[str, Chosen] = {
    "anchors": lambda _: True,
    "anchors below 1e-5": lambda anchors: anchors.rate < 1e-5,
    "anchors below 1e-6": lambda anchors: anchors.rate < 1e-6,
}


def anchors_of(pattern: bytes) -> AnchorSet:
    """The anchors of a pattern for whoever looks at every place."""
    try:
        positions = build_position_automaton(rx.strip_captures(rx.parse(pattern).root))
    except RegexTooLargeError as error:
        return AnchorSet((), str(error))
    return choose_anchors(positions, default_model(), stride=1)


def with_anchors(
    backend: CpuBackend, compiled: CompiledPack, found: list[AnchorSet], chosen: Chosen
) -> CandidateDatabases:
    """The backend's databases, but for the chosen rules with their anchors in the place of their
    regexes.
    """
    own = backend._candidates
    expressions, ids = [], []
    for rule, anchors in zip(compiled.rules, found, strict=True):
        if rule.index in own.always:
            continue
        if anchors.anchors and chosen(anchors):
            windows = dict.fromkeys(anchor.classes for anchor in anchors.anchors)
            texts = [rx.to_pcre(concat(CharClass(mask) for mask in window)) for window in windows]
        else:
            texts = [rule.keyword_pattern or rule.candidate_pattern]
        expressions += texts
        ids += [rule.index] * len(texts)
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = hyperscan.HS_FLAG_SINGLEMATCH
    database.compile(expressions=expressions, ids=ids, elements=len(ids), flags=flags)
    database.scratch = hyperscan.Scratch(database)
    return CandidateDatabases((database,), (), own.approximate, own.always)


def timed(backend: CpuBackend, windows: list[Window]) -> tuple[dict[str, float | int], bytes]:
    """(seconds with and without extraction, candidate pairs; the spans) over all windows."""
    batches = [
        windows[at : at + DISPATCH_WINDOWS] for at in range(0, len(windows), DISPATCH_WINDOWS)
    ]
    best: dict[str, float] = {}
    spans = b""
    pairs = 0
    for _ in range(3):
        began = time.process_time()
        listed = [backend.run_prefilter(batch) for batch in batches]
        scanned = time.process_time()
        outcomes = [backend.run_fused(batch) for batch in batches]
        took = {"scan_s": scanned - began, "total_s": time.process_time() - scanned}
        for name, seconds in took.items():
            best[name] = min(best.get(name, seconds), seconds)
        spans = b"".join(encode_spans(outcome.spans) for outcome in outcomes)
        pairs = sum(len(rules) for each in listed for rules in each.rules.values())
    return {**{name: round(seconds, 3) for name, seconds in best.items()}, "pairs": pairs}, spans


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("pack")
    parser.add_argument("trees", nargs="+")
    parser.add_argument("--sample-mb", type=float, default=24)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()

    compiled = compile_pack(RulePack.load(args.pack).data)
    found = [anchors_of(rule.pattern) for rule in compiled.rules]
    for tree in args.trees:
        windows = [whole(text) for _, text in sampled_files(tree, args.sample_mb)]
        record: dict[str, object] = {
            "pack": os.path.basename(args.pack),
            "tree": os.path.basename(os.path.normpath(tree)),
            "files": len(windows),
            "bytes": sum(len(window.data) for window in windows),
        }
        backend = CpuBackend(compiled, ArtifactCache(None))
        record["regexes"], wanted = timed(backend, windows)
        for name, chosen in VARIANTS.items():
            other = CpuBackend(compiled, ArtifactCache(None))
            other._candidates = with_anchors(backend, compiled, found, chosen)
            record[name], spans = timed(other, windows)
            assert spans == wanted, f"{name}: other spans than with the regexes"
        print(json.dumps(record, indent=1))
        if args.record:
            stamp = {
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                "python": platform.python_version(),
                "machine": platform.machine(),
            }
            with (Path(__file__).parent / "results" / "anchor_literals.jsonl").open("a") as file:
                file.write(json.dumps({**stamp, **record}) + "\n")


if __name__ == "__main__":
    main()
