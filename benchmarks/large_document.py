"""What one document of a terabyte takes of the driver's memory. Real driver, plan, codec and run
directory; simulated workers, that have read pieces which nobody has.

    python benchmarks/large_document.py [--gigabytes 1 1000] [--matches 100] [--record]

Each piece of 32 MiB says where its lines are, has --matches spans and findings of its own, and is
joined in the end. Each size is scanned in a process of its own, once as it is and once with
--run-dir, where the worker writes part files. Printed are the driver's highest resident size, and
by how much that of each size is above that of the first one, also for each piece. With --record a
JSON line goes to benchmarks/results/large_document.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from driver_scale import SimulatedPool
from results_file import append, run_facts

from vyre_dist.driver.events import TaskDone
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.run import Callbacks, run_scan
from vyre_dist.engine.finding_blocks import Findings, RowBlock, encode_rows
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.lines import NEWLINE_BLOCK, pack_counts
from vyre_dist.engine.part_files import file_result
from vyre_dist.engine.salvage import keep
from vyre_dist.engine.task_codec import decode_result, decode_task, encode_result, encode_task
from vyre_dist.engine.tasks import PartResult, Piece, ScanTask, Task, TaskResult
from vyre_dist.extract import Span
from vyre_dist.extract.spans import encode_spans
from vyre_dist.ledger.run_directory import RunDirectory
from vyre_dist.rules.model import Rule
from vyre_dist.sources import DocumentRef

_PIECE = 32 << 20
_MATCH = b"user.000000001@example.com"
_RULES = [Rule("address", r"[a-z.0-9]+@[a-z.]+")]


class PiecesPool(SimulatedPool):
    """Workers that answer at once, and write part files where they are asked to."""

    same_machine = True

    def __init__(self, matches: int) -> None:
        super().__init__(8, 1.0, 1.0, 1)
        step = _PIECE // (matches + 1)
        self._starts = starts = range(step, step * (matches + 1), step)
        rows = [
            FindingRow(0, 0, at, at + len(_MATCH), at // 40, 1, _MATCH, _MATCH, (), 3.5, 1, 1, 27)
            for at in starts
        ]
        self._blocks = [RowBlock(len(rows), encode_rows(rows))] if rows else []
        self.joins = self.longest_task = 0

    def submit(self, worker: int, task_id: int, task: Task) -> None:
        """See WorkerPool."""
        data = encode_task(task)
        self.longest_task = max(self.longest_task, len(data))
        own = decode_task(data)
        if isinstance(own, ScanTask):
            result = TaskResult(findings=Findings(), bytes=_PIECE, seconds=1.0)
            result.parts = [self._part(each) for each in own.pieces if isinstance(each, Piece)]
        else:
            self.joins += 1
            result = TaskResult(findings=self._joined(), documents=1, seconds=1.0)
        if own.part:
            result = file_result(result, own.part)
        self._ready.append(TaskDone(worker, task_id, decode_result(encode_result(result))))

    def _part(self, piece: Piece) -> PartResult:
        starts, blocks = self._starts, self._blocks
        spans = [Span(piece.start + at, 0, piece.start + at + len(_MATCH)) for at in starts]
        return PartResult(
            piece.document,
            piece.start,
            piece.end,
            pack_counts([1600] * len(range(piece.start, piece.end, NEWLINE_BLOCK))),
            encode_spans({0: spans}),
            digest=bytes(16),
            kept=keep(blocks, piece.start, 0, 5),
            keywords=(0,),
        )

    def _joined(self) -> Findings:
        found = Findings(["address"])
        row = FindingRow(0, 0, 1, 27, 1, 1, _MATCH, _MATCH, (), 3.5, 1, 1, 27)
        found.add("large", [row], numbered=False)
        return found


def scan(size: int, matches: int, run: str | None) -> dict[str, int]:
    """Scan a document of `size` bytes; what it came to."""
    pool = PiecesPool(matches)
    recording = None if run is None else RunDirectory(run, {}, b"", resume=False)
    plan = Plan([DocumentRef("large", size, 1, 1)], _PIECE)
    callbacks = Callbacks(lambda _: None, lambda _: None, print, lambda _t, _p: None)
    outcome = run_scan(plan, pool, _RULES, callbacks, recording=recording)
    if recording is not None:
        recording.close()
    if not outcome.complete or outcome.totals.findings < 1:
        raise SystemExit(f"the document was not scanned: {outcome.problems}")
    return {
        "pieces": -(-size // _PIECE),
        "joins": pool.joins,
        "longest task": pool.longest_task,
        "peak kB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1.0, 1000.0])
    parser.add_argument("--matches", type=int, default=100, help="of a piece (100)")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(scan(int(args.one[0]), args.matches, args.one[1] or None)))
        return
    runs: list[dict[str, object]] = []
    for how in ("as it is", "with --run-dir"):
        first: dict[str, int] = {}
        for gigabytes in args.gigabytes:
            with tempfile.TemporaryDirectory() as name:
                place = "" if how == "as it is" else str(Path(name, "run"))
                asked = [sys.executable, __file__, "--matches", str(args.matches), "--one"]
                asked += [str(int(gigabytes * 1e9)), place]
                done = subprocess.run(
                    asked, stdout=subprocess.PIPE, check=True, env={**os.environ, "TMPDIR": name}
                )
            own = json.loads(done.stdout)
            first = first or own
            more = own["peak kB"] - first["peak kB"]
            each = more * 1024 / max(1, own["pieces"] - first["pieces"])
            runs.append({"how": how, "gigabytes": gigabytes, **own, "more kB": more})
            print(
                f"{how}: {gigabytes:,g} GB in {own['pieces']:,} pieces, {own['joins']} joins, the "
                f"longest task {own['longest task'] / 1e6:.1f} MB; peak {own['peak kB'] >> 10} MB, "
                f"{more / 1024:.0f} MB more, {each:,.0f} bytes for each piece",
                flush=True,
            )
    if args.record:
        record = run_facts(None, "address") | {"matches": args.matches, "runs": runs}
        append("large_document.jsonl", record)


if __name__ == "__main__":
    main()
