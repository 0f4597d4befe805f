"""Findings on their way from workers to outputs: rows encoded as columns, block by block.

A block is made as soon as it is full, so nobody holds more rows than one has: as objects they take
ten times the memory. Numbers travel as little-endian arrays of the narrowest type that holds them;
texts as msgpack, which is read faster than Arrow's IPC format by a process that has to import
pyarrow for it.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

import msgpack

from vyre_dist.engine.finding_rows import FindingRow, report_order
from vyre_dist.engine.fingerprints import DIGEST_BYTES, DocumentPrints
from vyre_dist.engine.spool import Kept, bytes_of
from vyre_dist.engine.wire import WireError
from vyre_dist.rules.finder import Groups

BLOCK_ROWS = 8192
BLOCK_BYTES = 4 << 20
"""A block has at most so many rows; of long matches it has fewer."""
_STEP_ROWS = 512

_TEXTS = ("match", "secret", "groups", "entropy")
_TYPECODES = "BHIQ"


class FindingBlock(NamedTuple):
    """Findings of one or several documents, encoded.

    `place`: where the first one comes in the report. `numbered`: findings that match the same
    within a document have been told apart; else all have the fingerprint of the first one, since
    their document has findings in other blocks, too, which someone else makes. `data`: their
    digests (fingerprints.py), then their columns. `by_rule`: (rule, how many of the rows are its).
    """

    place: tuple[int, int, int]
    rows: int
    numbered: bool
    data: Kept
    by_rule: tuple[tuple[int, int], ...] = ()

    @property
    def document(self) -> int:
        """The first finding's document; all findings' where that is a split one."""
        return self.place[0]


class RowBlock(NamedTuple):
    """Rows on their own: what encode_rows made of so many."""

    rows: int
    data: bytes


class Columns(NamedTuple):
    """A block's findings, a sequence for each field of FindingRow, and their digests in a row."""

    document: Sequence[int]
    rule: Sequence[int]
    start: Sequence[int]
    end: Sequence[int]
    line: Sequence[int]
    column: Sequence[int]
    match: Sequence[bytes]
    secret: Sequence[bytes]
    groups: Sequence[Groups]
    entropy: Sequence[float]
    end_line: Sequence[int]
    start_column_utf16: Sequence[int]
    end_column_utf16: Sequence[int]
    digests: bytes

    def rows(self) -> Iterator[FindingRow]:
        """The findings one by one."""
        return map(_row, zip(*self[:-1], strict=True))


_row: Callable[[Iterable[object]], FindingRow] = partial(tuple.__new__, FindingRow)
"""FindingRow._make, without its check of the number of fields."""


def encode_rows(rows: Sequence[FindingRow]) -> bytes:
    """Some rows as columns; a block without its digests."""
    columns = dict(zip(FindingRow._fields, zip(*rows, strict=True), strict=True))
    match, secret, groups = columns["match"], columns["secret"], columns["groups"]
    body = [
        match,
        None if secret == match else secret,
        groups if any(groups) else None,
        _packed("d", columns["entropy"]),
        *[_packed_numbers(column) for name, column in columns.items() if name not in _TEXTS],
    ]
    return bytes(msgpack.packb(body))


def decode_rows(data: bytes | memoryview, rows: int, digests: bytes = b"") -> Columns:
    """The inverse of encode_rows. Raises WireError."""
    try:
        body = msgpack.unpackb(data, use_list=False)
        if not isinstance(body, tuple) or len(body) != len(FindingRow._fields):
            raise ValueError("a block of findings has other columns")
        match, secret, groups, entropy, *numbers = body
        match = _texts(match, rows)
        document, rule, start, end, line, column, end_line, first, after = [
            _numbers(each, rows) for each in numbers
        ]
        return Columns(
            document,
            rule,
            start,
            end,
            line,
            column,
            match,
            match if secret is None else _texts(secret, rows),
            ((),) * rows if groups is None else _groups(groups, rows),
            _array("d", entropy, rows),
            end_line,
            first,
            after,
            digests,
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise WireError("result", str(error)) from error


def decode_block(block: FindingBlock) -> Columns:
    """A block's findings. Raises WireError."""
    data = bytes_of(block.data)
    at = block.rows * DIGEST_BYTES
    return decode_rows(memoryview(data)[at:], block.rows, data[:at])


def rows_of(blocks: Iterable[FindingBlock]) -> Iterator[FindingRow]:
    """The findings of `blocks`, decoded block by block."""
    for block in blocks:
        yield from decode_block(block).rows()


class _Run(NamedTuple):
    """Rows of one document among those that are not encoded yet, from row `first` on."""

    first: int
    document: int
    path: str
    numbered: bool


class Findings:
    """The findings of a task, in report order: given document by document, held as blocks.

    It iterates over rows. `rule_ids`: the pack's, for fingerprints.
    """

    def __init__(self, rule_ids: Sequence[str] = (), blocks: Iterable[FindingBlock] = ()) -> None:
        self._rule_ids = rule_ids
        self._blocks = list(blocks)
        self._rows: list[FindingRow] = []
        self._runs: list[_Run] = []
        self._held = 0  # bytes of texts in _rows
        self._section = (0, False, True)
        self._by_path: deque[tuple[str, FindingRow]] = deque()
        self._apart: list[int] = []
        self._prints: tuple[int, bool, DocumentPrints] | None = None
        self.bytes = sum([len(block.data) for block in self._blocks])
        """Of the blocks that are full."""

    def add(self, path: str, rows: Iterable[FindingRow], *, numbered: bool = True) -> None:
        """Take the findings of one document, or more of them. Documents come in order.

        `numbered`: see FindingBlock. A generator is asked for few rows at a time.
        """
        rows, begun = iter(rows), False
        while step := list(islice(rows, _STEP_ROWS)):
            if not begun:
                begun = True
                self._begin(step[0].document, path, numbered)
            self._rows += step
            self._held += sum([len(row.match) + len(row.secret) for row in step])
            if len(self._rows) > BLOCK_ROWS - _STEP_ROWS or self._held >= BLOCK_BYTES:
                self._encode()
                self._runs = [_Run(0, step[0].document, path, numbered)]

    def add_by_path(self, path: str, row: FindingRow) -> None:
        """Take what a document's path says of it. It may come before findings of other documents
        that were begun earlier.
        """
        self._by_path.append((path, row))

    def keep_apart(self, document: int) -> None:
        """Have no block with findings of this document and of others, nor one with findings of
        documents before and after it. Is called before any of these are added.
        """
        self._apart.append(document)

    @property
    def blocks(self) -> list[FindingBlock]:
        """All that was added."""
        self._take_by_path(sys.maxsize)
        self._encode()
        return self._blocks

    def __iter__(self) -> Iterator[FindingRow]:
        self._take_by_path(sys.maxsize)
        return chain(rows_of(self._blocks), list(self._rows))

    def __len__(self) -> int:
        return sum([b.rows for b in self._blocks]) + len(self._rows) + len(self._by_path)

    def __getitem__(self, index: int) -> FindingRow:
        return list(self)[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Findings | list):
            return list(self) == list(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Findings({list(self)!r})"

    def _begin(self, document: int, path: str, numbered: bool) -> None:
        """Rows of `document` come now."""
        self._take_by_path(document)
        self._put(document, path, numbered)

    def _take_by_path(self, last: int) -> None:
        """Add what paths say, of documents up to `last`."""
        while self._by_path and self._by_path[0][1].document <= last:
            path, row = self._by_path.popleft()
            self._put(row.document, path, True)
            self._rows.append(row)
            if len(self._rows) >= BLOCK_ROWS:
                self._encode()

    def _put(self, document: int, path: str, numbered: bool) -> None:
        before = bisect_left(self._apart, document)
        among = before < len(self._apart) and self._apart[before] == document
        section = (before, among, numbered)
        if section != self._section:
            self._encode()
            self._section = section
        self._runs.append(_Run(len(self._rows), document, path, numbered))

    def _encode(self) -> None:
        """Make a block of the rows that there are."""
        rows, runs = self._rows, self._runs
        self._rows, self._runs, self._held = [], [], 0
        if not rows:
            return
        ends = [run.first for run in runs[1:]] + [len(rows)]
        digests = [
            self._prints_of(run).of(rows[run.first : end])
            for run, end in zip(runs, ends, strict=True)
            if end > run.first
        ]
        data = b"".join([*digests, encode_rows(rows)])
        place = report_order(rows[0])
        by_rule = tuple(sorted(Counter([row.rule for row in rows]).items()))
        self._blocks.append(FindingBlock(place, len(rows), runs[0].numbered, data, by_rule))
        self.bytes += len(data)

    def _prints_of(self, run: _Run) -> DocumentPrints:
        known = self._prints
        if known is None or known[:2] != (run.document, run.numbered):
            prints = DocumentPrints(self._rule_ids, run.path, numbered=run.numbered)
            known = self._prints = (run.document, run.numbered, prints)
        return known[2]


def _packed(typecode: str, column: Sequence[float]) -> bytes:
    values: array[float] = array(typecode, column)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _packed_numbers(column: Sequence[int]) -> tuple[str, bytes]:
    largest = max(column)
    typecode = "B" if largest < 1 << 8 else "H" if largest < 1 << 16 else "I"
    if largest >= 1 << 32:
        typecode = "Q"
    return typecode, _packed(typecode, column)


def _numbers(column: object, rows: int) -> Sequence[int]:
    if isinstance(column, tuple) and len(column) == 2 and column[0] in (*_TYPECODES,):
        return _array(column[0], column[1], rows)  # type: ignore[return-value]
    raise ValueError(f"{column!r:.60} where a column of numbers belongs")


def _array(typecode: str, column: object, rows: int) -> Sequence[float]:
    if not isinstance(column, bytes):
        raise ValueError(f"{column!r:.60} where an array belongs")
    values: array[float] = array(typecode, column)
    if len(values) != rows:
        raise ValueError(f"{len(values)} values of {rows} findings")
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _texts(column: object, rows: int) -> Sequence[bytes]:
    if not isinstance(column, tuple) or len(column) != rows:
        raise ValueError(f"{column!r:.60} where the texts of {rows} findings belong")
    if not {bytes}.issuperset(map(type, column)):
        raise ValueError("a finding's text is of another type")
    return column


def _groups(column: object, rows: int) -> Sequence[Groups]:
    if not isinstance(column, tuple) or len(column) != rows:
        raise ValueError(f"{column!r:.60} where the groups of {rows} findings belong")
    if not {tuple}.issuperset(map(type, column)):
        raise ValueError("a finding's groups are no array")
    if not {bytes, type(None)}.issuperset(map(type, chain.from_iterable(column))):
        raise ValueError("a finding's group is of another type")
    return column
