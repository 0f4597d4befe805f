"""A worker puts what it found into the run's place, and hands it to the driver where it can't."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vyre_dist.driver.handed_parts import HandedParts
from vyre_dist.driver.recording import Recording
from vyre_dist.engine import handing_in
from vyre_dist.engine.filed import Filed
from vyre_dist.engine.finding_blocks import FindingBlock, Findings
from vyre_dist.engine.handing_in import handed_in
from vyre_dist.engine.part_files import INLINE_BYTES, filed_in
from vyre_dist.engine.tasks import PartResult, Piece, ScanTask, StitchTask, TaskResult
from vyre_dist.ledger.run_directory import RunDirectory

LARGE = b"x" * INLINE_BYTES


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another test has found out is not known."""
    monkeypatch.setattr(handing_in, "_proven", set())
    monkeypatch.setattr(handing_in, "_not_before", {})


def found(data: bytes) -> TaskResult:
    return TaskResult(findings=Findings(blocks=[FindingBlock((0, 0, 0), 1, False, data)]))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    run = RunDirectory(str(tmp_path / "run"), {}, b"", resume=False)
    yield run
    run.close()


def test_who_sees_the_proof_writes(run: RunDirectory) -> None:
    """What is little stays as it is."""
    result = handed_in(found(LARGE), run.part(0, 1), run.proof)
    (filed,) = filed_in(result)
    assert filed.part == run.part(0, 1) and filed.read() == LARGE
    assert handed_in(found(b"y"), run.part(0, 2), run.proof).findings.blocks[0].data == b"y"
    assert not os.path.exists(run.part(0, 2))


def test_a_folder_of_the_same_name_is_not_the_run_s(run: RunDirectory, tmp_path: Path) -> None:
    """Nothing is written there, though it could be, and nothing is made where there is none."""
    other = RunDirectory(str(tmp_path / "other"), {}, b"", resume=False)
    result = handed_in(found(LARGE), other.part(0, 1), run.proof)
    assert result.findings.blocks[0].data == LARGE
    other.close()
    result = handed_in(found(LARGE), str(tmp_path / "none" / "0.1.1"), run.proof)
    assert result.findings.blocks[0].data == LARGE
    assert sorted(os.listdir(tmp_path)) == ["other", "run"]
    assert not os.path.exists(other.part(0, 1))


def test_a_place_out_of_reach_is_left_alone_for_a_while(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And tried again after that."""
    now = [0.0]
    monkeypatch.setattr(handing_in.time, "monotonic", lambda: now[0])
    assert list(filed_in(handed_in(found(LARGE), run.part(0, 1), "proof.x.1"))) == []
    assert list(filed_in(handed_in(found(LARGE), run.part(0, 1), run.proof))) == []
    now[0] = 61.0
    assert len(list(filed_in(handed_in(found(LARGE), run.part(0, 1), run.proof)))) == 1


def test_a_scheme_that_this_node_lacks_is_out_of_reach() -> None:
    """The driver has it, or the scan would not have begun."""
    result = handed_in(found(LARGE), "gs://bucket/run/parts/0.1.1", "")
    assert result.findings.blocks[0].data == LARGE


def recording(run: RunDirectory) -> Recording:
    return run


def test_the_driver_puts_away_what_a_worker_could_not(run: RunDirectory) -> None:
    """And gives that worker the bytes of what it is to join."""
    parts = HandedParts(recording(run), False, lambda: 77)
    piece = Piece(0, "a", 0, 10, 10)
    task = parts.given(1, 5, ScanTask((piece,)), 3)
    assert (task.part, task.proof) == (run.part(3, 1), run.proof)
    came = PartResult(0, 0, 10, b"", LARGE)
    assert parts.earliest == 77
    assert parts.ended(1, 5) == (77, task.part)
    assert (parts.ended(1, 5), parts.earliest) == ((None, ""), 0)
    result = parts.stored(1, TaskResult(parts=[came]), task.part)
    (filed,) = filed_in(result)
    assert (filed.part, filed.read()) == (run.part(3, 1), LARGE)
    join = StitchTask(piece, tuple(result.parts))
    given = parts.given(1, 6, join, 3)
    assert isinstance(given, StitchTask) and given.parts[0].spans == LARGE
    # worker 2 has put something there itself
    parts.given(2, 7, ScanTask((piece,)), 3)
    own = Filed(run.part(3, 3), 0, 4)
    parts.stored(2, TaskResult(parts=[replace(came, spans=own)]), own.part)
    given = parts.given(2, 8, join, 3)
    assert isinstance(given, StitchTask) and isinstance(given.parts[0].spans, Filed)
    parts.gone(2)
    given = parts.given(2, 9, join, 3)
    assert isinstance(given, StitchTask) and given.parts[0].spans == LARGE


def test_on_one_machine_nothing_is_to_be_proven(run: RunDirectory) -> None:
    """All workers see the same, and read what others have put there."""
    parts = HandedParts(recording(run), True, lambda: 77)
    piece = Piece(0, "a", 0, 10, 10)
    join = StitchTask(piece, (PartResult(0, 0, 10, b"", Filed(run.part(0, 1), 0, 4)),))
    given = parts.given(1, 1, join, 0)
    assert isinstance(given, StitchTask) and isinstance(given.parts[0].spans, Filed)
    assert given.proof == "" and given.part
    assert os.path.exists(os.path.dirname(given.part)) is False
