"""Filters see the document, not its pieces: keywords, lines, entropy, secrets and paths, in shards
of any size.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from filtered_rules import RULES, as_pack, some_path, some_rules
from generate import haystacks
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import Hit, filtered, hits_of
from split_scans import split_at

from vyre_dist import Finding, Scanner
from vyre_dist.engine.document import Document
from vyre_dist.engine.findings import FindingBuilder
from vyre_dist.errors import UsageError
from vyre_dist.rules.model import Allowlist, PackData, Rule

BACKENDS = ["cpu", "reference"]


def check(rules: list[Rule], document: bytes, path: str, shards: list[int]) -> None:
    expected = filtered(rules, document, path)
    for backend in BACKENDS:
        scanner = Scanner(as_pack(rules), backend)
        for shard_bytes in [1 << 20, *shards]:
            split_at(scanner, shard_bytes)
            assert hits_of(scanner.scan(document, path)) == expected, (backend, shard_bytes)


@settings(max_examples=examples(300))
@given(
    rules=some_rules,
    document=haystacks(),
    path=some_path,
    shards=st.lists(st.integers(1, 30), min_size=2, max_size=2),
)
def test_filters_on_pieces(
    rules: list[Rule], document: bytes, path: str, shards: list[int]
) -> None:
    """Rules with filters report what their definition, applied to the whole document, says."""
    check(rules, document, path, shards)


@pytest.mark.nightly
@settings(max_examples=100_000, derandomize=False)
@given(
    rules=some_rules,
    document=haystacks(),
    path=some_path,
    shards=st.lists(st.integers(1, 30), min_size=2, max_size=2),
)
def test_filters_on_pieces_many_times(
    rules: list[Rule], document: bytes, path: str, shards: list[int]
) -> None:
    """The same, a hundred thousand times."""
    check(rules, document, path, shards)


@pytest.fixture(scope="module")
def scanners() -> dict[str, Scanner]:
    """Of RULES, by backend."""
    return {backend: Scanner(as_pack(RULES), backend) for backend in BACKENDS}


@settings(max_examples=examples(150))
@given(
    documents=st.lists(
        st.tuples(st.sampled_from(["a.py", "b", "b.py", "c"]), haystacks()),
        max_size=4,
        unique_by=lambda d: d[0],
    ),
    shard_bytes=st.integers(1, 40),
    backend=st.sampled_from(BACKENDS),
)
def test_files_say_the_same_as_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    scanners: dict[str, Scanner],
    documents: list[tuple[str, bytes]],
    shard_bytes: int,
    backend: str,
) -> None:
    """scan_paths on files, small ones read at once and larger ones piece by piece, finds what the
    oracle finds.
    """
    folder = tmp_path_factory.mktemp("files")
    for name, data in documents:
        (folder / name).write_bytes(data)
    scanner = scanners[backend]
    split_at(scanner, shard_bytes)
    result = scanner.scan_paths(folder)
    assert not result.problems
    assert result.documents == len(documents)
    assert result.bytes == sum(len(data) for _, data in documents)
    for name, data in documents:
        path = str(folder / name)
        assert of_path(result, path) == filtered(RULES, data, path)
    order = [(f.path, f.start) for f in result]
    assert order == sorted(order)


def of_path(findings: list[Finding], path: str) -> list[Hit]:
    return hits_of(f for f in findings if f.path == path)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("as_file", [False, True], ids=["bytes", "file"])
def test_keyword_far_from_the_match(backend: str, as_file: bool, tmp_path: Path) -> None:
    """A keyword anywhere opens the gate: in another shard, across a shard's edge, before or behind
    the match.
    """
    rules = [
        Rule("dear", "[0-9]{4}", keywords=("keyword",)),
        Rule("gated", "needle", keywords=("keyword",)),
    ]
    scanner = Scanner(as_pack(rules), backend, shard_bytes=64)
    for text in (b"needle 1234", b"needle 1234" + b"." * 500):
        for at in range(0, 300, 7):
            for word in (b"KeyWord", b"keywor_"):
                for document in (b"." * at + word + b"." * 200 + text, text + b"." * at + word):
                    if as_file:
                        (tmp_path / "d").write_bytes(document)
                        found: list[Finding] = scanner.scan_paths(tmp_path / "d")
                    else:
                        found = scanner.scan(document)
                    assert {f.rule_id for f in found} == (
                        {"dear", "gated"} if word == b"KeyWord" else set()
                    )


def test_keywords_of_dropped_matches_are_not_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A document is read for a rule's keyword when a match is left that would be reported."""
    looked: list[int] = []
    has_keyword = FindingBuilder.has_keyword

    def counted(
        self: FindingBuilder, rule: int, match: bytes, document: Document, flags: bytes = b""
    ) -> bool:
        looked.append(rule)
        return has_keyword(self, rule, match, document, flags)

    monkeypatch.setattr(FindingBuilder, "has_keyword", counted)
    rules = [
        Rule("dull", "dull[0-9]+", keywords=("keyword",), entropy=2.0),
        Rule("gated", "needle[0-9]+", keywords=("keyword",)),
    ]
    for shard_bytes in (30, 1 << 20):
        scanner = Scanner(as_pack(rules), shard_bytes=shard_bytes)
        (tmp_path / "f").write_bytes(b"dull1111 needle22 " * 20)
        assert list(scanner.scan_paths(tmp_path / "f")) == []
        assert set(looked) == {1}
        (tmp_path / "f").write_bytes(b"dull1111 needle22 " * 20 + b" keyword")
        assert {f.rule_id for f in scanner.scan_paths(tmp_path / "f")} == {"gated"}
        assert set(looked) == {1}


@pytest.mark.parametrize("trusted", [True, False])
def test_keyword_across_the_edges_of_what_is_read_at_once(
    trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keyword is found wherever it lies in a file that is read in stretches, and half a keyword
    is none; also where the Hyperscan that is installed is not to be trusted.
    """
    pytest.importorskip("hyperscan")
    monkeypatch.setattr("vyre_dist.engine.findings._LOWERED_BYTES", 16)
    monkeypatch.setattr("vyre_dist.engine.findings._CHUNK", 16)
    asked = []

    def check_library() -> None:
        asked.append(trusted)
        if not trusted:
            raise UsageError("it misses matches")

    monkeypatch.setattr("vyre_dist.kernels.keyword_search.check_library", check_library)
    scanner = Scanner(
        as_pack([Rule("gated", "needle", keywords=("keyword", "another1"))]), shard_bytes=20
    )
    for at in range(70):
        for word in (b"KEYWORD", b"KEYWOR", b"EYWORD"):
            (tmp_path / "d").write_bytes(b"needle" + b"." * at + word + b"." * (70 - at))
            assert len(scanner.scan_paths(tmp_path / "d")) == (word == b"KEYWORD"), (at, word)
    assert asked


def test_gated_rules_that_are_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a rule that is looked for by keywords matches so densely that Hyperscan is told to
    stop, pieces lose nothing.
    """
    pytest.importorskip("hyperscan")
    from vyre_dist.kernels import cpu

    stopped = []
    on_hit = cpu.CpuBackend._on_hit

    def noted(self: cpu.CpuBackend, *hit: int) -> bool:
        stopped.append(on_hit(self, *hit))
        return stopped[-1]

    rules = [
        Rule("dear", r"[0-9]{4}", keywords=("keyword",)),
        Rule("other", r"\w[0-9]{3,}", keywords=("password",)),
        Rule("plain", "needle"),
    ]
    document = (
        b"a123 4567 needle 89 " * 3
        + b"." * 90
        + b"0123" * 9
        + b" keyword needle "
        + b"7654 x9 " * 4
    )
    want = hits_of(Scanner(as_pack(rules), "reference", shard_bytes=900).scan(document))
    assert {hit.rule for hit in want} == {"dear", "plain"}
    for limited in (False, True):
        if limited:
            monkeypatch.setattr(cpu, "most_ends", lambda _: 3)
            monkeypatch.setattr(cpu.CpuBackend, "_on_hit", noted)
        for size in (7, 30, 64, 150, 900):
            assert (
                hits_of(Scanner(as_pack(rules), "cpu", shard_bytes=size).scan(document)) == want
            ), size
    assert any(stopped)


@pytest.mark.parametrize("as_file", [False, True], ids=["bytes", "file"])
def test_lines_longer_than_any_chunk(as_file: bool, tmp_path: Path) -> None:
    """Lines and columns are right in lines of megabytes, with and without a newline before them."""
    row = b"x" * 999 + b"!"
    document = b"\n" + row * 3000 + b"\n\n" + row * 2000 + b"\n"
    scanner = Scanner({"r": "!"}, shard_bytes=(1 << 20) - 3)
    if as_file:
        (tmp_path / "d").write_bytes(document)
        found: list[Finding] = scanner.scan_paths(tmp_path / "d")
    else:
        found = scanner.scan(document)
    places = [(f.line, f.column) for f in found]
    assert places == [(2, 1000 * (i + 1)) for i in range(3000)] + [
        (4, 1000 * (i + 1)) for i in range(2000)
    ]


def test_path_rules_report_a_split_document_once(tmp_path: Path) -> None:
    """A rule with a path only reports the file itself, first of its findings, however many pieces
    it has.
    """
    (tmp_path / "b").write_bytes(b"a" * 50)
    rules = [Rule("a", "a{50}"), Rule("file", None, path="b$")]
    for shard_bytes in (1, 7, 50, 100):
        result = Scanner(as_pack(rules), shard_bytes=shard_bytes).scan_paths(tmp_path)
        assert [(f.rule_id, f.start, f.end, f.line) for f in result] == [
            ("file", 0, 0, 0),
            ("a", 0, 50, 1),
        ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_capped_matches_of_pieces_are_those_of_the_document(backend: str, tmp_path: Path) -> None:
    """A match counts as too long only where it is one in the whole document, not because a piece
    ends there.
    """
    rules = [Rule("end", r"foo[^y]*\z", max_match_bytes=20), Rule("run", "fo+", max_match_bytes=20)]
    for text, capped in (
        (b"foo " + b"x" * 90 + b"y", 0),
        (b"f" + b"o" * 90 + b"y", 1),
        (b"foo" + b"x" * 30, 1),
    ):
        (tmp_path / "d").write_bytes(text)
        for shard_bytes in (1 << 20, 40, 13):
            scanner = Scanner(as_pack(rules), backend, shard_bytes=shard_bytes)
            assert scanner.scan_paths(tmp_path / "d").capped == capped, (text, shard_bytes)


def test_skipped_documents_count_once(tmp_path: Path) -> None:
    """A document that no rule applies to is counted, once, and not read."""
    (tmp_path / "skip.md").write_bytes(b"a" * 50)
    (tmp_path / "scan.py").write_bytes(b"a" * 50)
    pack = PackData("p", (Rule("a", "a{50}"),), (Allowlist(paths=(r"\.md$",)),))
    for shard_bytes in (3, 100):
        result = Scanner(pack, shard_bytes=shard_bytes).scan_paths(tmp_path)
        assert (result.skipped, result.documents, len(result)) == (1, 1, 1)
