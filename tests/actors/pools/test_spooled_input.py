"""Standard input on a Ray cluster: its copy has no name, and is the driver's."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from vyre_dist import Scanner
from vyre_dist.actors import ray_pool, spooled_input
from vyre_dist.actors.ray_pool import RayPool
from vyre_dist.actors.spooled_input import OUT_OF_REACH, bound_to_this_node, carried
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.run import Callbacks, ScanOutcome, run_scan
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.tasks import FolderRun, Piece, ScanTask, Stamp, StitchTask
from vyre_dist.finding import Finding
from vyre_dist.rules import RulePack
from vyre_dist.sources import DocumentRef, spool_stdin

SHARD = 1000
PACK = RulePack.from_patterns({"token": "tok_[a-z]{4}"})
TEXT = b"nothing here\ntok_aaaa and\n" * 200 + b"tok_last"


def scanned(document: DocumentRef, shard_bytes: int) -> tuple[list[Finding], ScanOutcome]:
    """What two actors find in a document."""
    spec = WorkerSpec(
        PACK.data,
        EngineConfig(backend="cpu", shard_bytes=shard_bytes, cache_dir=None, audit_rate=1.0),
    )
    found: list[Finding] = []
    nothing: Any = lambda *_: None  # noqa: E731
    callbacks = Callbacks(found.extend, nothing, nothing, nothing)
    pool = RayPool(spec, 2, stay_connected=True)
    return found, run_scan(Plan([document], shard_bytes), pool, PACK.rules, callbacks)


@pytest.mark.parametrize("shard_bytes", [SHARD, 1 << 20], ids=["in pieces", "whole"])
def test_actors_scan_a_copy_without_a_name(tmp_path: Path, shard_bytes: int) -> None:
    """What they find is what a Scanner finds in the bytes."""
    with spool_stdin(io.BytesIO(TEXT), str(tmp_path)) as document:
        found, outcome = scanned(document, shard_bytes)
    assert outcome.complete
    assert (outcome.totals.audited, outcome.totals.audited_bytes) == (1, len(TEXT))
    assert found == Scanner(PACK, backend="cpu").scan(TEXT, path="<stdin>")


@pytest.mark.parametrize("shard_bytes", [SHARD, 1 << 20], ids=["in pieces", "whole"])
def test_actors_on_other_nodes_get_it_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard_bytes: int
) -> None:
    """What is no more than a task may carry is scanned anywhere; more of it is a problem that says
    what to do.
    """
    monkeypatch.setattr(ray_pool, "driver_node", lambda: "another node")
    with spool_stdin(io.BytesIO(TEXT), str(tmp_path)) as document:
        found, outcome = scanned(document, shard_bytes)
    if shard_bytes > len(TEXT):
        assert outcome.complete and len(found) == 201 and outcome.totals.audited == 1
    else:
        (problem,) = outcome.problems
        assert (problem.path, problem.reason, found) == ("<stdin>", "quarantined", [])
        assert OUT_OF_REACH in problem.detail


def test_what_is_carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the driver's own copy is, only as a whole, and only up to a size; files stay files."""
    folder = FolderRun.of(0, "d/", ["a", "b"])
    file = Piece(2, "x", 5, 0, 5, "/elsewhere/x")
    with spool_stdin(io.BytesIO(b"bytes"), str(tmp_path)) as ref:
        copy = Piece(
            3, ref.path, ref.size, 0, ref.size, ref.open_path, Stamp(ref.mtime_ns, ref.inode, 0)
        )
        task = carried(ScanTask((folder, file, copy)))
        assert isinstance(task, ScanTask)
        assert task.pieces == (folder, file, copy._replace(inline=b"bytes", open_path=None))
        assert not bound_to_this_node(task)
        for bound in (ScanTask((copy._replace(end=3),)), StitchTask(copy, ())):
            assert carried(bound) == bound and bound_to_this_node(bound)
        monkeypatch.setattr(spooled_input, "MOST_CARRIED_BYTES", 4)
        assert bound_to_this_node(carried(ScanTask((copy,))))
    assert not bound_to_this_node(ScanTask((folder, file)))
