"""What a task's result holds at most: a worker that has found much hands the rest back."""

from __future__ import annotations

from pathlib import Path

import pytest

from vyre_dist import RulePack, Scanner
from vyre_dist.engine import finding_blocks, worker
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.tasks import FolderRun, Piece, ScanTask
from vyre_dist.engine.worker import ScanEngine

PACK = RulePack.from_patterns({"key": r"key_\d{4}"})
FILES = 6


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files with a block of findings each, which is all that a result may have."""
    monkeypatch.setattr(finding_blocks, "BLOCK_ROWS", 4)
    monkeypatch.setattr(finding_blocks, "_STEP_ROWS", 4)
    monkeypatch.setattr(worker, "_MOST_FOUND", 1)
    for i in range(FILES):
        (tmp_path / f"{i}.txt").write_bytes(b"key_1234 " * 5)
    return tmp_path


@pytest.mark.parametrize("kind", ["folder", "pieces"])
def test_the_rest_of_a_task_is_left_undone_where_much_was_found(tree: Path, kind: str) -> None:
    """As where a shard's bytes were read: the files after that one are for other tasks."""
    engine = ScanEngine(PACK.data, EngineConfig("cpu"))
    # a dispatch for each file, or all of them would be read before the first is searched
    engine.backend.dispatch_windows = 1  # type: ignore[misc]
    names = [f"{i}.txt" for i in range(FILES)]
    size = 45
    task = ScanTask(
        (FolderRun.of(0, f"{tree}/", names),)
        if kind == "folder"
        else tuple(Piece(i, f"{tree}/{name}", size, 0, size) for i, name in enumerate(names))
    )
    result = engine.run(task)
    assert result.undone == FILES - 1
    assert [row.document for row in result.findings] == [0] * 5


@pytest.mark.parametrize("workers", [None, 2])
def test_what_was_left_undone_is_found_all_the_same(tree: Path, workers: int | None) -> None:
    """Tasks that are handed back are done by others; findings come in their order."""
    found = Scanner(PACK, "cpu").scan_paths(tree, workers=workers)
    assert [Path(f.path).name for f in found] == [
        f"{i}.txt" for i in range(FILES) for _ in range(5)
    ]
    assert found.complete
