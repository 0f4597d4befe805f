"""StagedRun: nothing is written in the first seconds, and nothing is missing later."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vyre_dist.engine.finding_blocks import FindingBlock, Findings
from vyre_dist.engine.tasks import FolderRun, TaskResult
from vyre_dist.errors import UsageError
from vyre_dist.ledger import owner, staged
from vyre_dist.ledger.entries import Entry, covered_by
from vyre_dist.ledger.history import History
from vyre_dist.ledger.owner import Owner
from vyre_dist.ledger.records import Worker
from vyre_dist.ledger.run_directory import RunDirectory
from vyre_dist.ledger.staged import STAGED_SECONDS, StagedRun
from vyre_dist.leftovers import make_folder
from vyre_dist.storage import LocalStorage


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def entry(shard: int, data: bytes = b"x") -> Entry:
    result = TaskResult(findings=Findings(blocks=[FindingBlock((shard, 0, 0), 1, True, data)]))
    return Entry(shard, result, covered_by((FolderRun.of(shard, "d/", [str(shard)]),)))


def plan(run: StagedRun, shard: int) -> None:
    run.planned(shard, (FolderRun.of(shard, "d/", [str(shard)]),))


def test_what_waits_goes_to_the_directory(tmp_path: Path) -> None:
    """When its time has come, and the rest as it comes."""
    clock, place = Clock(), tmp_path / "run"
    run = StagedRun(lambda: RunDirectory(str(place), {}, b"", resume=False), clock)
    run.skipped = lambda: {"symlink": 1}
    plan(run, 0)
    plan(run, 1)
    run.worker(Worker(3, "here", "cpu", "x86", 2))
    run.record(0, entry(0), 5, 3)
    assert run.commit(idle=False) == 0
    clock.now += STAGED_SECONDS - 0.1
    assert run.commit(idle=True) is None
    assert not place.exists() and run.kept_in is None and run.part(0, 1) == ""
    clock.now += 0.1
    assert run.commit(idle=False) is None
    assert run.kept_in == str(place)
    assert run.part(1, 2) == str(place / "parts" / "1.2.1")
    run.record(1, entry(1), 6)
    assert run.commit(idle=True) == 1
    run.plan_ended()
    run.close()
    history = History(LocalStorage(str(place)))
    done = [[(d.began_ns, d.worker) for d in shard.done] for shard in history.shards()]
    assert done == [[(5, 3)], [(6, None)]]
    assert history.workers == {3: Worker(3, "here", "cpu", "x86", 2)}
    assert history.end is not None and history.end.skipped == {"symlink": 1}


def test_many_findings_do_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded."""
    monkeypatch.setattr(staged, "STAGED_BYTES", 1000)
    place = tmp_path / "run"
    run = StagedRun(lambda: RunDirectory(str(place), {}, b"", resume=False), Clock())
    plan(run, 0)
    run.record(0, entry(0, b"x" * 900), 0)
    assert run.commit(idle=True) == 0
    assert not place.exists()
    run.record(1, entry(0, b"x" * 900), 0)
    run.commit(idle=True)
    assert place.exists()
    run.close()


def test_a_scan_goes_on_where_there_can_be_no_directory(tmp_path: Path) -> None:
    """It tells why, and holds nothing."""
    clock = Clock()

    def refuse() -> RunDirectory:
        raise UsageError("no place")

    run = StagedRun(refuse, clock)
    plan(run, 0)
    run.record(0, entry(0), 0)
    clock.now += STAGED_SECONDS
    assert run.commit(idle=True) == 0
    assert run.trouble == "no place" and run.kept_in is None
    run.record(1, entry(0), 0)
    assert run.commit(idle=False) == 1
    run.finish(b"")
    run.close()
    assert os_empty(tmp_path)


def test_a_directory_that_another_driver_took_over_is_left_to_it(tmp_path: Path) -> None:
    """The one that was taken for dead while it began stops, and removes nothing."""
    place = str(tmp_path / "run")
    clock = Clock()
    drivers: list[RunDirectory] = []

    def begin() -> RunDirectory:
        first = RunDirectory(place, {}, b"", resume=False)
        first._owner.release()  # as the next one believes
        drivers.append(RunDirectory(place, {}, b"", resume=True))
        return first

    run = StagedRun(begin, clock)
    plan(run, 0)
    clock.now += STAGED_SECONDS
    with pytest.raises(owner.RunTakenError):
        run.commit(idle=True)
    assert run.kept_in is None
    run.close()
    (second,) = drivers
    second.planned(0, (FolderRun.of(0, "d/", ["0"]),))
    second.record(0, entry(0), 0)
    second.close()
    assert [len(shard.done) for shard in History(LocalStorage(place)).shards()] == [1]


def os_empty(folder: Path) -> bool:
    return not list(folder.iterdir())


def test_what_comes_when_its_time_has_come_is_told_as_kept(tmp_path: Path) -> None:
    """It may be the last there is: nobody would ever tell that it is kept."""
    clock = Clock()
    run = StagedRun(lambda: RunDirectory(str(tmp_path / "run"), {}, b"", resume=False), clock)
    plan(run, 0)
    clock.now += STAGED_SECONDS
    run.record(0, entry(0), 0)
    assert run.commit(idle=True) == 0
    assert run.commit(idle=True) is None
    run.close()


def private(parent: Path) -> RunDirectory:
    place, held = make_folder(str(parent), "run")
    return RunDirectory(place, {}, b"", resume=False, held=held)


def test_who_lost_a_run_does_not_discard_it(tmp_path: Path) -> None:
    """It does not know yet that it has lost it."""
    run = private(tmp_path)
    assert LocalStorage(run.place).create("owner/000002", b"{}")
    run.discard()
    assert LocalStorage(run.place).names("ledger") == ["000001"]


def test_a_run_is_let_go_of_when_nothing_is_left_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes it over before would begin to work in what goes away."""
    run, release = private(tmp_path), Owner.release
    there: list[bool] = []

    def released(self: Owner) -> None:
        there.append(os.path.exists(run.place))
        release(self)

    monkeypatch.setattr(Owner, "release", released)
    run.discard()
    assert there == [False] and os_empty(tmp_path)
