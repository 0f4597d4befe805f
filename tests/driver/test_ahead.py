"""Ahead of time: what is measured on, in which order, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from gpu_device import Gpu

from vyre_dist import RulePack
from vyre_dist.autotune.choice import Choice
from vyre_dist.engine.tasks import ScanTask, Task, TaskResult
from vyre_dist.program import ArtifactCache
from vyre_dist.runs.ahead import AheadOfTime, Sample
from vyre_dist.tuning.comparison import Comparison
from vyre_dist.tuning.variants import SERIAL, challengers

PACK = RulePack.from_patterns({"token": r"\btoken=[0-9a-f]{8}\b"}).data


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three files of 6 MB with one match each, in three shards, and a small one."""
    for name in "abc":
        text = b"int x; /* nothing of it */\n" * 240_000
        (tmp_path / name).write_bytes(text + b"token=deadbeef\n")
    (tmp_path / "e").write_bytes(b"token=deadbeef\n" * 40)
    return tmp_path


def paths_of(task: Task) -> tuple[str, ...]:
    assert isinstance(task, ScanTask)
    return tuple(piece.path[-1] for piece in task.pieces if hasattr(piece, "path"))


def test_a_sample_is_in_order_and_evenly_spread(tree: Path) -> None:
    """The same each time; of too much, every so many parts are taken."""
    whole = Sample.of([str(tree)], "cpu")
    assert [paths_of(task) for task in whole.tasks] == [("a",), ("b",), ("c", "e")]
    assert whole.bytes == whole.there == sum(f.stat().st_size for f in tree.iterdir())
    some = Sample.of([str(tree)], "cpu", most_bytes=12 << 20)
    assert [paths_of(task) for task in some.tasks] == [("a",), ("b",)]
    assert some.bytes < some.there == whole.there
    assert Sample.of([str(tree)], "cpu", most_bytes=12 << 20) == some
    assert [paths_of(t) for t in Sample.of([str(tree)], "cpu", most_bytes=1).tasks] == [("a",)]


def test_each_challenger_is_measured_on_the_same_bytes(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first task of the class on, in order, whoever was measured before."""
    ahead = AheadOfTime(PACK, "cpu", Sample.of([str(tree)], "cpu"), ArtifactCache(None))
    (only,) = ahead.classes
    assert (only.workload, only.documents, len(only.tasks)) == ("rare-large", 4, 3)
    asked: dict[Choice, list[tuple[str, ...]]] = {}
    run = ahead.engine.run

    def told(task: Task) -> TaskResult:
        assert isinstance(task, ScanTask) and task.trial is not None
        asked.setdefault(task.trial.challenger, []).append(paths_of(task))
        return run(task)

    monkeypatch.setattr(ahead.engine, "run", told)
    for choice in challengers(ahead.programs):
        found = ahead.compared(only, choice, 16)
        assert isinstance(found, Comparison) and found.pairs >= 16
    first, *others = asked.values()
    assert first[:4] == [("a",), ("b",), ("c", "e"), ("a",)]
    for other in others:
        assert other[:3] == first[:3]


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        (Choice.of(engine="x"), "a choice of engine"),
        (Choice.of(lane="both"), "use fused or serial"),
        (Choice.of(dispatch_bytes=1 << 40), "dispatch_bytes"),
        (Choice.of(threads=64), "none of its runs could be compared"),
    ],
)
def test_what_can_not_be_run_is_refused(tmp_path: Path, choice: Choice, reason: str) -> None:
    """With the reason; what is for a GPU does not run on a processor."""
    (tmp_path / "a").write_bytes(b"token=deadbeef\n")
    ahead = AheadOfTime(PACK, "cpu", Sample.of([str(tmp_path)], "cpu"), ArtifactCache(None))
    found = ahead.compared(ahead.classes[0], choice, 16)
    assert isinstance(found, str) and reason in found


def test_a_gpu_is_measured_in_this_process(gpu: Gpu, tmp_path: Path) -> None:
    """Other instances are compiled, and what they find is compared."""
    del gpu
    (tmp_path / "a").write_bytes(b"int x;\n" * 500 + b"token=deadbeef\n")
    ahead = AheadOfTime(PACK, "cuda", Sample.of([str(tmp_path)], "cuda"), ArtifactCache(None))
    assert ahead.programs.tunables
    tunable = next(each for each in challengers(ahead.programs) if each.get("tile_bytes"))
    for choice in (SERIAL, tunable):
        found = ahead.compared(ahead.classes[0], choice, 2)
        assert isinstance(found, Comparison) and found.pairs == 2
