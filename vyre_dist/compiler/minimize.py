"""Minimization of a Dfa: fewer states, fewer columns, the same answers.

Rows are compared by a hash of 64 bits; the final partition is checked without it.

Source: E. F. Moore, "Gedanken-experiments on sequential machines" (1956).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.determinize import ACCEPT, DEAD, Dfa


def minimize(dfa: Dfa) -> Dfa:
    """The least automaton with the same answers from every entry; states 0 and 1 stay."""
    table, entries = dfa.table, np.array(dfa.entries, np.int64)
    while (certain := np.flatnonzero((table == ACCEPT).all(axis=1))).size > 1:
        # Whatever comes next, there is a match: no need to wait for it.
        rename = np.arange(table.shape[0])
        rename[certain] = ACCEPT
        table, entries = rename[table].astype(np.uint16), rename[entries]
        table[certain[1:]] = DEAD  # no longer reached
    blocks = _partition(table)
    count = int(blocks.max()) + 1
    if count == table.shape[0]:
        return _narrowed(dfa.columns, table, tuple(entries.tolist()))
    representative = np.empty(count, np.int64)
    representative[blocks[::-1]] = np.arange(table.shape[0])[::-1]
    smaller = blocks[table[representative]]
    if not np.array_equal(smaller[blocks], blocks[table]):
        return dfa  # two different rows had one hash: keep what is right
    return _narrowed(dfa.columns, smaller.astype(np.uint16), tuple(blocks[entries].tolist()))


def _partition(table: npt.NDArray[np.uint16]) -> npt.NDArray[np.int64]:
    """The block of each state: 0 for DEAD, 1 for ACCEPT, the rest by first occurrence."""
    states, columns = table.shape
    weights = np.random.default_rng(columns).integers(1, 1 << 62, columns, np.int64) * 2 + 1
    blocks = np.zeros(states, np.int64)
    blocks[ACCEPT] = 1
    count = 2
    with np.errstate(over="ignore"):
        salt = np.random.default_rng(states).integers(1, 1 << 62, size=(states,), dtype=np.int64)
        while True:
            hashes = salt[blocks[table]] @ weights + salt[blocks] * 7
            hashes[ACCEPT] = -1  # keeps to itself, whatever its row says
            _, first, refined = np.unique(hashes, return_index=True, return_inverse=True)
            if first.size == count:
                break
            count, blocks = first.size, refined
    order = np.empty(count, np.int64)
    order[np.argsort(first, kind="stable")] = np.arange(count)
    return order[refined]


def _narrowed(columns: bytes, table: npt.NDArray[np.uint16], entries: tuple[int, ...]) -> Dfa:
    """Equal columns joined; the order is that of first occurrence."""
    seen: dict[bytes, int] = {}
    rename = bytes(
        seen.setdefault(column.tobytes(), len(seen)) for column in np.ascontiguousarray(table.T)
    )
    if len(seen) == len(rename):
        return Dfa(columns, table, entries)
    kept = [rename.index(number) for number in range(len(seen))]
    return Dfa(bytes(rename[c] for c in columns), np.ascontiguousarray(table[:, kept]), entries)
