"""Part files that nothing names go, and no others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vyre_dist.engine.finding_blocks import FindingBlock, Findings
from vyre_dist.engine.part_files import INLINE_BYTES
from vyre_dist.engine.tasks import Piece, TaskResult
from vyre_dist.ledger import garbage
from vyre_dist.ledger.entries import Covered, Entry
from vyre_dist.ledger.garbage import clean_run
from vyre_dist.ledger.owner import RunBusyError
from vyre_dist.ledger.run_directory import RunDirectory
from vyre_dist.storage import LocalStorage

LARGE = TaskResult(
    findings=Findings(blocks=[FindingBlock((0, 0, 0), 1, False, b"x" * INLINE_BYTES)])
)


def opened(place: Path, resume: bool = False) -> RunDirectory:
    return RunDirectory(str(place), {}, b"", resume=resume)


def recorded(run: RunDirectory, shards: range) -> None:
    """As many shards, with a part file each."""
    for shard in shards:
        run.planned(shard, (Piece(shard, f"f{shard}", 9, 0, 9),))
        run.record(shard, Entry(shard, LARGE, Covered(((shard, shard + 1),))), 0)
    run.commit(idle=True)


def put(place: Path, *names: str) -> None:
    for name in names:
        LocalStorage(str(place)).put(f"parts/{name}", [b"x"])


def test_a_run_that_is_over_has_no_garbage(tmp_path: Path) -> None:
    """What a dead worker left goes, and the proof, and what was not written to its end."""
    run = opened(tmp_path / "run")
    assert run.proof in os.listdir(tmp_path / "run" / "parts")
    recorded(run, range(3))
    put(tmp_path / "run", "1.77.1", "9.78.1", "1.77.2", "proof.abc.1", "somebody's")
    run.finish(b"{}")
    run.close()
    left = LocalStorage(str(tmp_path / "run")).names("parts")
    # another driver's, who may be about to name it, and what is no part file
    assert left == ["0.e0.1", "1.77.2", "1.e1.1", "2.e2.1", "somebody's"]


def test_a_resumed_run_keeps_what_the_driver_before_has_named(tmp_path: Path) -> None:
    """And not what it has not."""
    run = opened(tmp_path / "run")
    recorded(run, range(2))
    put(tmp_path / "run", "1.77.1")
    run.close()
    run = opened(tmp_path / "run", resume=True)
    recorded(run, range(2, 3))
    put(tmp_path / "run", "2.5.2")
    run.finish(b"{}")
    run.close()
    assert LocalStorage(str(tmp_path / "run")).names("parts") == ["0.e0.1", "1.e1.1", "2.e2.2"]


def test_a_healthy_run_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its driver knows that it has named all that is there."""

    def read(_: object) -> None:
        raise AssertionError("the ledger was read again")

    run = opened(tmp_path / "run")
    recorded(run, range(3))
    monkeypatch.setattr(garbage, "History", read)
    run.finish(b"{}")
    assert len(os.listdir(tmp_path / "run" / "parts")) == 3
    run.close()


def test_a_driver_that_lost_the_run_removes_nothing(tmp_path: Path) -> None:
    """What it thinks nobody names may be named by now."""
    run = opened(tmp_path / "run")
    recorded(run, range(1))
    put(tmp_path / "run", "0.5.1")
    # as if it had been taken over after the outputs were found to be whole
    owner = LocalStorage(str(tmp_path / "run"))
    put_report = owner.put

    def taken(self: LocalStorage, name: str, data: list[bytes]) -> None:
        put_report(name, data)
        if name == "report.json":
            put_report("owner/000002", [json.dumps({}).encode()])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalStorage, "put", taken)
        run.finish(b"{}")
    assert "0.5.1" in os.listdir(tmp_path / "run" / "parts")


def test_cleaning_leaves_a_run_alone_that_somebody_works_on(tmp_path: Path) -> None:
    """And takes over one that nobody does, so that one that was wrongly taken for dead stops."""
    run = opened(tmp_path / "run")
    recorded(run, range(1))
    put(tmp_path / "run", "0.5.1")
    storage = LocalStorage(str(tmp_path / "run"))
    for dry in (True, False):
        with pytest.raises(RunBusyError):
            list(clean_run(storage, dry_run=dry))
    run.close()
    garbage_at = str(tmp_path / "run" / "parts" / "0.5.1")
    assert list(clean_run(storage, dry_run=True)) == [garbage_at]
    assert storage.names("parts") == ["0.5.1", "0.e0.1"]
    assert list(clean_run(storage, dry_run=False)) == [garbage_at]
    assert storage.names("parts") == ["0.e0.1"]
    assert storage.names("owner") == ["000001", "000002"]
    resumed = opened(tmp_path / "run", resume=True)
    assert resumed.history.entries == 1
    resumed.close()
