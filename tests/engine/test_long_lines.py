"""Lines of any length: line allowlists, columns and groups cost what the bytes cost, however many
findings there are.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from generate import haystacks
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist import Scanner
from vyre_dist.engine import lines
from vyre_dist.engine.document import BytesDocument, Document, MemoryDocument
from vyre_dist.engine.findings import FindingBuilder
from vyre_dist.engine.lines import LineBounds
from vyre_dist.extract import RuleMatcher
from vyre_dist.kernels.scan_backend import rule_matchers
from vyre_dist.metrics import Metrics
from vyre_dist.program import compile_pack
from vyre_dist.rules.filters import CompiledFilters
from vyre_dist.rules.model import Allowlist, PackData, Rule

SHARED = Path(__file__).parents[3] / "shared" / "data"


def on_line(*regexes: str) -> Allowlist:
    return Allowlist(regexes=regexes, regex_target="line")


RULES = (
    Rule("key", "key_[0-9]+", allowlists=(on_line("nowhere[0-9]"), on_line("^never"))),
    Rule("same", "ey_[0-9]+", allowlists=(on_line("nowhere[0-9]"),)),
    Rule("endless", "k[a-z]*_", allowlists=(on_line("neither", "nor$"),)),
)
PACK = PackData("long lines", RULES)


class CountedDocument:
    """A document that is no BytesDocument, as a split file is; counts the bytes that are read of
    it.
    """

    def __init__(self, data: bytes) -> None:
        self._inner = MemoryDocument(memoryview(data), "d")
        self.path, self.size, self.bytes_read = "d", len(data), 0

    def read(self, start: int, end: int) -> bytes:
        self.bytes_read += end - start
        return self._inner.read(start, end)

    def verify(self) -> None:
        """It stays as it is."""


def spans_of(matchers: dict[int, RuleMatcher], data: bytes) -> list[tuple[int, int, int, int]]:
    from vyre_dist.extract.window import whole

    found = [
        (start, rule, end, flags)
        for rule, matcher in matchers.items()
        for start, end, flags in matcher.iter_matches(whole(data))
    ]
    return sorted(found)


@pytest.mark.parametrize("separator", [b" ", b"\n"], ids=["one line", "many lines"])
def test_a_split_document_is_read_a_few_times_however_many_findings_are_on_a_line(
    separator: bytes,
) -> None:
    """Line allowlists, columns and groups of 6 000 findings read a file of one line no more than
    once each.
    """
    data = separator.join(b"%s key_%d" % (b"x" * 500, i) for i in range(2000))
    matchers = rule_matchers(compile_pack(PACK))
    document = CountedDocument(data)
    builder = FindingBuilder(PACK, CompiledFilters(PACK), matchers)
    rows = builder.build(0, document, spans_of(matchers, data), counted=Metrics())
    assert len(list(rows)) == 6000
    # blocks around matches, newlines before them, the line's start and end; the line for each of
    # three allowlists (of short lines the neighbours are read as well)
    assert document.bytes_read < (9 if separator == b" " else 30) * len(data)


def test_findings_on_one_line_cost_what_they_cost_on_many() -> None:
    """Of a document in memory, too, a line is searched once for an allowlist: 2 000 findings on it
    take no longer.
    """
    scanner = Scanner(PACK)
    seconds = {}
    for separator in (b"\n", b" "):
        text = separator.join(b"%s key_%d" % (b"x" * 1000, i) for i in range(2000))
        began = time.process_time()
        assert len(scanner.scan(text)) == 6000
        seconds[separator] = time.process_time() - began
    # searched for each finding it would be more than a hundred times as long
    assert seconds[b" "] < 5 * seconds[b"\n"] + 0.2


def test_an_allowlist_judges_each_line_on_its_own() -> None:
    """What a line's allowlist says of one line says nothing of the next, nor of a match that goes
    on to another line.
    """
    rules = (
        Rule("word", "key", allowlists=(on_line("skip"),)),
        Rule("over", r"y\nk", allowlists=(on_line("skip"),)),
        Rule("strict", "key", allowlists=(on_line("key$"),)),
    )
    text = b"key\nkey key skip\nkey key\nkey x\nkey skip"
    for shard_bytes in (1 << 20, 7, 3, 1):
        found = Scanner(PackData("p", rules), shard_bytes=shard_bytes).scan(text)
        assert [(f.rule_id, f.start) for f in found] == [
            ("word", 0),
            ("strict", 4),
            ("strict", 8),
            ("word", 17),
            ("word", 21),
            ("over", 23),
            ("word", 25),
            ("strict", 25),
            ("strict", 31),
        ]


@given(
    data=haystacks(),
    spans=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=12).map(sorted),
    view=st.booleans(),
)
def test_bounds_are_those_of_the_lines(
    data: bytes, spans: list[tuple[int, int]], view: bool
) -> None:
    """First and last byte of the lines around ascending matches, read in steps of three and five
    bytes.
    """
    document: Document = MemoryDocument(memoryview(data), "d") if view else BytesDocument(data, "d")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_FIRST_STEP", 3)
        patch.setattr(lines, "_CHUNK", 5)
        bounds = LineBounds(document)
        for start, length in spans:
            start = min(start, len(data))
            end = min(start + length, len(data))
            last = data.find(b"\n", end)
            expected = data.rfind(b"\n", 0, start) + 1, len(data) if last < 0 else last
            assert bounds.around(start, end) == expected


@pytest.mark.parametrize("pack", ["gitleaks.toml", "noseyparker"])
def test_third_party_packs_on_one_line(pack: str) -> None:
    """A megabyte of JSON with 300 keys takes at most three times as long in one line as in 300, in
    every pack.
    """
    if not (SHARED / pack).exists():
        pytest.skip(f"no {SHARED / pack}")
    from vyre_dist import RulePack

    scanner = Scanner(RulePack.load(str(SHARED / pack)))
    keys = [
        b'{"apiKey":"c%03dZ2F%03dhYmNkZWZnaGlqa2xtbm9w","id":"AKIAZ3MSJV4WYTHVEQ2%c"},'
        % (i, i, 65 + i % 26)
        for i in range(300)
    ]
    seconds, found = {}, {}
    for separator in (b"\n", b" "):
        text = separator.join(key + b"lorem ipsum " * 300 for key in keys)
        scanner.scan(text)
        began = time.process_time()
        found[separator] = len(scanner.scan(text))
        seconds[separator] = time.process_time() - began
    assert found[b" "] == found[b"\n"] >= 300
    assert seconds[b" "] < 3 * seconds[b"\n"] + 0.1
