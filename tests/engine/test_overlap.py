"""ScanEngine with a backend that works on its own: the next task is read meanwhile, and every task
gets its own answer, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from vyre_dist import RulePack
from vyre_dist.autotune.choice import Choice
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.shards import cut
from vyre_dist.engine.task_run import TaskRun
from vyre_dist.engine.tasks import Challenge, FolderRun, Piece, ScanTask, StitchTask, Task, piece_of
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.errors import WorkerUnusableError
from vyre_dist.extract import Window
from vyre_dist.kernels.backends import BACKENDS, cpu_backend_class
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome, StartedDispatch
from vyre_dist.kernels.tuned import COMPILING, READY
from vyre_dist.sources.document import DocumentRef

PACK = RulePack.from_patterns({"token": r"tok_[a-z0-9]{12}"})
SHARD = 8000


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ScanEngine:
    """One whose backend has its work done when it is waited for, from memory that it gave."""

    class Deferred(cpu_backend_class()):  # type: ignore[misc]
        waiting = 0
        faults: dict[int, Exception] = {}  # noqa: RUF012 (a test's own)
        dispatch_bytes = most_bytes = 2000

        def read_memory(self, size: int) -> memoryview:
            return memoryview(bytearray(size))

        def start_fused(self, windows: Sequence[Window]) -> Callable[[], DispatchOutcome]:
            assert not self.waiting, "one at a time"
            self.waiting = 1
            held = [bytes(window.data) for window in windows]

            def finish() -> DispatchOutcome:
                self.waiting = 0
                assert [bytes(window.data) for window in windows] == held, "read over"
                for bad, error in self.faults.items():
                    if any(b"fault %d" % bad in data for data in held):
                        raise error
                outcome: DispatchOutcome = self.run_fused(windows)
                return outcome

            return finish

    monkeypatch.setitem(BACKENDS, "deferred", lambda pack, cache, _: Deferred(pack, cache))
    return ScanEngine(
        PACK.data, EngineConfig(backend="deferred", speculation="force", shard_bytes=SHARD)
    )


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    """Folders of small files, a file in pieces, a task of which nothing is left to scan."""
    made: list[Task] = []
    for folder in range(6):
        (tmp_path / f"d{folder}").mkdir()
        for name in range(7):
            text = b"." * (300 * name) + b" tok_%06d%06d\n" % (folder, name)
            (tmp_path / f"d{folder}" / f"f{name}").write_bytes(text)
        names = [f"f{name}" for name in range(7)]
        made.append(ScanTask((FolderRun.of(10 * folder, f"{tmp_path}/d{folder}/", names),)))
    large = tmp_path / "large"
    large.write_bytes(b"".join(b"line tok_%012d\n" % number for number in range(900)))
    info = large.stat()
    whole = piece_of(
        70,
        DocumentRef(
            path=str(large),
            size=info.st_size,
            mtime_ns=info.st_mtime_ns,
            inode=info.st_ino,
            ctime_ns=info.st_ctime_ns,
        ),
    )
    made[2:2] = [ScanTask((piece,)) for piece in cut(whole, SHARD)]
    # the file has grown beyond a shard since it was listed: nothing is dispatched
    made.insert(4, ScanTask((FolderRun.of(80, f"{tmp_path}/", ["large"]),)))
    made.insert(6, ScanTask((Piece(90, str(tmp_path / "gone"), 5, 0, 5),)))
    return made


def through(engine: ScanEngine, tasks: Sequence[Task]) -> Iterator[TaskRun]:
    """The tasks' runs in the order in which they end."""
    ended: list[TaskRun] = []
    for task in tasks:
        engine.begin(task, engine.new_run(ended.append))
        while ended:
            yield ended.pop(0)
    engine.flush()
    yield from ended


def test_answers_are_those_of_tasks_one_by_one(engine: ScanEngine, tasks: list[Task]) -> None:
    """Whatever is on the device when a task begins."""
    want = [engine.run(task) for task in tasks]
    assert sum(len(answer.findings) for answer in want) == 42
    assert sum(len(answer.parts) for answer in want) == 3 and any(a.large for a in want)
    got = [run.result() for run in through(engine, tasks)]
    for mine, theirs in zip(got, want, strict=True):
        mine.seconds = theirs.seconds = 0
        assert mine == theirs


def test_a_task_stays_on_the_device_until_the_next_one_is_read(
    engine: ScanEngine, tasks: list[Task]
) -> None:
    """Its run ends when the next task's first dispatch has begun, before that is looked at."""
    second = engine.new_run(lambda _: None)
    ended: list[tuple[str, int]] = []
    first = engine.new_run(lambda _: ended.append(("first", second.answer.documents)))
    engine.begin(tasks[0], first)
    assert ended == []
    engine.begin(tasks[1], second)
    assert ended == [("first", 0)]
    engine.flush()
    assert second.answer.documents == 7


def test_only_trials_wait(
    engine: ScanEngine, tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a challenger is compiled, and when its pairs are done, dispatches overlap."""
    want = [engine.run(task) for task in tasks[:2]]
    challenger, state = Choice.of(threshold_pct=7), READY
    monkeypatch.setattr(
        engine.backend, "prepare", lambda choice: READY if choice.is_default else state
    )
    first, second = (
        replace(task, trial=Challenge(challenger, 1, 10**12))
        for task in tasks[:2]
        if isinstance(task, ScanTask)
    )
    engine.run(first)  # its first run gives no pair
    state = COMPILING
    ended: list[TaskRun] = []
    at_starts: list[int] = []
    start = engine.backend.start_fused

    def started(windows: Sequence[Window]) -> StartedDispatch:
        at_starts.append(len(ended))
        return start(windows)

    monkeypatch.setattr(engine.backend, "start_fused", started)
    engine.begin(first, engine.new_run(ended.append))
    before = len(at_starts)
    engine.begin(first, engine.new_run(ended.append))
    # the second one's dispatch began before the first one was over
    assert at_starts[before] == 0 and len(ended) == 1
    del ended[0]
    state = READY
    last = engine.new_run(ended.append)
    engine.begin(second, last)
    assert len(ended) == 1 and not ended[0].answer.pairs
    assert engine._dispatches.has(last) and len(last.answer.pairs) == 1
    engine.flush()
    assert [run.answer.findings for run in ended] == [answer.findings for answer in want]


def test_a_dispatch_that_fails_is_its_own_tasks_failure(
    engine: ScanEngine, tasks: list[Task], tmp_path: Path
) -> None:
    """Those before and after it have their answers."""
    (tmp_path / "d3" / "f6").write_bytes(b"fault 1" + b"." * 1900)
    engine.backend.faults = {1: ValueError("the device has hiccups")}  # type: ignore[attr-defined]
    runs = list(through(engine, tasks))
    failed = [number for number, run in enumerate(runs) if run.error is not None]
    assert [str(runs[number].error) for number in failed] == ["the device has hiccups"]
    task = tasks[failed[0]]
    assert isinstance(task, ScanTask) and isinstance(task.pieces[0], FolderRun)
    assert task.pieces[0].prefix.endswith("/d3/")
    assert sum(len(run.answer.findings) for run in runs if run.error is None) == 35


def test_a_device_that_is_gone_ends_the_engine(
    engine: ScanEngine, tasks: list[Task], tmp_path: Path
) -> None:
    """What it was asked before is not answered: the driver has another worker do it."""
    (tmp_path / "d0" / "f6").write_bytes(b"fault 1" + b"." * 1900)
    engine.backend.faults = {1: WorkerUnusableError("gone")}  # type: ignore[attr-defined]
    ended: list[TaskRun] = []
    with pytest.raises(WorkerUnusableError, match="gone"):
        for task in tasks:
            engine.begin(task, engine.new_run(ended.append))
    assert ended == []


def test_joining_waits_for_what_was_asked_before(engine: ScanEngine, tasks: list[Task]) -> None:
    """The parts of a file are joined while nothing else of the engine's is on the device."""
    parts = [part for run in through(engine, tasks) for part in run.answer.parts]
    scan = next(t for t in tasks if isinstance(t, ScanTask) and isinstance(t.pieces[0], Piece))
    piece = scan.pieces[0]
    assert isinstance(piece, Piece)
    whole = piece._replace(start=0, end=piece.size)
    runs = list(through(engine, [tasks[0], StitchTask(whole, tuple(parts)), tasks[1]]))
    assert [len(run.result().findings) for run in runs] == [7, 900, 7]
