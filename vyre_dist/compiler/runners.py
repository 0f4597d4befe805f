"""The automata of the NumPy executor, step for step from pivots outward.

A step reads one symbol: a byte, or the document's edge where it has no more bytes. A candidate is
UNDECIDED if the next byte is unknown, or after `max_steps` steps without an answer. NumPy takes the
steps of many candidates together; the last few go on one by one, with the same answers.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.arena import Flags, Positions
from vyre_dist.compiler.determinize import ACCEPT, DEAD, EDGE_SYMBOL
from vyre_dist.compiler.tables import NOT_STORED, PackTables

UNDECIDED = 2

BIT_PARALLEL_STEPS = 64
"""The most steps of a bit-parallel automaton: one costs a kernel many steps along a table, and a
candidate that runs far keeps all others of its launch waiting.
"""

# So few candidates are quicker one by one (0.1 µs a step each) than together (some 20 µs a step).
_FEW = 64
# Most of those come to an end within it.
_CHUNK = 256
# Sets of positions whose next sets a bit-parallel automaton remembers, before it forgets all.
_MAX_REMEMBERED = 1 << 16


class Ahead(NamedTuple):
    """What lies ahead of each candidate in one direction.

    `first`: the position to read first. `left`: bytes until the document's stretch is over. `edge`:
    whether the document ends there.
    """

    first: Positions
    left: Positions
    edge: Flags


def run_outward(
    tables: PackTables,
    data: npt.NDArray[np.uint8],
    automata: npt.NDArray[np.uint32],
    starts: npt.NDArray[np.uint32],
    ahead: Ahead,
    stride: int,
    max_steps: int,
) -> tuple[Positions, int]:
    """Run every candidate outward: (DEAD, ACCEPT or UNDECIDED for each, number of all steps).

    Candidates whose automaton is NOT_STORED are UNDECIDED.
    """
    outcome = np.full(ahead.first.size, UNDECIDED, np.int64)
    which = np.flatnonzero(automata != NOT_STORED)
    rows = tables.automata[automata[which]]
    bit_parallel = rows["is_nfa"] == 1
    steps = _run_nfas(
        tables,
        data,
        automata,
        starts,
        ahead,
        which[bit_parallel],
        stride,
        min(max_steps, BIT_PARALLEL_STEPS),
        outcome,
    )
    which = which[~bit_parallel]
    rows = rows[~bit_parallel]
    state = starts[which].astype(np.int64)
    base, columns = rows["base"].astype(np.int64), rows["columns"].astype(np.int64)
    maps, at = rows["byte_map"].astype(np.int64), ahead.first[which]
    left, edge = ahead.left[which], ahead.edge[which]
    taken = 0
    while True:
        done = state <= ACCEPT
        if done.any():
            outcome[which[done]] = state[done]
            go_on = ~done
        else:
            go_on = None
        if taken == max_steps:
            break
        if (left <= taken).any():
            known = (left > taken) | edge
            go_on = known if go_on is None else go_on & known
        if go_on is not None:
            which, state, base, columns = which[go_on], state[go_on], base[go_on], columns[go_on]
            maps, at, left, edge = maps[go_on], at[go_on], left[go_on], edge[go_on]
        if which.size <= _FEW:
            break
        symbol = np.full(at.size, EDGE_SYMBOL)
        inside = left > taken
        symbol[inside] = data[at[inside]]
        column = tables.byte_maps[maps, symbol]
        state = tables.dfa_cells[base + state * columns + column].astype(np.int64)
        at = at + stride
        taken += 1
        steps += which.size
    if taken < max_steps:
        for i, s, position in zip(which.tolist(), state.tolist(), at.tolist(), strict=True):
            left_here, budget = int(ahead.left[i]) - taken, max_steps - taken
            automaton = _Table.of(tables, int(automata[i]))
            outcome[i], more = automaton.run(
                data, s, position, stride, left_here, bool(ahead.edge[i]), budget
            )
            steps += more
    return outcome, steps


class _Table(NamedTuple):
    """One automaton of cells, read by plain Python."""

    cells: memoryview
    columns: int
    byte_map: bytes

    @classmethod
    def of(cls, tables: PackTables, automaton: int) -> _Table:
        row = tables.automata[automaton]
        base, columns = int(row["base"]), int(row["columns"])
        # numpy's stubs declare the buffer protocol from Python 3.12 on only.
        cells = memoryview(cast(Any, tables.dfa_cells))[base : base + columns * int(row["states"])]
        return cls(cells, columns, tables.byte_maps[row["byte_map"]].tobytes())

    def run(
        self,
        data: npt.NDArray[np.uint8],
        state: int,
        at: int,
        stride: int,
        left: int,
        edge: bool,
        budget: int,
    ) -> tuple[int, int]:
        """(outcome, steps) of an undecided candidate that may take `budget` more steps."""
        cells, columns, _ = self
        count = min(left, budget)
        stop = at + stride * count
        ahead = data[at:stop] if stride > 0 else data[stop + 1 : at + 1][::-1]
        step = 0
        for chunk_at in range(0, count, _CHUNK):
            chunk = ahead[chunk_at : chunk_at + _CHUNK].tobytes().translate(self.byte_map[:256])
            for step, column in enumerate(chunk, chunk_at + 1):
                state = cells[state * columns + column]
                if state <= ACCEPT:
                    return state, step
        if count == budget or not edge:
            return UNDECIDED, step
        return cells[state * columns + self.byte_map[EDGE_SYMBOL]], step + 1


def _run_nfas(
    tables: PackTables,
    data: npt.NDArray[np.uint8],
    automata: npt.NDArray[np.uint32],
    starts: npt.NDArray[np.uint32],
    ahead: Ahead,
    which: Positions,
    stride: int,
    max_steps: int,
    outcome: Positions,
) -> int:
    """Fill in the outcomes of the bit-parallel candidates in `which`; returns the steps taken."""
    steps = 0
    loaded: dict[int, _BitParallel] = {}
    for i in which.tolist():
        number = int(automata[i])
        if number not in loaded:
            loaded[number] = _BitParallel(tables, number)
        first, left, edge = int(ahead.first[i]), int(ahead.left[i]), bool(ahead.edge[i])
        outcome[i], taken = loaded[number].run(
            data, int(starts[i]), first, stride, left, edge, max_steps
        )
        steps += taken
    return steps


class _BitParallel:
    """One bit-parallel automaton. Sets of positions are integers, and their steps remembered."""

    def __init__(self, tables: PackTables, automaton: int) -> None:
        row = tables.automata[automaton]
        n, columns, words, base = (
            int(row[name]) for name in ("states", "columns", "words", "base")
        )
        raw = tables.nfa_words[base : base + (n + 2 * columns) * words].reshape(-1, words)
        sets = [int.from_bytes(r.tobytes(), "little") for r in raw]
        self._follow, self._reach, self._final = (
            sets[:n],
            sets[n : n + columns],
            sets[n + columns :],
        )
        self._byte_map = tables.byte_maps[row["byte_map"]].tobytes()
        self._remembered: dict[tuple[int, int], int] = {}

    def run(
        self,
        data: npt.NDArray[np.uint8],
        start: int,
        at: int,
        stride: int,
        left: int,
        edge: bool,
        max_steps: int,
    ) -> tuple[int, int]:
        """(outcome, steps) of one candidate."""
        state = 1 << start
        for step in range(max_steps):
            if step >= left and not edge:
                return UNDECIDED, step
            symbol = int(data[at]) if step < left else EDGE_SYMBOL
            column = self._byte_map[symbol]
            if state & self._final[column]:
                return ACCEPT, step + 1
            state = self._after(state, column)
            if not state:
                return DEAD, step + 1
            at += stride
        return UNDECIDED, max_steps

    def _after(self, state: int, column: int) -> int:
        known = self._remembered.get((state, column))
        if known is not None:
            return known
        ahead, left = 0, state
        while left:
            low = left & -left
            ahead |= self._follow[low.bit_length() - 1]
            left ^= low
        if len(self._remembered) >= _MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[state, column] = ahead & self._reach[column]
        return ahead & self._reach[column]
