"""Spool: what is large lies in a file without a name, and is gone when nobody waits for it."""

from __future__ import annotations

import gc
import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vyre_dist.engine import spool
from vyre_dist.engine.finding_blocks import FindingBlock, Findings
from vyre_dist.engine.part_files import with_bytes
from vyre_dist.engine.spool import SMALL_BYTES, SMALL_PART_BYTES, Spool, Stored, bytes_of
from vyre_dist.engine.tasks import PartResult, TaskResult


def open_temporary_files(folder: Path) -> list[str]:
    """What this process has open of files in `folder` that have no name any more."""
    names = []
    for number in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:  # the listing's own
            continue
        if name.startswith(f"{folder}/"):
            names.append(name)
    return names


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_small_bytes_stay_in_memory_and_large_ones_do_not(folder: Path) -> None:
    """No file is made where it would save nothing; one that is made has no name."""
    kept = Spool()
    assert kept.keep(b"x" * (SMALL_BYTES - 1)) == b"x" * (SMALL_BYTES - 1)
    assert open_temporary_files(folder) == []
    stored = kept.keep(b"y" * SMALL_BYTES)
    assert isinstance(stored, Stored) and bytes_of(stored) == b"y" * SMALL_BYTES
    assert kept.keep(stored) is stored
    assert len(open_temporary_files(folder)) == 1 and os.listdir(folder) == []


def test_parts_of_split_documents_wait_in_files(folder: Path) -> None:
    """There may be tens of thousands of them: all but the smallest."""
    spool = Spool()
    part = PartResult(1, 0, 5, b"n" * SMALL_PART_BYTES, b"s" * (SMALL_PART_BYTES - 1), kept=b"")
    block = FindingBlock((0, 0, 0), 1, True, b"b" * SMALL_PART_BYTES)
    result = TaskResult(findings=Findings(blocks=[block]), parts=[part])
    kept = with_bytes(result, spool.keep, spool.keep_part)
    assert isinstance(kept.parts[0].newlines, Stored)
    assert bytes_of(kept.parts[0].newlines) == part.newlines
    assert kept.parts[0].spans is part.spans and kept.findings.blocks == [block]


def test_room_is_free_when_nobody_waits_for_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is closed with the last that lies in it, but for the one that is written to."""
    monkeypatch.setattr(spool, "_FILE_BYTES", 2 * SMALL_BYTES)
    kept = Spool()
    stored = [kept.keep(bytes([i]) * SMALL_BYTES) for i in range(6)]
    assert len(open_temporary_files(folder)) == 3
    del stored[0:1]
    gc.collect()
    assert len(open_temporary_files(folder)) == 3
    del stored[0:2]
    gc.collect()
    assert len(open_temporary_files(folder)) == 2
    assert [bytes_of(each)[0] for each in stored] == [3, 4, 5]


def test_a_forked_child_holds_no_file(folder: Path) -> None:
    """A worker that is started later would keep what waits on the disk, and secrets open."""
    kept = Spool()
    stored = kept.keep(b"y" * SMALL_BYTES)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=lambda: theirs.send(open_temporary_files(folder)))
    child.start()
    assert ours.poll(30) and ours.recv() == []
    child.join(30)
    assert child.exitcode == 0 and bytes_of(stored) == b"y" * SMALL_BYTES


def test_without_a_file_bytes_wait_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost where there is no folder for files; the reason is told."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    kept = Spool()
    data = b"z" * SMALL_BYTES
    assert kept.trouble == "" and kept.keep(data) is data
    assert "none" in kept.trouble and "memory" in kept.trouble


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 64))
def test_bytes_come_back_as_they_went(texts: list[bytes], file_bytes: int) -> None:
    """Whatever lies beside them, in whichever file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "SMALL_BYTES", 1)
        patch.setattr(spool, "_FILE_BYTES", file_bytes)
        kept = Spool()
        stored = [kept.keep(text) for text in texts]
        assert [bytes_of(each) for each in stored] == texts
        assert [len(each) for each in stored] == list(map(len, texts))
