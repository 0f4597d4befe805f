"""History: what drivers one after the other have put down, and what of it counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vyre_dist.engine.filed import Filed
from vyre_dist.engine.finding_blocks import FindingBlock, Findings
from vyre_dist.engine.part_files import INLINE_BYTES, file_result
from vyre_dist.engine.tasks import FolderRun, Item, Piece, TaskResult
from vyre_dist.engine.wire import WireError
from vyre_dist.errors import UsageError
from vyre_dist.input_problem import InputProblem
from vyre_dist.ledger import run_directory
from vyre_dist.ledger.entries import Entry, covered_by
from vyre_dist.ledger.history import History
from vyre_dist.ledger.identity import RunDiffersError
from vyre_dist.ledger.journal import GROUP_SECONDS, MOST_GROUP_SECONDS, PLAN_SECONDS, Journal
from vyre_dist.ledger.owner import BEAT_SECONDS, RunBusyError, RunTakenError
from vyre_dist.ledger.run_directory import RunDirectory
from vyre_dist.leftovers import make_folder
from vyre_dist.storage import LocalStorage
from vyre_dist.storage.frames import DamagedError

FACTS = {"version": "1", "PATHS": ["a"]}


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "run")


def opened(place: str, resume: bool = False) -> RunDirectory:
    return RunDirectory(place, FACTS, b"pack", resume=resume)


def items(shard: int) -> tuple[Item, ...]:
    return (FolderRun.of(2 * shard, f"d{shard}/", ["a", "b"]),)


def entry(shard: int, data: bytes = b"x") -> Entry:
    block = FindingBlock((2 * shard, 0, 0), 1, True, data)
    result = TaskResult(documents=2, findings=Findings(blocks=[block]))
    return Entry(shard, result, covered_by(items(shard)))


def history(place: str) -> History:
    return History(LocalStorage(place))


def blocks(place: str) -> list[list[bytes]]:
    """The findings of each shard."""
    return [
        [
            block.data if isinstance(block.data, bytes) else block.data.read()
            for done in shard.done
            for block in done.entry.result.findings.blocks
        ]
        for shard in history(place).shards()
    ]


def test_a_run_is_read_back(place: str) -> None:
    """What one driver has planned, listed and done; and that the plan was whole."""
    run = opened(place)
    run.skipped = lambda: {"gitignored": 3}
    problem = InputProblem("d9", "permission", "no")
    for shard in range(3):
        run.planned(shard, items(shard))
    run.listed(problem)
    run.listed(problem)
    run.record(0, entry(1), 17)
    assert run.commit(idle=False) is None
    assert run.commit(idle=True) == 0
    assert run.commit(idle=True) is None
    run.plan_ended()
    run.record(1, entry(0, b"y" * INLINE_BYTES), 18)
    run.close()
    run.close()
    known = history(place)
    assert (known.planned, known.documents, known.problems) == (3, 6, [problem])
    assert known.end is not None and known.end.skipped == {"gitignored": 3}
    assert [shard.items for shard in known.shards()] == [items(0), items(1), items(2)]
    assert [[d.began_ns for d in shard.done] for shard in known.shards()] == [[18], [17], []]
    assert list(known.paths()) == ["d0/a", "d0/b", "d1/a", "d1/b", "d2/a", "d2/b"]
    assert blocks(place) == [[b"y" * INLINE_BYTES], [b"x"], []]
    assert LocalStorage(place).names("parts") == ["0.e1.1"]


def test_the_plan_is_kept_before_what_is_done_of_it(place: str) -> None:
    """And not for each entry: it is ahead of them. After a second it is kept anyway."""
    now = [0.0]
    run = RunDirectory(place, FACTS, b"pack", resume=False, monotonic=lambda: now[0])

    def kept_with(number: int, shard: int | None, seconds: float) -> int:
        if shard is not None:
            run.record(number, entry(shard), 0)
        now[0] += seconds
        assert run.commit(idle=False) == (None if shard is None else number)
        return history(place).planned

    for shard in range(3):
        run.planned(shard, items(shard))
    assert kept_with(0, 0, 1.5 * GROUP_SECONDS) == 3
    for shard in (3, 4):
        run.planned(shard, items(shard))
    assert kept_with(1, 1, 1.5 * GROUP_SECONDS) == 3
    assert kept_with(2, 3, 1.5 * GROUP_SECONDS) == 5
    run.planned(5, items(5))
    assert kept_with(3, 2, 1.5 * GROUP_SECONDS) == 5
    assert kept_with(4, None, PLAN_SECONDS) == 6
    assert [len(shard.done) for shard in history(place).shards()] == [1, 1, 1, 1, 0, 0]
    run.close()


def test_a_run_that_moved_is_read_back(place: str, tmp_path: Path) -> None:
    """Part files are named relative to the directory."""
    run = opened(place)
    run.planned(0, items(0))
    run.record(0, entry(0, b"y" * INLINE_BYTES), 0)
    run.close()
    (tmp_path / "run").rename(tmp_path / "moved")
    assert blocks(str(tmp_path / "moved")) == [[b"y" * INLINE_BYTES]]


def test_what_a_dead_driver_appends_later_does_not_count(place: str) -> None:
    """Not even when it has been taken for dead and was not: it is told, and stops."""
    first = opened(place)
    first.planned(0, items(0))
    first.planned(1, items(1))
    first.commit(idle=True)
    first._owner.release()  # as the next one believes
    second = opened(place, resume=True)
    first.record(0, entry(0, b"late"), 0)
    first.planned(2, items(2))
    with pytest.raises(RunTakenError):
        first.commit(idle=True)
    # if it had not looked in time
    first._writer.commit()
    assert first.kept_in is None
    first.close()
    second.record(0, entry(1, b"second"), 0)
    second.close()
    assert blocks(place) == [[], [b"second"]]
    third = opened(place, resume=True)
    assert third.history.planned == 2
    third.close()
    assert blocks(place) == [[], [b"second"]]


def test_entries_that_are_void_do_not_count(place: str) -> None:
    """In this driver's life and later ones, and the shard may have other items."""
    run = opened(place)
    run.planned(0, items(0))
    run.record(0, entry(0, b"a"), 0)
    run.record(1, entry(0, b"b"), 0)
    run.record(2, entry(0, b"c"), 0)
    run.void(0, [0, 2], (Piece(0, "d0/a", 0, 0, 0),))
    run.record(3, entry(0, b"d"), 0)
    run.void(0, [1], None)
    run.close()
    (shard,) = history(place).shards()
    assert shard.items == (Piece(0, "d0/a", 0, 0, 0),)
    assert blocks(place) == [[b"b"]]


def test_a_plan_whose_end_says_otherwise_is_damaged(place: str) -> None:
    """Its checksum is of all shards."""
    run = opened(place)
    run.planned(0, items(0))
    run._checksum ^= 1
    run.plan_ended()
    run.close()
    with pytest.raises(DamagedError, match="its end says"):
        history(place)


def test_logs_that_are_too_short_are_damaged(place: str) -> None:
    """Those of drivers before the last one: what was counted has to be there."""
    first = opened(place)
    first.planned(0, items(0))
    first.record(0, entry(0), 0)
    first.close()
    opened(place, resume=True).close()
    for name in ("plan/000001", "ledger/000001"):
        whole = LocalStorage(place).read(name)
        LocalStorage(place).put(name, [bytes(whole)[:-1]])
        with pytest.raises(DamagedError, match=name):
            list(history(place).shards())
        LocalStorage(place).put(name, [bytes(whole)])
    assert blocks(place) == [[b"x"]]


def test_who_may_open_a_run(place: str) -> None:
    """One driver, with the same facts."""
    run = opened(place)
    with pytest.raises(RunBusyError):
        opened(place, resume=True)
    run.close()
    with pytest.raises(RunDiffersError, match=r'PATHS was \["a"\] and is \["b"\]') as raised:
        RunDirectory(place, {**FACTS, "PATHS": ["b"]}, b"pack", resume=True)
    assert raised.value.differences == [("PATHS", ["a"], ["b"])]


def test_a_driver_that_waits_says_that_it_lives(place: str) -> None:
    """With nothing to commit, for as long as a task takes."""
    now = [1000.0]
    run = RunDirectory(place, FACTS, b"", resume=False, clock=lambda: now[0])
    beats = set()
    for _ in range(30):
        now[0] += 1.0
        run.commit(idle=False)
        beats.add(bytes(LocalStorage(place).read("owner/000001")))
    run.close()
    assert len(beats) > 30 // (BEAT_SECONDS + 1)


def test_another_version_s_records_are_refused(place: str) -> None:
    """They say so in place of being read wrongly."""
    from vyre_dist.ledger.records import decode_record

    for fields in (["begin", 99, 1, {}, 0], ["what", 1], ["shard", 1, b"x"], ["void", -1, ()]):
        with pytest.raises(WireError, match="cannot read a"):
            decode_record(fields, place)


def test_a_part_file_is_checked_when_it_is_read(tmp_path: Path) -> None:
    """Bytes that are others are an error that names the file."""
    part = str(tmp_path / "parts" / "1.2.3")
    block = FindingBlock((0, 0, 0), 1, True, b"y" * INLINE_BYTES)
    small = TaskResult(findings=Findings(blocks=[block._replace(data=b"y")]))
    assert file_result(small, part).findings.blocks[0].data == b"y"
    filed = file_result(TaskResult(findings=Findings(blocks=[block, block])), part)
    assert file_result(filed, "never written").findings.blocks == filed.findings.blocks
    kept = filed.findings.blocks[1].data
    assert isinstance(kept, Filed)
    assert kept.read() == b"y" * INLINE_BYTES
    data = bytearray(Path(part).read_bytes())
    data[-1] ^= 1
    Path(part).write_bytes(data)
    with pytest.raises(DamagedError, match=r"1\.2\.3 is damaged"):
        kept.read()


@pytest.mark.parametrize("private", [True, False])
def test_parts_of_a_named_run_are_synced(
    tmp_path: Path, private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They outlive a power failure; those of a scan that named no directory go on without waiting
    for the disk.
    """
    if private:
        folder, held = make_folder(str(tmp_path), "run")
        os.close(held)
    else:
        folder = str(tmp_path / "run")
    synced: list[int] = []
    sync = os.fsync

    def counted(fd: int) -> None:
        synced.append(fd)
        sync(fd)

    monkeypatch.setattr(os, "fsync", counted)
    block = FindingBlock((0, 0, 0), 1, True, b"y" * INLINE_BYTES)
    part = os.path.join(folder, "parts", "1.2.3")
    filed = file_result(TaskResult(findings=Findings(blocks=[block])), part)
    assert bool(synced) is not private
    kept = filed.findings.blocks[0].data
    assert isinstance(kept, Filed)
    assert kept.read() == b"y" * INLINE_BYTES


def test_what_a_killed_driver_wrote_is_synced_before_it_counts(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may not have come to that, and a power failure would take what a later log counts on."""
    run = opened(place)
    run.planned(0, items(0))
    run.record(0, entry(0), 0)
    run.commit(idle=True)
    run.close()
    synced: list[str] = []

    def sync(storage: LocalStorage, name: str) -> None:
        synced.append(name)

    monkeypatch.setattr(LocalStorage, "sync", sync)
    opened(place, resume=True).close()
    assert sorted(synced) == ["ledger/000001", "plan/000001"]


def test_a_driver_that_lost_its_run_commits_nothing_when_it_ends(place: str) -> None:
    """It may not know yet."""
    run = opened(place)
    run.planned(0, items(0))
    run.record(0, entry(0), 0)
    before = LocalStorage(place).size("ledger/000001")
    assert LocalStorage(place).create("owner/000002", b"{}")
    run.close()
    assert LocalStorage(place).size("ledger/000001") == before


def test_logs_that_a_store_does_not_list_yet_count(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that the latest one names; one that is gone is damage."""
    run = opened(place)
    run.planned(0, items(0))
    run.record(0, entry(0), 0)
    run.commit(idle=True)
    run.close()
    opened(place, resume=True).close()
    names = LocalStorage.names
    late = lambda self, folder="": [n for n in names(self, folder) if n != "000001"]  # noqa: E731
    monkeypatch.setattr(LocalStorage, "names", late)
    assert blocks(place) == [[b"x"]]
    LocalStorage(place).remove("ledger/000001")
    with pytest.raises(DamagedError, match="it is gone"):
        history(place)


def test_a_run_that_another_driver_has_begun_meanwhile_is_left_alone(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one had looked before, and there was none."""
    opened(place).close()
    facts = [None, FACTS]
    monkeypatch.setattr(run_directory, "read_facts", lambda _: facts.pop(0))
    with pytest.raises(UsageError, match="there is a run in"):
        opened(place)


def test_slow_commits_are_fewer(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they take is a small part of the time; nothing waits for longer than half a second."""
    now, taken = [0.0], [0.0]
    run = RunDirectory(place, FACTS, b"pack", resume=False, monotonic=lambda: now[0])
    commit = Journal.commit

    def slow(journal: Journal, *, everything: bool = True) -> None:
        now[0] += taken[0]
        commit(journal, everything=everything)

    monkeypatch.setattr(Journal, "commit", slow)
    run.planned(0, items(0))
    waits = []
    for number, seconds in enumerate((0.004, 0.005, 60.0, 0.0)):
        taken[0] = seconds
        run.record(number, entry(0), 0)
        waited = 0.0
        while run.commit(idle=False) is None:
            now[0] += 0.01
            waited += 0.01
        waits.append(round(waited, 1))
    run.close()
    assert waits == [GROUP_SECONDS, 2 * GROUP_SECONDS, 0.3, MOST_GROUP_SECONDS]
