"""What does a small file cost each process of a scan on a GPU, beside reading it? No GPU is needed.

    python benchmarks/small_files.py [--files 200000] [--rounds 5] [--text TREE|SAMPLE]
                                     [--rules PACK] [--record]

A tree of links to files of 17 kB in the mean, 50 in a folder, is made in memory. Each part of a
scan then runs by itself, in this process: reading alone, as scan_files.py measures it; reading into
a worker's memory; all else that a worker does, up to the device and from there, with one that finds
nothing; listing folders; the walk, with folders that were listed ahead, and by itself; and the
driver, with workers that answer at once. Printed and recorded: processor microseconds for a file,
the least of some rounds that take turns.
"""

from __future__ import annotations

import argparse
import mmap
import os
import shutil
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ceilings import FilePiece, pieces_of
from planted_trees import Corpus, kind_of, link_tree
from results_file import append, run_facts

from vyre_dist import EngineConfig, RulePack
from vyre_dist.compiler.arena import Arena
from vyre_dist.driver.events import Event, TaskDone, WorkerReady
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.run import Callbacks, run_scan
from vyre_dist.driver.worker_facts import WorkerFacts
from vyre_dist.engine import ScanEngine, worker
from vyre_dist.engine.finding_blocks import Findings
from vyre_dist.engine.read_buffer import ReadBuffer
from vyre_dist.engine.task_codec import decode_result, decode_task, encode_result, encode_task
from vyre_dist.engine.task_run import TaskRun
from vyre_dist.engine.tasks import ScanTask, Task, TaskResult, count
from vyre_dist.extract.file_windows import FileWindows
from vyre_dist.kernels.cuda.backend import DISPATCH_BYTES, CudaBackend
from vyre_dist.kernels.cuda.lane_facts import LaneFacts
from vyre_dist.kernels.cuda.pending import DeviceRows
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.program.tunables import Tunables
from vyre_dist.rows.layout import CONTENT_DTYPE, MATCH_DTYPE, ROW_DTYPE
from vyre_dist.sources import FileNames, FolderFiles, walk_folders
from vyre_dist.sources.listings import PlainFolder, plain_folder

SHARD_BYTES = 32 << 20
WORKERS = 15


class SilentLane:
    """A device that finds nothing, at once."""

    tunables = Tunables()
    runs = LaneFacts(tunables, "no device", {})

    def prepare(self, tunables: Tunables) -> str:
        return "" if tunables == self.tunables else "compiling"

    def use(self, tunables: Tunables) -> None:
        pass

    def room(self, size: int, name: str) -> npt.NDArray[np.uint8]:
        file = os.memfd_create(name)
        os.ftruncate(file, size)
        return np.frombuffer(mmap.mmap(file, size), np.uint8)

    def start(self, arena: Arena) -> None:
        arena.starts.tobytes(), arena.ends.tobytes(), arena.at_start.tobytes()

    def finish(self) -> DeviceRows:
        none = (np.zeros(0, kind) for kind in (ROW_DTYPE, MATCH_DTYPE, CONTENT_DTYPE))
        rows, matches, contents = none
        return DeviceRows(rows, 1, 1, matches, None, contents)

    def fused(self, arena: Arena) -> DeviceRows:
        self.start(arena)
        return self.finish()

    def list_hits(self, arena: Arena) -> None:
        pass

    def confirm(self) -> DeviceRows:
        return self.finish()


class Listed:
    """Folders that were listed before."""

    def __init__(self, known: dict[str, PlainFolder | None]) -> None:
        self.known = known

    def wants_more(self) -> bool:
        return False

    def want(self, locations: Sequence[str]) -> None:
        raise AssertionError(locations)

    def of(self, location: str) -> PlainFolder | None:
        return self.known[location]


class PromptPool:
    """Workers that have done a task when they are given it."""

    name = "prompt"
    same_machine = True
    at_once = WORKERS

    def __init__(self) -> None:
        self._events: list[Event] = []

    def start(self) -> Sequence[int]:
        return range(WORKERS)

    def begin(self, worker: int) -> None:
        facts = WorkerFacts("", "host", worker + 1, "cpu")
        self._events.append(WorkerReady(worker, facts=facts))

    def submit(self, worker: int, task_id: int, task: Task) -> None:
        assert isinstance(task, ScanTask)
        encode_task(task)
        files = count(task.pieces)
        result = TaskResult(
            findings=Findings([]), documents=files, bytes=17_000 * files, seconds=files / 1e5
        )
        answer = decode_result(encode_result(result))
        self._events.append(TaskDone(worker, task_id, answer))

    def poll(self, timeout: float) -> list[Event]:
        del timeout
        events, self._events = self._events, []
        return events

    def replace(self, worker: int) -> None:
        raise AssertionError(f"worker {worker} was not lost")

    def unusable(self) -> str:
        return ""

    def notes(self) -> Sequence[str]:
        return []

    def close(self) -> None:
        pass


def plan_of(folders: Iterable[FolderFiles]) -> Plan:
    return Plan(folders, SHARD_BYTES)


def shards_of(folders: Iterable[FolderFiles]) -> Iterator[bytes]:
    """Tasks as they are sent."""
    plan = plan_of(folders)
    while not plan.ended:
        planned = plan.next()
        if not plan.ended:
            yield encode_task(ScanTask(planned.pieces))


def read_alone(pieces: Sequence[FilePiece]) -> None:
    """As ceilings.py does."""
    buffer = memoryview(bytearray(max(length for _, _, length in pieces)))
    for path, start, length in pieces:
        fd = os.open(path, os.O_RDONLY)
        os.preadv(fd, [buffer[:length]], start)
        os.close(fd)
        time.perf_counter()


def read_into(memory: ReadBuffer, folders: Sequence[FolderFiles], names: list[list[bytes]]) -> None:
    """A worker's reading, without a device that its memory has to wait for."""
    windows, room = FileWindows(), DISPATCH_BYTES
    for folder, raw in zip(folders, names, strict=True):
        at = 0
        while at < len(raw):
            at = memory.read_files(folder.prefix, raw, at, len(raw), windows, room)
            room = DISPATCH_BYTES - sum(windows.ends) + sum(windows.starts)
            if room <= 0:
                windows.take()
                memory.clear()
                room = DISPATCH_BYTES


def engine_of(rules: str | None, cache: Path) -> ScanEngine:
    """A worker's engine with a device that finds nothing."""

    def opened(_: str, compiled: CompiledPack, cache: ArtifactCache, __: object) -> CudaBackend:
        return CudaBackend(compiled, cache, SilentLane())

    worker.open_backend = opened
    return ScanEngine(RulePack.load(rules).data, EngineConfig(cache_dir=str(cache)))


def work(engine: ScanEngine, tasks: Sequence[bytes]) -> int:
    """All that a worker does; the number of documents."""
    done = [0]

    def answered(run: TaskRun) -> None:
        encode_result(run.result())
        done[0] += run.answer.documents

    for task in tasks:
        engine.begin(decode_task(task), engine.new_run(answered))
    engine.flush()
    return done[0]


def drive(folders: Sequence[FolderFiles]) -> int:
    """All that the driver does, but for outputs and a run directory."""
    callbacks = Callbacks(lambda _: None, lambda _: None, print, lambda _t, _p: None)
    return run_scan(plan_of(folders), PromptPool(), [], callbacks).totals.documents


def parts_of(tree: Path, rules: str | None, cache: Path) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    folders = [item for item in walk_folders([tree]) if isinstance(item, FolderFiles)]
    names = [list(map(os.fsencode, folder.names)) for folder in folders]
    paths = [folder.prefix + name for folder in folders for name in folder.names]
    pieces = pieces_of([(path, os.stat(path).st_size) for path in paths])
    engine, tasks = engine_of(rules, cache), list(shards_of(folders))
    lane = SilentLane()
    memory = ReadBuffer(DISPATCH_BYTES, SHARD_BYTES, lambda size: lane.room(size, "read").data)
    packed = [FolderFiles(f.prefix, FileNames.of(f.names)) for f in folders]
    below = [os.path.join(place, name) for place, names, _ in os.walk(tree) for name in names]
    locations = [str(tree), *below]
    known = {each: plain_folder(os.fsencode(each), frozenset()) for each in locations}
    assert work(engine, tasks) == drive(packed) == len(paths)
    return {
        "reading alone": lambda: read_alone(pieces),
        "reading into a worker's memory": lambda: read_into(memory, folders, names),
        "worker, but for the device": lambda: work(engine, tasks),
        "listing folders": lambda: [plain_folder(os.fsencode(e), {1}) for e in locations],
        "walk, folders listed ahead": lambda: list(walk_folders([tree], listings=Listed(known))),
        "walk by itself": lambda: list(walk_folders([tree])),
        "driver": lambda: drive(packed),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--distinct", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--text", default=sysconfig.get_paths()["stdlib"])
    parser.add_argument("--rules", help="default: everything built in")
    parser.add_argument("--folder", type=Path, help="where the tree is made (default: /dev/shm)")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="vyre-small-files-", dir=args.folder or "/dev/shm"))  # noqa: S108
    try:
        kind = kind_of("small", "17k")
        corpus = Corpus(root, args.text, args.rules, 16, 8_000_000)
        made = corpus.write(kind, args.distinct * kind.file_bytes, len(os.sched_getaffinity(0)))
        tree = link_tree(made, args.files, root / "tree", len(os.sched_getaffinity(0)))
        parts = parts_of(tree, args.rules, root / "cache")
        taken: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(args.rounds):
            for name, part in parts.items():
                began = time.process_time()
                part()
                taken[name].append((time.process_time() - began) / args.files * 1e6)
        least = {name: round(min(each), 3) for name, each in taken.items()}
        for name, each in least.items():
            print(f"{name:32} {each:7.3f} us of a processor for a file", flush=True)
        if args.record:
            facts = run_facts(None, args.rules)
            append("small_files.jsonl", {**facts, "files": args.files, "us for a file": least})
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
