"""The values of an Arrow array as arenas of rows: one copy, with a newline behind each value.

Arrays may be slices, and have nulls, which are no rows. Dictionaries and views, whose values may
lie in one place many times over, are written out an arena at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vyre_dist.extract.row_arena import RowArena, stretches

_ROWS_AT_ONCE = 16384
_NEWLINE = pa.scalar(b"\n", pa.binary())


def is_text(kind: Any) -> bool:
    """Whether values of an Arrow type can be rows."""
    types = pa.types
    if types.is_dictionary(kind):
        return is_text(kind.value_type)
    return _is_plain(kind) or _is_view(kind) or bool(types.is_fixed_size_binary(kind))


def is_id(kind: Any) -> bool:
    """Whether values of an Arrow type can name rows."""
    if pa.types.is_dictionary(kind):
        return is_id(kind.value_type)
    return is_text(kind) or bool(pa.types.is_integer(kind))


def arenas_of(array: Any, most_bytes: int) -> Iterator[tuple[Sequence[int], RowArena | bytes]]:
    """(the numbers of some rows of `array`, an arena of them), in order, all rows but nulls.

    A row of more than `most_bytes` comes alone, as its bytes. `is_text` holds for the array's type.
    """
    if pa.types.is_dictionary(array.type):
        array = pa.DictionaryArray.from_arrays(array.indices, _plain(array.dictionary))
    for first in range(0, len(array), _ROWS_AT_ONCE):
        part = array.slice(first, _ROWS_AT_ONCE)
        sums = np.zeros(len(part) + 1, np.int64)
        np.cumsum(_sizes(part), out=sums[1:])
        for low, high in stretches(sums.data, most_bytes):
            rows: Sequence[int] = range(first + low, first + high)
            some = _plain(part.slice(low, high - low))
            if some.null_count:
                rows = (np.flatnonzero(some.is_valid()) + first + low).tolist()
                some = some.drop_null()
            if len(some) == 1 and sums[high] - sums[low] > most_bytes:
                yield rows, some[0].as_buffer().to_pybytes()
            elif len(some):
                yield rows, _arena(some)


def _is_plain(kind: Any) -> bool:
    types = pa.types
    return any(
        check(kind)
        for check in (
            types.is_string,
            types.is_binary,
            types.is_large_string,
            types.is_large_binary,
        )
    )


def _is_view(kind: Any) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _sizes(array: Any) -> npt.NDArray[np.int64]:
    """How many bytes each value has; anything for nulls."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        sizes = _sizes(array.dictionary)
        indices = array.indices.fill_null(0)
        return sizes[indices.to_numpy()] if len(sizes) else np.zeros(len(array), np.int64)
    if pa.types.is_fixed_size_binary(kind):
        return np.full(len(array), kind.byte_width, np.int64)
    if _is_view(kind):
        # 16 bytes a value, the first four are its size
        heads = np.frombuffer(array.buffers()[1], "<i4").reshape(-1, 4)
        return heads[array.offset : array.offset + len(array), 0].astype(np.int64)
    return np.diff(_offsets(array))


def _offsets(array: Any) -> npt.NDArray[np.int64]:
    """Where the values of a plain array begin in its data, and where the last one ends."""
    kind = array.type
    large = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
    buffer = array.buffers()[1]
    offsets = np.frombuffer(buffer, np.int64 if large else np.int32)
    return offsets[array.offset : array.offset + len(array) + 1].astype(np.int64)


def _plain(array: Any) -> Any:
    """The array as one with offsets."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _plain(array.dictionary_decode())
    if pa.types.is_fixed_size_binary(kind):
        return array.cast(pa.binary())
    if _is_view(kind):
        large = pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary()
        try:
            return array.cast(large)
        except pa.ArrowNotImplementedError:  # a release that has views, and no way from them
            return pa.array(array.to_pylist(), large)
    return array


def _arena(array: Any) -> RowArena:
    offsets = _offsets(array)
    sums = offsets - offsets[0]
    held = array.buffers()[2] or pa.py_buffer(b"")
    values = held.slice(int(offsets[0]), int(sums[-1]))
    # in 32 bits, which an arena needs no more of: there is no join of others
    small = pa.Array.from_buffers(
        pa.binary(), len(array), [None, pa.py_buffer(sums.astype(np.int32)), values]
    )
    rows = pa.ListArray.from_arrays(pa.array([0, len(array)], pa.int32()), small)
    joined = pc.binary_join(rows, _NEWLINE)[0].as_buffer()
    return RowArena(b"".join((joined, b"\n")), sums.data)
