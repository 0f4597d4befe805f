"""scan_batch over many documents: arenas of rows give what each document gives alone."""

from __future__ import annotations

import gc
import random
import weakref
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from generate import haystacks, packs
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples
from oracle import hits, hits_of

from vyre_dist import Finding, Scanner, UsageError
from vyre_dist.document_paths import written_path, written_paths
from vyre_dist.engine.row_paths import NumberedRows, PathRules
from vyre_dist.rules import RulePack
from vyre_dist.rules.filters import CompiledFilters

PATTERNS = {
    "key": r"key_[0-9]{4}",
    "first": r"\Akey",
    "last": r"[0-9]\z",
    "line": r"(?m)^b+$",
    "empty": r"\A\z",
}
TEXTS = [
    b"key_1234",
    b"",
    b" key_12345\nkey_5678 ",
    b"bb",
    b"a\nbb\n",
    "é key_0000 é".encode(),
    b"nothing to see",
    b"1",
]
# more than a small batch and a chunk
MANY = [TEXTS[number % len(TEXTS)] for number in range(20_000)]


def alone(scanner: Scanner, documents: list[bytes]) -> list[list[Finding]]:
    """What each of a batch's documents gives by itself."""
    return [scanner.scan(text, f"<batch {number}>") for number, text in enumerate(documents)]


def test_a_large_batch_gives_what_its_documents_give() -> None:
    """All fields of all findings, paths and fingerprints among them, in all kinds of documents."""
    scanner = Scanner(PATTERNS)
    whole = scanner.scan_batch(MANY)
    assert len(whole) == len(MANY)
    for number in (*range(400), *range(16_000, 16_800), *range(19_800, 20_000)):
        assert whole[number] == scanner.scan(MANY[number], f"<batch {number}>")
    assert scanner.scan_batch(iter(MANY)) == whole
    want = whole[:400]
    assert scanner.scan_batch([text.decode() for text in MANY[:400]]) == want
    kinds = [bytes, bytearray, memoryview, lambda b: np.frombuffer(b, np.uint8), bytes.decode]
    mixed = [kinds[number % len(kinds)](text) for number, text in enumerate(MANY[:200])]
    assert scanner.scan_batch(mixed) == want[:200]
    named = [(f"<batch {number}>", text) for number, text in enumerate(MANY[:400])]
    assert scanner.scan_batch(named) == want
    assert scanner.scan_batch([*named[:100], *MANY[100:200]]) == want[:200]


@settings(max_examples=60)
@given(packs(), st.lists(haystacks(), min_size=1, max_size=5), st.sampled_from([2, 5, 1 << 16]))
def test_any_pack_in_a_large_batch(patterns: dict[str, str], texts: list[bytes], cap: int) -> None:
    """The oracle's findings in each row, whatever the rules, the rows and the cap."""
    rows = [texts[number % len(texts)] for number in range(70)]
    found = Scanner(patterns, max_match_bytes=cap).scan_batch(rows)
    want = [hits(patterns, text, cap) for text in texts]
    assert [hits_of(own) for own in found] == [want[n % len(texts)] for n in range(70)]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("mode", ["auto", "force", "disable"])
def test_each_backend_and_path(backend: str, mode: str) -> None:
    """Backends without a search over arenas, and those told to speculate, do rows one by one."""
    scanner = Scanner(PATTERNS, backend, speculation=mode)
    assert scanner.scan_batch(MANY[:100]) == alone(Scanner(PATTERNS), MANY[:100])


@pytest.mark.parametrize("shard_bytes", [1, 9, 20, 1 << 20])
def test_rows_larger_than_a_shard(shard_bytes: int) -> None:
    """They are documents of their own, among rows that are not."""
    scanner = Scanner(PATTERNS, shard_bytes=shard_bytes)
    assert scanner.scan_batch(MANY[:300]) == alone(Scanner(PATTERNS), MANY[:300])


def test_a_row_larger_than_an_arena() -> None:
    """So is one that no arena has room for."""
    rows = list(MANY[:100])
    rows[50] = (b"key_1234 " + b"." * 91) * 27_000
    found = Scanner(PATTERNS).scan_batch(rows)
    assert len(found[50]) == 27_000 + 1
    rows[50] = b""
    want = alone(Scanner(PATTERNS), rows)
    assert found[:50] == want[:50] and found[51:] == want[51:]


def test_lists_are_each_documents_own() -> None:
    """No two share a list, and the collector is as it was before."""
    scanner = Scanner({"r": "b"})
    found = scanner.scan_batch([b"a"] * 100)
    assert len({id(own) for own in found}) == 100
    assert gc.isenabled()
    gc.disable()
    try:
        scanner.scan_batch([b"a"] * 100)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_findings_are_shown_once() -> None:
    """Redacted as from scan, in an arena and in a document of its own."""
    scanner = Scanner({"r": "s[0-9]+"}, redact=50, shard_bytes=30)
    rows = [b"s123456789", b"s123456789 " * 5] * 40
    assert scanner.scan_batch(rows) == alone(scanner, rows)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (5, "found int"),
        ("\udcff", "surrogate"),
        (("p", b"x", 1), "document 20001 of the batch is a tuple of 3"),
        ((b"p", b"x"), "path is a str"),
        (("p", 5), "found int"),
        (None, "found NoneType"),
    ],
)
@pytest.mark.parametrize("others", [b"a", "a", ("p", b"a")])
def test_what_is_wrong_in_a_large_batch_is_told(
    wrong: object, message: str, others: object
) -> None:
    """As in a small one, wherever it is."""
    with pytest.raises(UsageError, match=message):
        Scanner({"r": "b"}).scan_batch([others] * 20_001 + [wrong])  # type: ignore[list-item]


@pytest.mark.skipif(find_spec("hyperscan") is None, reason="needs hyperscan")
def test_a_search_for_all_rows_of_an_arena() -> None:
    """100 000 rows are eight searches, not 100 000."""
    scanner = Scanner({"key": PATTERNS["key"]})
    rows = [b"nothing to see, %05d" % number for number in range(100_000)]
    rows[70_000] = b"key_1234"
    candidates = scanner.engine.backend._row_candidates  # type: ignore[attr-defined]
    searched: list[int] = []
    search = candidates.search

    def counting(arena):  # type: ignore[no-untyped-def]
        searched.append(len(arena))
        return search(arena)

    candidates.search = counting
    found = scanner.scan_batch(rows)
    assert [number for number, own in enumerate(found) if own] == [70_000]
    assert sum(searched) == 100_000
    assert len(searched) <= 8


def test_a_scanner_that_is_let_go_is_gone() -> None:
    """Nothing that scans rows holds it: its engine, and a GPU's memory, are free at once."""
    scanner = Scanner({"r": "b"})
    assert len(scanner.scan_batch([b"b"] * 100)) == 100
    assert len(list(scanner.scan_table(pa.table({"t": ["b"] * 100})))) == 100
    held = weakref.ref(scanner)
    del scanner
    assert held() is None


# --- paths

PATH_PACK = """
[[rules]]
id = "named"
path = '''PATTERN'''

[[rules]]
id = "key"
regex = '''key_[0-9]{4}'''

[[rules]]
id = "only-there"
regex = '''key'''
path = '''[02468]>$|\\.txt$'''
"""


def with_paths(folder: Path, pattern: str) -> RulePack:
    file = folder / "pack.toml"
    file.write_text(PATH_PACK.replace("PATTERN", pattern))
    return RulePack.load(file)


@pytest.mark.parametrize("pattern", [r"\.p12$", r"7>$", r"^<batch 1", "x*", r"batch", r"[^0-9]>"])
def test_rules_that_have_only_a_path(tmp_path: Path, pattern: str) -> None:
    """They see the rows' paths, numbered ones and those that are given."""
    scanner = Scanner(with_paths(tmp_path, pattern), no_cache=True)
    rows = MANY[:300]
    assert scanner.scan_batch(rows) == alone(scanner, rows)
    paths = [f"dir/./{number}.{'p12' if number % 3 else 'txt'}!x" for number in range(300)]
    named = list(zip(paths, rows, strict=True))
    assert scanner.scan_batch(named) == [scanner.scan(text, path) for path, text in named]
    lines = [(f"a\n{number}.p12", b"") for number in range(100)]
    assert scanner.scan_batch(lines) == [scanner.scan(text, path) for path, text in lines]


@pytest.mark.parametrize(
    ("pattern", "possible"),
    [
        (r"\.p12$", False),
        (r"^<batch \d+>$", True),
        (r"^<batch \d>$", True),
        (r"(?i)BATCH 12345", True),
        (r"^<batch >$", False),
        (r"batch [a-f]", False),
        (r"\d{30}>$", True),
        (r"4\b7", False),
        (r"7\b>\z", True),
        (r">.", False),
        ("x*", True),
        ("$", True),
    ],
)
def test_a_million_numbered_paths_are_one_question(
    tmp_path: Path, pattern: str, possible: bool
) -> None:
    """Whether a rule matches any of them is known without a look at each."""
    pack = with_paths(tmp_path, pattern).data
    rules = PathRules(pack, CompiledFilters(pack))
    asked: list[int] = []

    class Numbers(list[int]):
        def __getitem__(self, at):  # type: ignore[no-untyped-def]
            asked.append(at)
            return super().__getitem__(at)

    found = list(rules.reported(NumberedRows("<batch ", ">", Numbers(range(5)))))
    assert bool(asked) is possible
    assert possible or not found


@settings(max_examples=examples(100))
@given(packs(), st.sampled_from(["a", "<b ", "", "-\n"]), st.sampled_from(["", "a", ">b"]))
def test_no_rule_is_passed_over_by_that_question(
    patterns: dict[str, str], head: str, tail: str
) -> None:
    """Where it says no, no path of the kind has a match."""
    from vyre_dist import regex as rx
    from vyre_dist.extract.automaton import Automaton

    rng = random.Random(1)
    for pattern in patterns.values():
        automaton = Automaton.of(rx.to_re2(rx.parse(pattern)))
        assert automaton is not None
        if not automaton.may_find(head.encode(), b"ab1", tail.encode()):
            for _ in range(30):
                middle = "".join(rng.choices("ab1", k=rng.randint(1, 5)))
                assert not hits({"r": pattern}, (head + middle + tail).encode())


def test_the_overlap_of_a_pack_is_worked_out_once() -> None:
    """A pack holds it: to ask for it costs no look at the rules, as once for each document."""
    compiled = Scanner(PATTERNS).engine.compiled
    widest = compiled.overlap
    object.__setattr__(compiled, "rules", ())
    assert compiled.overlap == widest > 1


@given(st.lists(st.text(alphabet="ab./!%21:5\n", max_size=8), max_size=6))
def test_paths_are_written_together_as_alone(paths: list[str]) -> None:
    """One look at all paths finds those that are written otherwise."""
    assert written_paths(paths) == [written_path(path) for path in paths]
