"""Dfa: the automata that run outward from a pivot, by subset construction over positions.

A state is (positions that may come next, contexts in which the match is complete), so that sets
with the same future are one state. State 0 is dead, state 1 has accepted; both stop the run. The
last column of a table is the edge of the text. The automata say whether there is a match, not how
long it is: as soon as one is certain the state is 1, and an optional suffix costs nothing.

Construction is bounded (MAX_STATES, _MAX_WORK). Minimization is in minimize.py.

Source: M. O. Rabin and D. Scott, "Finite automata and their decision problems" (1959).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.errors import RegexTooLargeError
from vyre_dist.compiler.fragment import bits_of
from vyre_dist.compiler.position_automaton import Direction, PositionAutomaton
from vyre_dist.regex import charclass
from vyre_dist.regex.context import ANY_CONTEXT, CONTEXT_CLASSES, EDGE, context_of_byte

DEAD, ACCEPT = 0, 1
EDGE_SYMBOL = 256
"""What is read where the text has ended (or, backwards, not yet begun)."""

MAX_STATES = 6000
_MAX_BLOCKS = 255  # the edge's column has a number of 8 bits, too
_MAX_WORK = 400_000


@dataclass(frozen=True, slots=True)
class Dfa:
    """`table`: uint16 [states, columns]: the next state.

    `columns[symbol]`: the symbol's column, for the 256 bytes and the edge. `entries`: the states to
    begin in, one for each pivot that was asked for.
    """

    columns: bytes
    table: npt.NDArray[np.uint16]
    entries: tuple[int, ...]

    @property
    def states(self) -> int:
        """How many there are, dead and accepting ones included."""
        return int(self.table.shape[0])


@dataclass(frozen=True, slots=True)
class Alphabet:
    """Byte classes: a column for each set of bytes that no position tells apart.

    `columns`: see Dfa. `reach[c]`: the positions that take the bytes of column c. `contexts[c]`:
    their context, as a 4-bit mask; several bits only where no final position cares. The last column
    is the edge.
    """

    columns: bytes
    reach: tuple[int, ...]
    contexts: tuple[int, ...]


def reachable(direction: Direction, roots: int) -> int:
    """The positions on a way from `roots`, those included, to the end of a match."""
    seen = fresh = roots
    while fresh:
        ahead = 0
        for p in bits_of(fresh):
            ahead |= direction.follow[p]
        fresh = ahead & ~seen
        seen |= fresh
    members = bits_of(seen)
    alive = sum(1 << p for p in members if direction.final[p])
    grown = True
    while grown:
        grown = False
        for p in reversed(members):
            if not alive >> p & 1 and direction.follow[p] & alive:
                alive |= 1 << p
                grown = True
    return alive


def make_alphabet(classes: Sequence[int], members: int, *, by_context: bool) -> Alphabet:
    """The byte classes of the positions in `members`.

    Raises:
        RegexTooLargeError: every byte has a class of its own.
    """
    takers: dict[int, int] = {}
    for p in bits_of(members):
        takers[classes[p]] = takers.get(classes[p], 0) | 1 << p
    blocks = [charclass.ALL]
    for mask in (*takers, *(CONTEXT_CLASSES if by_context else ())):
        blocks = [part for block in blocks for part in (block & mask, block & ~mask) if part]
    if len(blocks) > _MAX_BLOCKS:
        raise RegexTooLargeError("classes of bytes", len(blocks), _MAX_BLOCKS)
    columns = bytearray(257)
    reach, contexts = [], []
    for number, block in enumerate(blocks):
        for byte in charclass.members(block):
            columns[byte] = number
        one = (block & -block).bit_length() - 1
        reach.append(sum(bits for mask, bits in takers.items() if mask >> one & 1))
        contexts.append(1 << context_of_byte(one))
    columns[EDGE_SYMBOL] = len(blocks)
    return Alphabet(bytes(columns), (*reach, 0), (*contexts, 1 << EDGE))


def determinize(positions: PositionAutomaton, pivots: Sequence[int], *, forward: bool) -> Dfa:
    """The automaton for one direction with an entry for each pivot.

    Forward ones read the pivot's own byte first; backward ones begin with the byte before it.

    Raises:
        RegexTooLargeError: more than MAX_STATES, or too much work to find them.
    """
    direction = positions.forward if forward else positions.backward
    roots = sum(1 << p for p in set(pivots))
    alive = reachable(direction, roots)
    partial = any(0 < direction.final[p] < ANY_CONTEXT for p in bits_of(alive))
    alphabet = make_alphabet(positions.classes, alive, by_context=partial)
    subsets = _Subsets(direction, alive, alphabet)
    if forward:
        entries = tuple(subsets.state(alive & 1 << p, 0) for p in pivots)
    else:
        entries = tuple(subsets.after(1 << p) if alive >> p & 1 else DEAD for p in pivots)
    subsets.explore()
    return Dfa(alphabet.columns, subsets.table(), entries)


class _Subsets:
    def __init__(
        self,
        direction: Direction,
        alive: int,
        alphabet: Alphabet,
    ) -> None:
        self._direction = direction
        self._alive = alive
        self._alphabet = alphabet
        self._ladders = [
            bits & alive for bits in direction.ladders if (bits & alive).bit_count() > 1
        ]
        self._numbers: dict[tuple[int, int], int] = {}
        self._after: dict[int, int] = {}
        self._keys: list[tuple[int, int]] = []
        self._rows: list[list[int]] = []
        self._work = 0

    def state(self, ahead: int, complete: int) -> int:
        """The number of the state with these positions ahead, complete in these contexts."""
        if complete == ANY_CONTEXT:
            return ACCEPT
        if not ahead and not complete:
            return DEAD
        key = (ahead, complete)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._keys) + 2
            self._keys.append(key)
            if number >= MAX_STATES:
                raise RegexTooLargeError("states", number, MAX_STATES)
        return number

    def after(self, read: int) -> int:
        """The state after reading a byte at the positions in `read`."""
        number = self._after.get(read)
        if number is not None:
            return number
        ahead = complete = 0
        follow, final = self._direction.follow, self._direction.final
        left = self._reduced(read)
        self._work += left.bit_count() + 4
        if self._work > _MAX_WORK:
            raise RegexTooLargeError("steps of subset construction", self._work, _MAX_WORK)
        while left:
            low = left & -left
            left ^= low
            p = low.bit_length() - 1
            ahead |= follow[p]
            complete |= final[p]
        number = self._after[read] = self.state(ahead & self._alive, complete)
        return number

    def _reduced(self, read: int) -> int:
        """`read` without what another position covers: of optional copies one has the most left."""
        for ladder in self._ladders:
            rungs = read & ladder
            if rungs & (rungs - 1):
                best = (
                    rungs & -rungs if self._direction.lowest_wins else 1 << rungs.bit_length() - 1
                )
                read ^= rungs ^ best
        return read

    def explore(self) -> None:
        """Fill in the rows of all states that can be reached from those asked for."""
        reach, contexts = self._alphabet.reach, self._alphabet.contexts
        columns = list(zip(reach, contexts, strict=True))[:-1]
        for ahead, complete in self._keys:  # grows meanwhile
            row = []
            for takers, context in columns:
                if complete & context:
                    row.append(ACCEPT)
                    continue
                read = ahead & takers
                if read:
                    number = self._after.get(read)
                    row.append(self.after(read) if number is None else number)
                else:
                    row.append(DEAD)
            row.append(ACCEPT if complete >> EDGE & 1 else DEAD)
            self._rows.append(row)

    def table(self) -> npt.NDArray[np.uint16]:
        """All rows, those of the dead and the accepting state first."""
        columns = len(self._alphabet.reach)
        return np.array([[DEAD] * columns, [ACCEPT] * columns, *self._rows], np.uint16)
