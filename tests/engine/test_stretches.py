"""Documents of which several tasks join a stretch each: the findings, and the number of matches
that are too long, are those of the whole document.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from filtered_rules import as_pack, some_path, some_rules
from generate import haystacks, packs
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import compiled, filtered, hits, hits_of, is_unbounded
from split_scans import split_at

from vyre_dist import Scanner
from vyre_dist.driver import joins
from vyre_dist.engine import ScanEngine, stitch
from vyre_dist.engine.files import FileDocument
from vyre_dist.engine.tasks import StitchTask, Task, TaskResult
from vyre_dist.rules.model import PackData, Rule

NO_RESET = [HealthCheck.function_scoped_fixture]


@pytest.fixture(autouse=True)
def _every_part_is_a_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joins, "STRETCH_BYTES", -1)
    monkeypatch.setattr(stitch, "_FIRST_STEP", 2)


def too_long(pattern: str, document: bytes, cap: int) -> int:
    """google-re2's matches that have more bytes than `cap`."""
    regexp, count, pos, last_end = compiled(pattern), 0, 0, -1
    while pos <= len(document) and (match := regexp.search(document, pos)) is not None:
        if match.start() == match.end() == last_end:
            pos = match.end() + 1
            continue
        count += match.end() - match.start() > cap
        pos = last_end = match.end()
    return count


@settings(max_examples=examples(300), suppress_health_check=NO_RESET)
@given(
    patterns=packs(),
    document=haystacks(),
    cap=st.sampled_from([1, 2, 3, 5, 8, 1 << 16]),
    shards=st.lists(st.integers(1, 12), min_size=2, max_size=3),
)
# a match that is too long and goes on over stretches, with others behind it
@example(
    patterns={"r": "(?s)a[^b]*?b"},
    document=b"za" + b"x" * 9 + b"axbab" + b"y" * 20 + b"ab",
    cap=4,
    shards=[1, 3, 5],
)
def test_random_packs_in_stretches(
    tmp_path_factory: pytest.TempPathFactory,
    patterns: dict[str, str],
    document: bytes,
    cap: int,
    shards: list[int],
) -> None:
    """Spans, groups, lines and columns are the oracle's, down to stretches of a byte."""
    path = tmp_path_factory.mktemp("stretches") / "d"
    path.write_bytes(document)
    expected = hits(patterns, document, cap)
    capped = sum(too_long(p, document, cap) for p in patterns.values() if is_unbounded(p))
    scanner = Scanner(patterns, "cpu", max_match_bytes=cap)
    for shard_bytes in shards:
        split_at(scanner, shard_bytes)
        result = scanner.scan_paths(path)
        assert not result.problems
        assert (hits_of(result), result.capped) == (expected, capped), shard_bytes
        assert (result.documents, result.bytes) == (1, len(document))


@settings(max_examples=examples(300), suppress_health_check=NO_RESET)
@given(
    rules=some_rules,
    document=haystacks(),
    path=some_path,
    shards=st.lists(st.integers(1, 30), min_size=2, max_size=2),
)
def test_filters_in_stretches(
    rules: list[Rule], document: bytes, path: str, shards: list[int]
) -> None:
    """Keywords anywhere in the document count, and lines that go over stretches are seen whole."""
    expected = filtered(rules, document, path)
    scanner = Scanner(as_pack(rules), "cpu")
    for shard_bytes in shards:
        split_at(scanner, shard_bytes)
        assert hits_of(scanner.scan(document, path)) == expected, shard_bytes


def stitched(monkeypatch: pytest.MonkeyPatch) -> list[StitchTask]:
    """The joins that will have been done."""
    tasks: list[StitchTask] = []
    begin = ScanEngine.begin

    def counted(self: ScanEngine, task: Task, run: object) -> None:
        if isinstance(task, StitchTask):
            tasks.append(task)
        begin(self, task, run)  # type: ignore[arg-type]

    monkeypatch.setattr(ScanEngine, "begin", counted)
    return tasks


def test_stretches_are_joined_once_where_chains_are_in_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part of a dense document is joined by a task of its own, which reads little but its
    findings; one whose neighbour was out of step up to its end is joined again.
    """
    tasks = stitched(monkeypatch)
    document = b"".join(b"%d,user%d@mail.com\n" % (i, i) for i in range(400))
    (tmp_path / "d").write_bytes(document)
    pattern = {"mail": "[a-z0-9]{1,20}@[a-z0-9]{1,20}[.]com"}
    scanner = Scanner(pattern, "cpu", shard_bytes=1000)
    expected = hits(pattern, document, 1 << 16)
    assert hits_of(scanner.scan_paths(tmp_path / "d")) == expected
    assert len(tasks) == -(-len(document) // 1000)
    assert all(len(task.parts) == 1 for task in tasks)

    tasks.clear()
    (tmp_path / "d").write_bytes(b"ab" * 50 + b"c" + b"ab" * 50)
    found = {"pair": "(?:ab|ba){2}"}
    scanner = Scanner(found, "cpu", shard_bytes=33)
    assert hits_of(scanner.scan_paths(tmp_path / "d")) == hits(
        found, (tmp_path / "d").read_bytes(), 1 << 16
    )
    assert len(tasks) > 7


def test_what_is_searched_once_more_is_a_stretch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule's regex may lack its keywords. Parts without them are searched for it when they turn
    up in another part: each by a task of its own, so that no worker has a large document's alone.
    """
    monkeypatch.setattr(joins, "STRETCH_BYTES", 3000)
    tasks = stitched(monkeypatch)
    token = "0123456789abcdef" * 2
    rule = Rule("hex", r"\b[0-9a-f]{32}\b", keywords=("vendor",))
    other = Rule("word", "needle[0-9]")
    document = (f"{token}\n".ljust(1000, ".") * 200 + "vendor").encode()
    (tmp_path / "d").write_bytes(document)
    scanner = Scanner(PackData("p", (rule, other)), "cpu", shard_bytes=10_000)
    assert len(hits_of(scanner.scan_paths(tmp_path / "d"))) == 200
    searched = [task for task in tasks if task.parts[0].unsearched]
    assert len(searched) > 7

    tasks.clear()
    (tmp_path / "d").write_bytes(document.replace(b"vendor", b"nobody"))
    assert hits_of(scanner.scan_paths(tmp_path / "d")) == []
    assert len(tasks) == 1


def test_a_join_reads_little_of_a_dense_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the pieces have found is taken over: the file is read at their borders only."""
    document = b"".join(b"%d,user%d@mail.com\n" % (i, i) for i in range(60_000))
    (tmp_path / "d").write_bytes(document)
    pattern = {"mail": "[a-z0-9]{1,20}@[a-z0-9]{1,20}[.]com"}
    read = 0
    read_file = FileDocument.read

    def counted(self: FileDocument, start: int, end: int) -> bytes:
        nonlocal read
        read += end - start
        return read_file(self, start, end)

    monkeypatch.setattr(FileDocument, "read", counted)
    scanner = Scanner(pattern, "cpu", shard_bytes=400_000)
    starts = [finding.start for finding in scanner.scan_paths(tmp_path / "d")]
    assert starts == [found.start() for found in re.finditer(rb"user", document)]
    assert read < len(document) // 4


def test_keywords_are_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no part knows of a rule's keyword, one task looks for it in the document, and the
    others are told.
    """
    tasks = stitched(monkeypatch)
    rule = Rule("gated", "key_[ab]", keywords=("nowhere",))
    text = b"key_a key_b\n" * 100
    for tail, count in ((b"", 0), (b"Nowhere\n" + b"-" * 80, 200)):
        tasks.clear()
        (tmp_path / "d").write_bytes(text + tail)
        scanner = Scanner(PackData("p", (rule,)), "cpu", shard_bytes=50)
        assert len(scanner.scan_paths(tmp_path / "d")) == count
        asked = [task for task in tasks if task.stretch and task.stretch.asked]
        assert tasks[0] == asked[0] and len(asked) == 1
        told = {(bool(t.stretch.keywords), bool(t.stretch.keyless)) for t in tasks[1:] if t.stretch}
        assert told == {(count > 0, count == 0)}


def test_a_stretch_that_finds_another_file_gives_the_document_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its pieces have found by themselves is reported, once, and nothing of it is counted as
    joined.
    """
    begin = ScanEngine.begin
    path = tmp_path / "d"

    def changing(self: ScanEngine, task: Task, run: object) -> None:
        if isinstance(task, StitchTask) and task.parts[0].start == 100:
            path.write_bytes(b"shorter")
        begin(self, task, run)  # type: ignore[arg-type]

    monkeypatch.setattr(ScanEngine, "begin", changing)
    path.write_bytes(b"key_1 and ..........\n" * 20)
    scanner = Scanner({"key": "key_[0-9]"}, "cpu", shard_bytes=50)
    result = scanner.scan_paths(path)
    assert [problem.reason for problem in result.problems] == ["changed"]
    # of the first stretches, too, what the pieces say
    assert [finding.start for finding in result] == [21 * i for i in range(20)]
    assert result.documents == 0


def test_a_document_counts_once(tmp_path: Path) -> None:
    """Nothing but the last stretch counts the document."""
    (tmp_path / "d").write_bytes(b"key_1\n" * 50)
    scanner = Scanner({"key": "key_[0-9]"}, "cpu", shard_bytes=64)
    results: list[TaskResult] = []
    join = scanner.engine._joiner.join

    def kept(task: StitchTask, rule_ids: list[str], result: TaskResult) -> None:
        join(task, rule_ids, result)
        results.append(result)

    scanner.engine._joiner.join = kept  # type: ignore[method-assign, assignment]
    assert len(scanner.scan_paths(tmp_path / "d")) == 50
    assert [result.documents for result in results] == [0] * (len(results) - 1) + [1]
