"""How many workers can one driver keep busy? Real driver, plan and codec; simulated workers.

    python benchmarks/driver_scale.py [--workers 1024] [--files 10000000] [--lease 1.0]
                                      [--straggler 60] [--record]

Workers take tasks by a clock of their own: a task of the median size takes --lease seconds, one of
them --straggler times as long. The driver runs at its own speed. Printed: how busy the workers
were, which share of a core the driver would have taken of that time, its memory, and the time that
the plan alone takes.
"""

from __future__ import annotations

import argparse
import heapq
import json
import resource
import time
from collections.abc import Iterator, Sequence

from results_file import append, run_facts

from vyre_dist.driver.events import Event, TaskDone, WorkerReady
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.run import Callbacks, run_scan
from vyre_dist.driver.worker_facts import WorkerFacts
from vyre_dist.engine.finding_blocks import Findings
from vyre_dist.engine.task_codec import decode_result, encode_result, encode_task
from vyre_dist.engine.tasks import ScanTask, Task, TaskResult, count
from vyre_dist.sources.document import FolderFiles

_FOLDER = 1000
_ASSUMED = 32 << 10


class SimulatedPool:
    """Workers that do nothing but take their time, in order, each one task after the other."""

    name = "simulated"

    def __init__(self, workers: int, lease: float, straggler: float, files: int) -> None:
        """`files`: of a task that takes `lease` seconds."""
        self._files = files
        self.at_once = self._count = workers
        self._lease, self._straggler = lease, straggler
        self._ready: list[Event] = []
        self._done: list[tuple[float, int, int, int]] = []
        self._free_at = [0.0] * workers
        self.now = self.busy = 0.0
        self.tasks = 0

    def start(self) -> Sequence[int]:
        return range(self._count)

    def begin(self, worker: int) -> None:
        facts = WorkerFacts("", f"host-{worker}", worker + 1, "cpu")
        self._ready.append(WorkerReady(worker, facts=facts))

    def submit(self, worker: int, task_id: int, task: Task) -> None:
        assert isinstance(task, ScanTask)
        encode_task(task)
        files = count(task.pieces)
        seconds = self._lease * files / self._files
        self.tasks += 1
        if self.tasks == self._count * 2:
            seconds *= self._straggler
        began = max(self._free_at[worker], self.now)
        self._free_at[worker] = began + seconds
        self.busy += seconds
        heapq.heappush(self._done, (began + seconds, worker, task_id, files))

    def poll(self, timeout: float) -> list[Event]:
        events, self._ready = self._ready, []
        if not events and self._done and self._done[0][0] > self.now + timeout:
            self.now += timeout
        elif not events and self._done:
            self.now, worker, task_id, files = heapq.heappop(self._done)
            result = TaskResult(
                findings=Findings([]),
                documents=files,
                bytes=files * _ASSUMED,
                seconds=self._lease * files / self._files,
            )
            answer = decode_result(encode_result(result))
            events.append(TaskDone(worker, task_id, answer))
        return events

    def replace(self, worker: int) -> None:
        raise AssertionError(f"worker {worker} was not lost")

    def unusable(self) -> str:
        return ""

    def notes(self) -> Sequence[str]:
        return []

    def close(self) -> None:
        pass


def folders(files: int) -> Iterator[FolderFiles]:
    """A tree of so many files."""
    for first in range(0, files, _FOLDER):
        names = [f"file-{number:08}.txt" for number in range(first, min(first + _FOLDER, files))]
        yield FolderFiles(f"/corpus/{first // _FOLDER:06}/", names)


def plan_of(args: argparse.Namespace) -> Plan:
    return Plan(folders(args.files), args.lease_files * _ASSUMED, args.lease_files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1024])
    parser.add_argument("--files", type=int, default=10_000_000)
    parser.add_argument("--lease", type=float, default=1.0, help="seconds (1)")
    parser.add_argument("--lease-files", type=int, default=100, help="of one lease (100)")
    parser.add_argument("--straggler", type=float, default=60.0, help="one lease's factor (60)")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    began = time.process_time()
    plan = plan_of(args)
    while not plan.ended:
        plan.next()
        plan.forget([plan.documents - 1])
    planning = time.process_time() - began
    for workers in args.workers:
        pool = SimulatedPool(workers, args.lease, args.straggler, args.lease_files)
        callbacks = Callbacks(lambda _: None, lambda _: None, print, lambda _t, _p: None)
        began = time.process_time()
        outcome = run_scan(plan_of(args), pool, [], callbacks, clock=lambda pool=pool: pool.now)
        seconds = time.process_time() - began
        assert outcome.totals.documents == args.files
        record = {
            **run_facts(None, None),
            "workers": workers,
            "files": args.files,
            "tasks": pool.tasks,
            "lease": args.lease,
            "files of a lease": args.lease_files,
            "straggler": args.straggler,
            "busy": round(pool.busy / (workers * pool.now), 4),
            "driver's share of a core": round(seconds / pool.now, 3),
            "us for a task": round(seconds / pool.tasks * 1e6, 1),
            "seconds to plan": round(planning, 1),
            "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        }
        print(json.dumps(record, indent=1))
        if args.record:
            append("driver_scale.jsonl", record)


if __name__ == "__main__":
    main()
