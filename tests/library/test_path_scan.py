"""Scans of paths: findings as they come, workers, filters, progress, cancelling, the totals."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from vyre_dist import Finding, ScanAbortedError, Scanner, ScanProgress, UsageError
from vyre_dist.driver.events import Abort
from vyre_dist.driver.machine import ScanMachine
from vyre_dist.engine.finding_blocks import BLOCK_ROWS

PATTERNS = {"key": r"key_[0-9]{4}"}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """40 files of a key each, and one that is not scanned to its end."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}.txt").write_text(f"line\n key_{number:04}\n" + "x" * 50)
    return folder


def names(findings: list[Finding]) -> list[str]:
    return [os.path.basename(finding.path) for finding in findings]


ALL = [f"{number:02}.txt" for number in range(40)]


@pytest.mark.parametrize("workers", [None, 2])
@pytest.mark.parametrize("shard_bytes", [20, 200, 1 << 20])
def test_findings_come_in_order(corpus: Path, workers: int | None, shard_bytes: int) -> None:
    """One by one or all at once, in this process or in others, they are the same."""
    scanner = Scanner(PATTERNS, shard_bytes=shard_bytes)
    result = scanner.scan_paths(corpus, workers=workers)
    assert names(result) == ALL
    assert (result.documents, result.complete, result.problems) == (40, True, [])
    assert result.bytes == sum(file.stat().st_size for file in corpus.iterdir())
    with scanner.iter_paths([corpus], workers=workers) as scan:
        assert list(scan) == result
    assert scan.complete and scan.totals.documents == 40
    assert list(scan) == []


def test_findings_come_before_the_scan_is_over(corpus: Path) -> None:
    """With the first finding in hand, most of the files are still unread."""
    with Scanner(PATTERNS, shard_bytes=100).iter_paths(corpus) as scan:
        assert os.path.basename(next(scan).path) == "00.txt"
        assert 0 < scan.totals.documents < 10
        assert not scan.complete
    assert scan.totals.cancelled and not scan.complete
    assert list(scan) == []


def test_inputs_are_filtered(corpus: Path) -> None:
    """include, exclude, the largest size and .gitignore leave out files, and they are counted."""
    (corpus / "large.txt").write_text("key_9999" + " " * 5000)
    (corpus / ".gitignore").write_text("1*\n")
    scanner = Scanner(PATTERNS)
    kept = scanner.scan_paths(corpus, include=["*.txt"], exclude=["0*"], max_file_size=1000)
    assert names(kept) == [name for name in ALL if name[0] in "23"]
    assert kept.totals.left_out["too-large"] == 1
    assert (kept.totals.left_out["excluded-glob"], kept.totals.left_out["gitignored"]) == (10, 10)
    assert names(scanner.scan_paths(corpus, respect_gitignore=False)) == [*ALL, "large.txt"]
    (corpus / "link").symlink_to("00.txt")
    assert "link" not in names(scanner.scan_paths(corpus))


def test_what_cannot_be_read_is_a_problem(corpus: Path) -> None:
    """The rest is scanned, and the result is not complete."""
    result = Scanner(PATTERNS).scan_paths([corpus / "gone", corpus / "00.txt"])
    assert names(result) == ["00.txt"]
    assert [(os.path.basename(p.path), p.reason) for p in result.problems] == [
        ("gone", "not-found")
    ]
    assert not result.complete and not result.totals.cancelled


def test_a_pipe_is_read(tmp_path: Path) -> None:
    """A named pipe is a document, in this process and for workers."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for workers in (None, 1):
        writer = threading.Thread(target=pipe.write_bytes, args=(b"key_1234",))
        writer.start()
        assert names(Scanner(PATTERNS).scan_paths(pipe, workers=workers)) == ["pipe"]
        writer.join()


@pytest.mark.parametrize("workers", [None, 1])
@pytest.mark.parametrize("shard_bytes", [1 << 16, 1 << 20])
def test_no_more_findings_are_held_than_a_block_has(
    tmp_path: Path, workers: int | None, shard_bytes: int
) -> None:
    """However many a document has: they are made when they are asked for."""
    many = 2 * BLOCK_ROWS + 1
    (tmp_path / "dense").write_bytes(b"key_1234 " * many)
    scan = Scanner(PATTERNS, shard_bytes=shard_bytes).iter_paths(tmp_path, workers=workers)
    held = [len(scan._found) for _ in scan]
    assert len(held) == many and max(held) < BLOCK_ROWS


# --- progress and cancelling


@pytest.mark.parametrize("workers", [None, 1])
def test_progress_is_told(corpus: Path, workers: int | None) -> None:
    """Numbers only grow; the last ones are the totals, and all documents are known by then."""
    told: list[ScanProgress] = []
    scanner = Scanner(PATTERNS, shard_bytes=200)
    result = scanner.scan_paths(corpus, progress=told.append, workers=workers)
    for earlier, later in itertools.pairwise(told):
        assert (earlier.documents, earlier.bytes, earlier.findings) <= (
            later.documents,
            later.bytes,
            later.findings,
        )
    assert told[-1] == ScanProgress(40, 40, result.bytes, 40)
    assert told[0].documents < 40


@pytest.mark.parametrize("workers", [None, 2])
def test_cancelling_gives_what_was_found(corpus: Path, workers: int | None) -> None:
    """An event that is set while the scan goes on ends it; the result says that it is partial."""
    stop = threading.Event()

    def after_ten(progress: ScanProgress) -> None:
        if progress.findings >= 10:
            stop.set()

    scanner = Scanner(PATTERNS, shard_bytes=100)
    result = scanner.scan_paths(corpus, progress=after_ten, cancel=stop, workers=workers)
    assert 10 <= len(result) < 40
    assert names(result) == ALL[: len(result)]
    assert result.totals.cancelled and not result.complete


def test_another_thread_cancels(corpus: Path) -> None:
    """`cancel` of the scan may be called from anywhere; what was found is still given."""
    scan = Scanner(PATTERNS, shard_bytes=100).iter_paths(corpus)
    first = next(scan)
    thread = threading.Thread(target=scan.cancel)
    thread.start()
    thread.join()
    rest = scan.collect()
    assert names([first, *rest]) == ALL[: 1 + len(rest)]
    assert len(rest) < 39 and not rest.complete


def test_a_scan_that_was_cancelled_before_it_began_does_nothing(corpus: Path) -> None:
    """An event that is set already leaves nothing to do."""
    stop = threading.Event()
    stop.set()
    result = Scanner(PATTERNS).scan_paths(corpus, cancel=stop)
    assert (list(result), result.documents, result.complete) == ([], 0, False)


def test_a_scan_that_is_let_go_gives_its_engine_back(corpus: Path) -> None:
    """Breaking out of the loop ends the workers or frees the engine."""
    scanner = Scanner(PATTERNS, shard_bytes=100)
    engine = scanner.engine
    for _ in scanner.iter_paths(corpus):
        break
    assert scanner.engine is engine


def test_an_error_comes_after_what_was_found(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan that is given up raises; its findings until then have been given."""
    handle = ScanMachine.handle

    def give_up(machine: ScanMachine, event: object) -> list[object]:
        actions = handle(machine, event)  # type: ignore[arg-type]
        if machine.totals.findings >= 5 and not machine.over:
            machine._over = True
            return [*actions, Abort("enough")]
        return actions

    monkeypatch.setattr(ScanMachine, "handle", give_up)
    found = []
    with (
        pytest.raises(ScanAbortedError, match="enough"),
        Scanner(PATTERNS, shard_bytes=100).iter_paths(corpus) as scan,
    ):
        for finding in scan:
            found.append(finding)
    assert names(found) == ALL[: len(found)] and len(found) >= 5
    assert not scan.complete and scan.totals.documents >= 5


def test_an_error_of_a_callback_is_the_callers(corpus: Path) -> None:
    """What `progress` raises ends the scan and is raised."""

    def fail(_: ScanProgress) -> None:
        raise LookupError("mine")

    scanner = Scanner(PATTERNS, shard_bytes=100)
    engine = scanner.engine
    with pytest.raises(LookupError, match="mine"):
        scanner.scan_paths(corpus, progress=fail)
    assert scanner.engine is engine


def test_no_worker_can_start() -> None:
    """Workers that can't have the backend are told as bad usage."""
    if os.path.exists("/proc/driver/nvidia"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(UsageError):
        Scanner(PATTERNS, backend="cuda")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus": 1}, "gpus is for local processes"),
        ({"gpus": 1, "workers": 2, "address": "auto"}, "gpus is for local processes"),
        ({"gpus": "1,x", "workers": 2}, "give how many to use"),
        ({"gpus": 0, "workers": 2}, "give how many to use"),
        ({"gpus": 1.5, "workers": 2}, "gpus"),
    ],
)
def test_gpus_that_can_not_be(corpus: Path, options: dict[str, Any], message: str) -> None:
    """What is no wish is told when the scan is asked for."""
    with pytest.raises(UsageError, match=message):
        Scanner(PATTERNS).iter_paths(corpus, **options)
