"""The executor's automata, step for step: from pivots outward, all candidates together, or through a whole text.

A step looks at one byte. Where the text has no more bytes, the automata look at the edge if the document has one
there too; if it goes on, the candidate is UNDECIDED.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.determinize import ACCEPT, DEAD, EDGE_SYMBOL
from vyre_dist.compiler.tables import NOT_STORED, PackTables

Places = npt.NDArray[np.int64]
UNDECIDED = 2


class Piece(NamedTuple):
    """A document or a stretch of one; `at_start`, `at_end`: whether the document has its edge there."""

    data: npt.NDArray[np.uint8]
    at_start: bool = True
    at_end: bool = True

    def has_edge(self, stride: int) -> bool:
        """Whether who walks off the data in this direction finds the document's edge."""
        return self.at_end if stride > 0 else self.at_start


def read_through(tables: PackTables, rule: int, text: bytes) -> tuple[int | None, int]:
    """Where the rule's always-on automaton accepts (the offset up to which it had to read), and the steps it took."""
    row = tables.automata[tables.always[rule]]
    base, columns = int(row["base"]), int(row["columns"])
    cells = tables.dfa_cells[base : base + columns * int(row["states"])].tolist()
    mapped = text.translate(tables.byte_maps[row["byte_map"]][:256].tobytes())
    state = int(tables.always_starts[rule])
    for i, column in enumerate(mapped):
        if state <= ACCEPT:
            return (i if state == ACCEPT else None), i
        state = cells[state * columns + column]
    if state > ACCEPT:
        state = cells[state * columns + int(tables.byte_maps[row["byte_map"]][EDGE_SYMBOL])]
    return (len(text) if state == ACCEPT else None), len(text)


def run_outward(
    tables: PackTables,
    piece: Piece,
    automata: npt.NDArray[np.uint32],
    starts: npt.NDArray[np.uint32],
    first: Places,
    stride: int,
    max_steps: int,
    wanted: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int64], int]:
    """Run every wanted candidate from `first` on; (DEAD, ACCEPT or UNDECIDED for each, steps taken)."""
    verdict = np.full(first.size, DEAD, np.int64)
    verdict[wanted] = UNDECIDED
    which = np.flatnonzero(wanted & (automata != NOT_STORED))
    rows = tables.automata[automata[which]]
    steps = 0
    for i in which[rows["is_nfa"] == 1].tolist():
        verdict[i], taken = _run_nfa(
            tables, piece, int(automata[i]), int(starts[i]), int(first[i]), stride, max_steps
        )
        steps += taken
    tabled = rows["is_nfa"] == 0
    which, rows = which[tabled], rows[tabled]
    state = starts[which].astype(np.int64)
    at = first[which].copy()
    for _ in range(max_steps):
        done = state <= ACCEPT
        if done.any():
            verdict[which[done]] = state[done]
            which, rows, state, at = which[~done], rows[~done], state[~done], at[~done]
        if not which.size:
            break
        inside = (at >= 0) & (at < piece.data.size)
        if not piece.has_edge(stride) and not inside.all():
            # They stay UNDECIDED.
            which, rows, state, at = which[inside], rows[inside], state[inside], at[inside]
            inside = inside[inside]
        symbol = np.full(at.size, EDGE_SYMBOL)
        symbol[inside] = piece.data[at[inside]]
        column = tables.byte_maps[rows["byte_map"], symbol]
        state = tables.dfa_cells[rows["base"] + state * rows["columns"] + column].astype(np.int64)
        at += stride
        steps += which.size
    return verdict, steps


def _run_nfa(
    tables: PackTables,
    piece: Piece,
    automaton: int,
    start: int,
    at: int,
    stride: int,
    max_steps: int,
) -> tuple[int, int]:
    """One candidate through one bit-parallel automaton: (verdict, steps)."""
    row = tables.automata[automaton]
    n, columns, words, base = (int(row[name]) for name in ("states", "columns", "words", "base"))
    sets = tables.nfa_words[base : base + (n + 2 * columns) * words].reshape(-1, words)
    follow, reach, final = sets[:n], sets[n : n + columns], sets[n + columns :]
    byte_map = tables.byte_maps[row["byte_map"]]
    state = np.zeros(words, np.uint64)
    state[start >> 6] = np.uint64(1) << np.uint64(start & 63)
    for step in range(max_steps):
        inside = 0 <= at < piece.data.size
        if not inside and not piece.has_edge(stride):
            return UNDECIDED, step
        column = byte_map[piece.data[at] if inside else EDGE_SYMBOL]
        if (state & final[column]).any():
            return ACCEPT, step + 1
        members = np.flatnonzero(np.unpackbits(state.view(np.uint8), bitorder="little"))
        state = np.bitwise_or.reduce(follow[members], axis=0) & reach[column]
        if not state.any():
            return DEAD, step + 1
        at += stride
    return UNDECIDED, max_steps
