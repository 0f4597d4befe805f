"""Tasks for workers with another working directory: their paths change, and nothing else."""

from __future__ import annotations

from vyre_dist.actors.absolute_paths import absolute
from vyre_dist.engine.content import Evidence
from vyre_dist.engine.tally import Tally
from vyre_dist.engine.tasks import (
    AuditCursor,
    AuditTask,
    FolderRun,
    PartResult,
    Piece,
    ScanTask,
    StitchTask,
    Stretch,
)

PIECE = Piece(1, "a/b", 5, 0, 5)


def test_relative_paths_are_those_of_the_drivers_folder() -> None:
    """Also those of folders; what is absolute, or in the task, stays as it is."""
    there = Piece(2, "x", 5, 0, 5, "/other")
    here = Piece(3, "<stdin>", 2, 0, 2, inline=b"ab")
    task = absolute(ScanTask((PIECE, there, here, FolderRun.of(4, "d/", ["e"])), 7), "/cwd")
    moved = PIECE._replace(open_path="/cwd/a/b")
    assert task == ScanTask((moved, there, here, FolderRun.of(4, "d/", ["e"], "/cwd/d/")), 7)


def test_a_stretch_and_an_audit_stay_what_they_are() -> None:
    """A document that is joined in stretches is so on a cluster, too; an audit goes on."""
    moved = PIECE._replace(open_path="/cwd/a/b")
    parts, stretch = (PartResult(1, 0, 5, b"", b""),), Stretch(3)
    assert absolute(StitchTask(PIECE, parts, stretch), "/cwd") == StitchTask(moved, parts, stretch)
    rest = ((Evidence(0, 5, b"d"),), Tally(1), AuditCursor(2, 3))
    assert absolute(AuditTask(PIECE, *rest), "/cwd") == AuditTask(moved, *rest)
