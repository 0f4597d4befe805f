"""Entries that do not count any more, of whichever documents: what they cover is scanned anew, and
a document in pieces is joined once, whatever else its pieces were scanned together with.
"""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest
from long_runs import nightly
from recorded_scans import SHARD_BYTES, Scans, counts, opened

from vyre_dist.driver import recorded_plan
from vyre_dist.engine import part_files
from vyre_dist.engine.shards import cut
from vyre_dist.engine.tasks import DocumentProblem, Item, Piece, Stamp, TaskResult
from vyre_dist.ledger.entries import Entry, covered_by
from vyre_dist.ledger.records import PARTS

pytestmark = pytest.mark.usefixtures("exact_clock")

HOUR_NS = 3600 * 10**9


def check(scans: Scans, place: Path) -> None:
    """A resume ends as an undisturbed scan does, and a merge has what it has."""
    expected, undisturbed = scans.scan(None)
    run = opened(place, resume=True)
    found, outcome = scans.scan(run)
    run.close()
    assert found == expected
    assert counts(outcome) == counts(undisturbed)
    assert outcome.complete and not outcome.unfinished
    assert scans.merge(place)[0] == expected


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    """The directory of a run that came to its end."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


@pytest.fixture
def tree(scans: Scans, tmp_path: Path) -> Scans:
    """Scans of a copy of the corpus, which a test may change."""
    return Scans(scans.engine, Path(shutil.copytree(scans.root, tmp_path / "tree")), scans.folders)


def test_all_may_be_newer_than_its_scan(
    scans: Scans, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that is behind, say; a document in pieces is as it was planned all the same."""
    monkeypatch.setattr(recorded_plan, "CLOCK_STEP_NS", HOUR_NS)
    check(scans, place)


@pytest.mark.parametrize("seed", [0, *nightly(1)])
def test_files_may_be_written_anew(tree: Scans, tmp_path: Path, seed: int) -> None:
    """One after the other; the run is resumed after each."""
    place = tmp_path / "run"
    run = opened(place, resume=False)
    tree.scan(run)
    run.close()
    files = sorted(path for path in tree.root.rglob("*") if path.is_file())
    assert any(path.name == "long" for path in files)
    random.Random(seed).shuffle(files)
    for path in [tree.root / "d1" / "long", *files][:5]:
        path.write_bytes(path.read_bytes())
        check(tree, place)


def test_part_files_may_be_lost(
    tree: Scans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, those of pieces and of joins, too; the run is resumed after each."""
    monkeypatch.setattr(part_files, "INLINE_BYTES", 0)
    place = tmp_path / "run"
    run = opened(place, resume=False)
    tree.scan(run)
    run.close()
    parts = sorted((place / PARTS).iterdir())
    for path in random.Random(0).sample(parts, 5):
        path.unlink()
        check(tree, place)


@pytest.mark.parametrize("seed", [0, 1, *nightly(2, 3, 4)])
def test_a_driver_may_end_when_it_has_only_said_what_does_not_count(
    scans: Scans, place: Path, seed: int
) -> None:
    """Of any shards; it has not come to those where their documents are joined."""
    choose = random.Random(seed)
    run = opened(place, resume=True)
    for known in run.history.shards():
        if known.done and choose.random() < 0.2:
            some = list(range(len(known.done)))
            if not scans.folders:
                # who tells that a file is large is never without what became of its pieces
                some = choose.sample(some, choose.randint(1, len(some)))
            run.void(known.shard, sorted(some), None)
    run.close()
    check(scans, place)


@pytest.mark.parametrize("share", [0, *nightly(200), 400, *nightly(600), 800, 1000])
def test_a_large_file_may_be_another_one_when_the_driver_ends_again(
    tree: Scans, tmp_path: Path, share: int
) -> None:
    """Whatever the second driver had put down of it."""
    place = tmp_path / "run"
    run = opened(place, resume=False)
    tree.scan(run)
    run.close()
    (tree.root / "d1" / "long").write_text("id AKIABBBBBBBBBBBBBBZZ\n" * 700)
    run = opened(place, resume=True)
    tree.scan(run)
    run.close()
    log = place / "ledger" / "000002"
    log.write_bytes(log.read_bytes()[: share * log.stat().st_size // 1000])
    check(tree, place)


@pytest.mark.parametrize("fails", [0, 2])
def test_pieces_that_nobody_scanned_are_scanned_if_the_problem_does_not_count(
    scans: Scans, tmp_path: Path, fails: int
) -> None:
    """A document was given up for a problem of its first or last piece, which was scanned together
    with a file that is another one by now.
    """
    root = tmp_path / "tree"
    root.mkdir()
    long, small = root / "long", root / ("a" if fails == 0 else "z")
    long.write_text("id AKIACCCCCCCCCCCCCCZZ\n" * (3 * SHARD_BYTES // 24))
    small.write_text("id AKIABBBBBBBBBBBBBBZZ")
    pieces = cut(_as_planned(int(fails == 0), long), SHARD_BYTES)
    other = _as_planned(int(fails != 0), small)
    place = tmp_path / "run"
    run = opened(place, resume=False)
    for i, piece in enumerate(pieces):
        items: tuple[Item, ...] = (piece,)
        result = TaskResult()
        if i == fails:
            items = (other, piece) if fails == 0 else (piece, other)
            result.problems.append(DocumentProblem(piece.document, "unreadable", "for a while"))
        run.planned(i, items)
        run.record(i, Entry(i, result, covered_by(items)), time.time_ns())
    run.plan_ended()
    run.close()
    small.write_text("id AKIADDDDDDDDDDDDDDZZ")
    check(Scans(scans.engine, root, folders=False), place)


def _as_planned(document: int, path: Path) -> Piece:
    info = path.stat()
    return Piece(document, str(path), info.st_size, 0, info.st_size, None, Stamp.of(info))
