"""Audits: what is scanned again with google-re2 alone, and what that finds of planted faults."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from filtered_rules import RULES
from generate import haystacks, packs
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import hits

from vyre_dist import RulePack, Scanner
from vyre_dist.driver.in_process_pool import InProcessPool
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.run import Callbacks, run_scan
from vyre_dist.engine import audit, audit_text
from vyre_dist.engine.audit import Auditor
from vyre_dist.engine.audit_sample import AuditSample
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.content import Evidence, digest_of
from vyre_dist.engine.tally import Tally
from vyre_dist.engine.tasks import AuditCursor, AuditTask, Piece, ScanTask, TaskResult
from vyre_dist.errors import UsageError
from vyre_dist.extract import Span
from vyre_dist.input_problem import NOT_AUDITED, InputProblem
from vyre_dist.program import compile_pack
from vyre_dist.rules.model import Allowlist, PackData

PATTERNS = {"tok": "tok_[a-z]+", "lazy": "(?s)beg.*?end", "word": r"\bkey\b", "line": "(?m)^#.*$"}
TEXT = b"# one\nkey tok_abc beg tok_de end\n# two\n" * 3
FaultIn = Callable[[dict[int, list[Span]]], None]


def piece_of(data: bytes, path: str = "d") -> Piece:
    return Piece(0, path, len(data), 0, len(data), inline=data)


def audit_of(
    data: bytes, pack: PackData, cap: int = 1 << 16, found: Tally | None = None, path: str = "d"
) -> tuple[TaskResult, Tally, int]:
    """(the last answer, what google-re2 has found, how many slices it took) of an audit."""
    compiled = compile_pack(pack, max_match_bytes=cap)
    auditor = Auditor(pack, compiled, slice_seconds=0.0)
    evidence = (Evidence(0, len(data), digest_of(data)),)
    task = AuditTask(piece_of(data, path), evidence, Tally() if found is None else found)
    for slices in range(1, 1_000_000):
        result = TaskResult()
        auditor.audit(task, result)
        assert result.audit is not None
        if result.audit.cursor is None:
            return result, task.cursor.found, slices
        task = replace(task, cursor=result.audit.cursor)
    raise AssertionError("it does not end")


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents are read by windows of a few bytes."""
    monkeypatch.setattr(audit_text, "WHOLE_BYTES", 4)
    monkeypatch.setattr(audit_text, "_STEP", 7)
    monkeypatch.setattr(audit_text, "_CHUNK", 5)
    monkeypatch.setattr(audit, "_LONGEST_STEP", 4)


# --- what it finds

CAPS = st.sampled_from([1, 2, 3, 5, 8, 1 << 16])


def check_against_oracle(patterns: dict[str, str], document: bytes, cap: int) -> None:
    """In one go, and rule by rule with a pause after each search."""
    pack = RulePack.from_patterns(patterns).data
    numbers = {rule.id: number for number, rule in enumerate(pack.rules)}
    expected: dict[tuple[int, int], int] = {}
    for hit in hits(patterns, document, cap):
        key = numbers[hit.rule], hit.start
        expected[key] = expected.get(key, 0) + 1
    engine = Scanner(patterns, "cpu", max_match_bytes=cap).engine
    engine.sample = AuditSample(1.0, 0)
    (task,) = engine.run(ScanTask((piece_of(document),))).audits
    found = task.found
    assert {key: count for key, (count, _) in found.sums.items()} == expected
    result, _, slices = audit_of(document, pack, cap, found)
    assert result.audit is not None
    assert (result.audit.reason, result.audit.detail) == ("", "")
    assert (result.audited, result.audited_bytes, result.audit_differs) == (1, len(document), 0)
    assert slices >= len(patterns)


@settings(max_examples=examples(200))
@given(patterns=packs(), document=haystacks(), cap=CAPS)
def test_an_audit_finds_what_the_oracle_of_these_tests_finds(
    patterns: dict[str, str], document: bytes, cap: int
) -> None:
    """Spans, groups, lines and columns of random packs, whatever the cap."""
    check_against_oracle(patterns, document, cap)


def test_so_it_does_by_windows(small_windows: None) -> None:
    """Of documents that are too large to be held, the same is found, in windows of a few bytes."""

    @settings(max_examples=examples(200))
    @given(patterns=packs(), document=haystacks(), cap=CAPS)
    def check(patterns: dict[str, str], document: bytes, cap: int) -> None:
        check_against_oracle(patterns, document, cap)

    check()


GLOBAL = (
    Allowlist(paths=(r"\.txt$",), regexes=("^aab",), condition="AND"),
    Allowlist(
        stopwords=("bca",), regexes=("c$",), condition="AND", target_rules=("words", "gated")
    ),
    Allowlist(paths=("^vendor/",), target_rules=("empties",)),
    Allowlist(commits=("1",), regexes=(".",), condition="AND"),
)
PACK = PackData("test", tuple(RULES), GLOBAL)


@settings(max_examples=examples(300))
@given(
    path=st.sampled_from(["x.py", "b", "dir/b.py", "a.txt", "vendor/x"]),
    document=haystacks(),
    cap=CAPS,
    shard_bytes=st.one_of(st.integers(1, 40), st.just(1 << 20)),
)
def test_filters_are_asked_one_by_one(
    path: str, document: bytes, cap: int, shard_bytes: int
) -> None:
    """Keywords, entropy, secret groups, paths and allowlists of all kinds: the scan's findings are
    the audit's, whole or in pieces.
    """
    scanner = Scanner(PACK, "cpu", max_match_bytes=cap, shard_bytes=shard_bytes)
    engine = scanner.engine
    engine.sample = AuditSample(1.0, 0)
    problems: list[InputProblem] = []
    told = Callbacks(lambda _: None, problems.append, lambda _: None, lambda *_: None)
    plan = Plan([piece_of(document, path)], shard_bytes)
    outcome = run_scan(plan, InProcessPool(engine), PACK.rules, told)
    assert not problems and not outcome.notes
    totals = outcome.totals
    assert (totals.audited, totals.audited_bytes) == (1, len(document))
    assert (totals.audit_differs, totals.not_audited) == (0, 0)


def test_what_differs_is_told_shortly() -> None:
    """The first differences, and how many more there are; of dense documents, in stretches."""
    pack = RulePack.from_patterns({"a": "a"}).data
    result, _, _ = audit_of(b"a" * 5, pack)
    assert result.audit is not None and result.audit_differs == 1
    assert result.audit.detail == (
        "rule 'a', at 0: google-re2 finds 1, the scan 0; rule 'a', at 1: google-re2 finds 1, the "
        "scan 0; rule 'a', at 2: google-re2 finds 1, the scan 0; and 2 more differences"
    )
    result, _, _ = audit_of(b"a" * 5000, pack)
    assert result.audit is not None
    assert re.match(
        r"rule 'a', in \[0, 16\): google-re2 finds 16, the scan 0; .* and 310 more differences",
        result.audit.detail,
    )


# --- what can't be audited


def test_what_has_changed_since_is_no_difference(tmp_path: Path) -> None:
    """Other bytes, fewer bytes, no file: none of them is what was scanned."""
    pack = RulePack.from_patterns(PATTERNS).data
    auditor = Auditor(pack, compile_pack(pack))
    file = tmp_path / "f"
    evidence = (Evidence(0, len(TEXT), digest_of(TEXT)),)
    task = AuditTask(Piece(0, str(file), len(TEXT), 0, len(TEXT)), evidence, Tally())

    def told() -> str:
        result = TaskResult()
        auditor.audit(task, result)
        assert result.audit is not None and result.audit.reason == NOT_AUDITED
        assert (result.not_audited, result.audited, result.audit_differs) == (1, 0, 0)
        return result.audit.detail

    assert told().startswith("vanished: ")
    file.write_bytes(TEXT.replace(b"abc", b"xyz"))
    assert told() == "changed: it was written to after it was scanned"
    file.write_bytes(TEXT[:-1])
    assert told().startswith("changed: the file shrank")


def test_an_audit_that_takes_too_long_is_given_up() -> None:
    """It has so many seconds, in however many slices, and then says so."""
    pack = RulePack.from_patterns(PATTERNS).data
    auditor = Auditor(pack, compile_pack(pack), slice_seconds=0.0, most=lambda _: 2.0)
    task = AuditTask(piece_of(TEXT), (Evidence(0, len(TEXT), digest_of(TEXT)),), Tally())
    result = TaskResult()
    auditor.audit(task, result)
    assert result.audit is not None and result.audit.cursor is not None
    assert 0 < result.audit.cursor.seconds < 2
    late = replace(task, cursor=result.audit.cursor._replace(seconds=2.5))
    result = TaskResult()
    auditor.audit(late, result)
    assert result.audit is not None and result.not_audited == 1
    assert re.fullmatch(r"it is not done after \d+ s", result.audit.detail)


def test_starts_that_never_fit_cost_little() -> None:
    """A capped rule whose matches are all too long is not searched for to the end of each."""
    pack = RulePack.from_patterns({"r": "(?s)a.*b"}).data
    data = b"a" * 20_000 + b"x" * 300 + b"b"
    result, _, searches = audit_of(data, pack, cap=100)
    assert result.audit is not None and result.audit.reason == "" and searches < 40


# --- which documents


def test_a_sample_is_the_same_for_all_who_ask() -> None:
    """About the share that was asked for; all or none at the ends; another seed, other ones."""
    for rate in (0.0, 0.01, 0.25, 1.0):
        chosen = [n for n in range(20_000) if AuditSample(rate, 7).has(n)]
        assert abs(len(chosen) - 20_000 * rate) < 300
        assert chosen == [n for n in range(20_000) if AuditSample(rate, 7).has(n)]
    assert [n for n in range(500) if AuditSample(0.1, 1).has(n)] != [
        n for n in range(500) if AuditSample(0.1, 2).has(n)
    ]
    assert bool(AuditSample(1e-9, 0)) and not AuditSample(0.0, 0)


def test_a_rate_is_a_share() -> None:
    for rate in (-0.1, 1.1, float("nan"), True, "1"):
        with pytest.raises(UsageError, match="an audit rate is a number from 0 to 1"):
            EngineConfig(audit_rate=rate)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="an audit rate"):
        Scanner({"a": "a"}).scan_paths(".", audit=2)


def test_a_share_of_a_tree_is_audited(tmp_path: Path) -> None:
    """As many documents as the rate says, more or less; none without it. The scanner's next scan
    has a rate of its own.
    """
    for number in range(400):
        (tmp_path / f"{number}.txt").write_bytes(b"tok_%d abc" % number)
    scanner = Scanner(PATTERNS, "cpu", shard_bytes=64)
    assert 40 < scanner.scan_paths(tmp_path, audit=0.25).totals.audited < 180
    assert scanner.scan_paths(tmp_path).totals.audited == 0


def test_a_scanner_of_bytes_audits_nothing() -> None:
    """Nobody would hear of it."""
    scanner = Scanner(PATTERNS, "cpu", config=EngineConfig(audit_rate=1.0, shard_bytes=32))
    assert len(scanner.scan(TEXT)) > 3
    assert not scanner.engine.sample


def test_documents_with_many_findings_are_audited_in_stretches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a document that several tasks join, what they say adds up to the document."""
    from vyre_dist.driver import joins

    monkeypatch.setattr(joins, "STRETCH_BYTES", 100)
    (tmp_path / "dense").write_bytes(b"tok_a\nkey tok_b\n" * 300)
    scanner = Scanner(PATTERNS, "cpu", shard_bytes=500)
    result = scanner.scan_paths(tmp_path, audit=1)
    assert result.complete, result.problems
    assert (result.totals.audited, result.documents) == (1, 1) and len(result) == 900


def test_a_cursor_begins_with_nothing() -> None:
    """The one that all audits begin with is not written to."""
    audit_of(TEXT, RulePack.from_patterns(PATTERNS).data)
    assert AuditCursor() == AuditCursor(0, 0, -1, None, 0, 1, 0, 0.0, Tally())
