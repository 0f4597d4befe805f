"""Nfa: the bit-parallel automata that run outward from a pivot where a Dfa would be too large.

The state is a set of positions in 64-bit words. A step looks at the next symbol. If a position of
the set is final in that symbol's context, there is a match. Else the set becomes the union of what
follows its positions, restricted to what takes the symbol. An empty set is dead. The automata are
run in runners.py.

Source: G. Navarro and M. Raffinot, "Compact DFA representation for fast regular expression search"
(2001), for Glushkov's automaton in bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.determinize import make_alphabet, reachable
from vyre_dist.compiler.errors import RegexTooLargeError
from vyre_dist.compiler.fragment import bits_of
from vyre_dist.compiler.position_automaton import PositionAutomaton
from vyre_dist.regex.context import ANY_CONTEXT

MAX_NFA_POSITIONS = 256

PositionSets = npt.NDArray[np.uint64]
"""Sets of positions, 64 positions in a word."""


@dataclass(frozen=True, slots=True)
class Nfa:
    """`columns`: as in Dfa. For n positions in w words:

    `follow` [n, w]: the positions after each. `reach` [columns, w]: those that take the column's
    bytes. `final` [columns, w]: those that end a match before them. `entries`: for each pivot the
    position to begin in, -1 where nothing can match.
    """

    columns: bytes
    follow: PositionSets
    reach: PositionSets
    final: PositionSets
    entries: tuple[int, ...]

    @property
    def states(self) -> int:
        """How many positions there are."""
        return int(self.follow.shape[0])


def make_nfa(positions: PositionAutomaton, pivots: Sequence[int], *, forward: bool) -> Nfa:
    """The automaton for one direction, with the entries of `determinize`.

    Raises:
        RegexTooLargeError: more than MAX_NFA_POSITIONS.
    """
    direction = positions.forward if forward else positions.backward
    alive = reachable(direction, sum(1 << p for p in set(pivots)))
    members = bits_of(alive)
    # Forward, the pivot's own byte is still to be read: a position before it, of no byte, is where
    # to begin.
    before = list(dict.fromkeys(p for p in pivots if forward and alive >> p & 1))
    size = len(members) + len(before)
    if size > MAX_NFA_POSITIONS:
        raise RegexTooLargeError("positions of a bit-parallel automaton", size, MAX_NFA_POSITIONS)
    number = {p: i for i, p in enumerate(members)}
    partial = any(direction.final[p] < ANY_CONTEXT for p in members if direction.final[p])
    alphabet = make_alphabet(positions.classes, alive, by_context=partial)

    def renamed(bits: int) -> int:
        return sum(1 << number[p] for p in bits_of(bits & alive))

    follow = [renamed(direction.follow[p]) for p in members] + [1 << number[p] for p in before]
    final = [
        sum(1 << number[p] for p in members if direction.final[p] & context)
        for context in alphabet.contexts
    ]
    if forward:
        entry = {p: len(members) + i for i, p in enumerate(before)}
    else:
        entry = {p: number[p] for p in pivots if p in number}
    words = (size + 63) // 64
    return Nfa(
        alphabet.columns,
        _words(follow, words),
        _words([renamed(bits) for bits in alphabet.reach], words),
        _words(final, words),
        tuple(entry.get(p, -1) for p in pivots),
    )


def _words(sets: Sequence[int], words: int) -> PositionSets:
    raw = b"".join(bits.to_bytes(8 * words, "little") for bits in sets)
    return np.frombuffer(raw, "<u8").reshape(len(sets), words)
