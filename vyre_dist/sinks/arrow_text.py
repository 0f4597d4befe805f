"""Lines of text from columns of findings, made by Arrow: for outputs with very many findings.

A line that Python puts together takes a microsecond; here a column is looked at at once. Only what
a format writes as it is comes this way: rows with other bytes are written one by one, and a batch
with what is no UTF-8 is left to the sink's own loop (`NotPlainError`). Nothing here is imported
before an output has MANY_ROWS: pyarrow takes as long to import as so many rows to write.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vyre_dist.finding import Slices
from vyre_dist.sinks.json_text import Rounded, quoted

Column: TypeAlias = Any
"""An array of pyarrow's, which has no types."""
_MOST_BYTES = 64 << 20
"""A batch of longer texts is not copied as a whole."""


class NotPlainError(Exception):
    """Some of a batch has to be written row by row."""


class Odd:
    """Bytes that a format does not write as they are: `anywhere`, or as the `first` of a text."""

    def __init__(self, anywhere: Collection[int], first: Collection[int] = ()) -> None:
        self.anywhere = np.zeros(256, np.bool_)
        self.anywhere[list(anywhere)] = True
        self.first = np.zeros(256, np.bool_)
        self.first[list(first)] = True


NOT_PRINTABLE = [*range(0x20), *range(0x7F, 0x100)]
JSON_ODD = Odd([*NOT_PRINTABLE, *b'"\\'])


def json_body(data: bytes) -> str:
    """What a JSON string has between its quotes. Raises UnicodeDecodeError."""
    return quoted(data.decode())[1:-1]


def texts(column: Sequence[bytes], odd: Odd, write: Callable[[bytes], str]) -> Column:
    """The texts as they are, but for those with odd bytes, which are as `write` writes them.

    Raises NotPlainError; `write` may raise it or UnicodeDecodeError, which becomes one.
    """
    if sum(map(len, column)) > _MOST_BYTES:
        raise NotPlainError
    plain = pa.array(column, pa.binary())
    offsets, data = _parts_of(plain)
    mask = np.zeros(len(column), np.bool_)
    places = np.flatnonzero(odd.anywhere[data])
    mask[np.searchsorted(offsets, places, "right") - 1] = True
    filled = np.flatnonzero(offsets[1:] > offsets[:-1])
    mask[filled] |= odd.first[data[offsets[filled]]]
    rows = np.flatnonzero(mask)
    if len(rows):
        try:
            written = [write(column[row]).encode("ascii") for row in rows.tolist()]
        except UnicodeError as error:
            raise NotPlainError from error
        plain = pc.replace_with_mask(plain, pa.array(mask), pa.array(written, pa.binary()))
    return _as_text(plain)


def picked(choices: Sequence[str], numbers: Sequence[int]) -> Column:
    """For each number the text of that number among `choices`."""
    return pa.array(choices, pa.string()).take(pa.array(integers(numbers)))


def numbers(column: Sequence[int] | npt.NDArray[np.int64]) -> Column:
    """Numbers in decimal."""
    return pc.cast(pa.array(integers(column)), pa.string())


def rounded(entropies: Sequence[float], texts_of: Rounded, before: str) -> Column:
    """Entropies as `texts_of` has them, each with `before` before it."""
    values = np.asarray(entropies, np.float64)
    # 0.0 and -0.0 are the same number, and other bits
    coded = pa.array(values.view(np.int64)).dictionary_encode()
    different = coded.dictionary.to_numpy().view(np.float64).tolist()
    written = [before + texts_of[each] for each in different]
    return pa.array(written, pa.string()).take(coded.indices)


def strings(column: Sequence[str]) -> Column:
    """Texts that are written as they are."""
    if not isinstance(column, Slices):
        return pa.array(column, pa.string())
    text, size = column.text.encode("ascii"), column.size
    ends = pa.py_buffer(np.arange(0, len(text) + 1, size, dtype=np.int32))
    return pa.Array.from_buffers(pa.string(), len(column), [None, ends, pa.py_buffer(text)])


def integers(column: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """A column of numbers from 0 on."""
    return np.asarray(column, np.int64)


def each_path(paths: Sequence[str], rules: Sequence[int]) -> tuple[list[tuple[int, str]], Column]:
    """The different (rule, path) that there are, and each row's number among them."""
    names, keys, most = [paths[0]], integers(rules), max(rules) + 1
    if paths.count(paths[0]) < len(paths):
        number: dict[str, int] = {}
        own = [number.setdefault(path, len(number)) for path in paths]
        names, keys = list(number), integers(own) * most + keys
    coded = pa.array(keys).dictionary_encode()
    pairs = [(key % most, names[key // most]) for key in coded.dictionary.to_pylist()]
    return pairs, coded.indices


def lines(parts: Sequence[str | Column]) -> memoryview:
    """The parts of each line, one behind the other, and line behind line."""
    merged: list[str | Column] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    joined = pc.binary_join_element_wise(
        *[pa.scalar(part) if isinstance(part, str) else part for part in merged], ""
    )
    offsets, data = _parts_of(joined)
    return data[offsets[0] : offsets[-1]].data


def lengths(column: Column) -> npt.NDArray[np.int64]:
    """The bytes of each of a column's texts."""
    return np.diff(_parts_of(column)[0]).astype(np.int64)


def _parts_of(column: Column) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Where texts begin, with the last one's end, and all bytes."""
    _, places, data = column.buffers()
    offsets = np.frombuffer(places, np.int32)[column.offset : column.offset + len(column) + 1]
    return offsets, np.frombuffer(data or b"", np.uint8)


def _as_text(column: Column) -> Column:
    """Bytes that are UTF-8, taken for text."""
    return pa.Array.from_buffers(pa.string(), len(column), column.buffers(), 0, column.offset)
