"""Findings on their way: whatever is added comes out, in order, in blocks of bounded size."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples

from vyre_dist.engine import finding_blocks
from vyre_dist.engine.finding_blocks import (
    BLOCK_BYTES,
    BLOCK_ROWS,
    FindingBlock,
    Findings,
    decode_block,
    decode_rows,
    encode_rows,
    rows_of,
)
from vyre_dist.engine.finding_rows import FindingRow, path_row, report_order
from vyre_dist.engine.fingerprints import DIGEST_BYTES, fingerprint
from vyre_dist.engine.wire import WireError

RULES = [f"rule-{i}" for i in range(10)]
NUMBERS = st.integers(0, 2**63) | st.integers(0, 300)
ROWS = st.lists(
    st.builds(
        FindingRow,
        *[NUMBERS] * 6,
        st.binary(max_size=8),
        st.binary(max_size=8),
        st.lists(st.none() | st.binary(max_size=4), max_size=3).map(tuple),
        st.floats(0, 8),
        *[NUMBERS] * 3,
    ),
    min_size=1,
    max_size=5,
)


def row(document: int, start: int, rule: int = 0, match: bytes = b"m") -> FindingRow:
    end = start + len(match)
    return FindingRow(document, rule, start, end, 1, start + 1, match, match, (), 0.5, 1, 1, 2)


def digests_of(block: FindingBlock) -> list[str]:
    digests = decode_block(block).digests
    return [digests[at : at + DIGEST_BYTES].hex() for at in range(0, len(digests), DIGEST_BYTES)]


@settings(max_examples=50)
@given(ROWS)
def test_rows_come_back_as_they_went(rows: list[FindingRow]) -> None:
    """Every field, with its type."""
    back = list(decode_rows(encode_rows(rows), len(rows)).rows())
    assert back == rows
    assert all(type(row) is FindingRow for row in back)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (0, [b"m"]),
        (0, ["m", "m"]),
        (1, [b"m"]),
        (2, [b"g", b"g"]),
        (2, [[1], []]),
        (3, [2.5, 0.0]),
        (3, b"1234567"),  # no whole number of doubles
        (4, ["B", b"1"]),  # another number of rows than the other columns have
        (4, ["H", b"123"]),
        (4, ["d", bytes(16)]),
        (4, b"12"),
    ],
)
def test_columns_that_fit_no_rows_are_refused(column: int, value: object) -> None:
    """Columns of different lengths, and values of another type in them."""
    rows = [row(0, 3)._replace(secret=b"s", groups=(b"g", None)), row(0, 9)]
    body = msgpack.unpackb(encode_rows(rows))
    body[column] = value
    with pytest.raises(WireError, match="same version"):
        decode_rows(msgpack.packb(body), 2)
    with pytest.raises(WireError, match="same version"):
        decode_rows(msgpack.packb(body[:-1]), 2)


def test_a_generator_is_asked_for_no_more_than_a_block_at_a_time() -> None:
    """What was taken is bytes before more is asked for, so that nobody holds all rows of a dense
    document.
    """
    held = []

    def rows() -> Iterator[FindingRow]:
        for i in range(5 * BLOCK_ROWS):
            held.append(i - BLOCK_ROWS * len(findings._blocks))
            yield row(0, 9 * i, match=b"%d" % i)

    findings = Findings(RULES)
    findings.add("p", rows())
    assert max(held) <= BLOCK_ROWS
    assert [block.rows for block in findings.blocks] == [BLOCK_ROWS] * 5
    assert sum(1 for _ in findings) == len(findings) == 5 * BLOCK_ROWS


def test_a_block_of_long_matches_has_few_rows() -> None:
    """Bytes bound it as well."""
    findings = Findings(RULES)
    findings.add("p", (row(0, i, match=bytes(BLOCK_BYTES // 1000)) for i in range(3000)))
    assert max(len(block.data) for block in findings.blocks) < 3 * BLOCK_BYTES
    assert len(findings) == 3000


def test_equal_matches_are_told_apart_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document's fingerprints count, whatever block a finding is in, and however its rows are
    handed over; another document's begin anew.
    """
    monkeypatch.setattr(finding_blocks, "BLOCK_ROWS", 4)
    monkeypatch.setattr(finding_blocks, "_STEP_ROWS", 2)
    findings = Findings(RULES)
    findings.add("a", [row(0, i) for i in range(7)])
    findings.add("a", [row(0, 7)])
    findings.add("b", [row(1, 0), row(1, 5, rule=1), row(1, 9)])
    found = [digest for block in findings.blocks for digest in digests_of(block)]
    assert found == [fingerprint("rule-0", "a", b"m", i) for i in range(8)] + [
        fingerprint("rule-0", "b", b"m", 0),
        fingerprint("rule-1", "b", b"m", 0),
        fingerprint("rule-0", "b", b"m", 1),
    ]


def test_fingerprints_that_are_not_numbered_are_those_of_the_first() -> None:
    """Of a document that is joined elsewhere, too."""
    findings = Findings(RULES)
    findings.add("a", [row(0, i) for i in range(3)], numbered=False)
    (block,) = findings.blocks
    assert not block.numbered
    assert digests_of(block) == [fingerprint("rule-0", "a", b"m", 0)] * 3


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.booleans(), st.sampled_from(["whole", "part", "large"])),
        max_size=8,
    ),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_blocks_are_in_order_and_keep_split_documents_apart(
    documents: list[tuple[int, bool, str]], dispatch: int, most: int
) -> None:
    """As an engine adds findings: what paths say when a file is read, the rest at each dispatch. No
    block has findings of a split document and of another, nor of documents around one.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finding_blocks, "BLOCK_ROWS", most)
        patch.setattr(finding_blocks, "_STEP_ROWS", 1)
        findings = Findings(RULES)
        expected: list[FindingRow] = []
        waiting: list[tuple[int, int]] = []
        for number, (count, by_path, kind) in enumerate(documents):
            if kind != "whole":
                findings.keep_apart(number)
            if by_path and kind != "large":
                findings.add_by_path(f"d{number}", path_row(number, 9))
                expected.append(path_row(number, 9))
            if kind == "whole":
                waiting.append((number, count))
                expected += [row(number, i) for i in range(count)]
            if len(waiting) == dispatch or number + 1 == len(documents):
                for document, rows in waiting:
                    findings.add(f"d{document}", [row(document, i) for i in range(rows)])
                waiting = []
        blocks = findings.blocks
    assert list(rows_of(blocks)) == expected
    assert [block.place for block in blocks] == sorted(
        report_order(next(decode_block(block).rows())) for block in blocks
    )
    for block in blocks:
        own = {found.document for found in decode_block(block).rows()}
        between = [n for n in range(min(own), max(own) + 1) if documents[n][2] != "whole"]
        assert not between or own == set(between)
    assert all(a.place <= b.place for a, b in itertools.pairwise(blocks))
