"""Automata by themselves: minimal, equal to one another, dead and accepting as early as they can
be.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import examples

from vyre_dist.compiler import RegexTooLargeError
from vyre_dist.compiler.determinize import ACCEPT, DEAD, EDGE_SYMBOL, Dfa, determinize
from vyre_dist.compiler.minimize import minimize
from vyre_dist.compiler.nfa import MAX_NFA_POSITIONS, Nfa, make_nfa
from vyre_dist.compiler.position_automaton import PositionAutomaton, build_position_automaton
from vyre_dist.regex import AssertionKind, parse, strip_captures
from vyre_dist.regex.context import ALWAYS, CONDITIONS, context_of_byte, contexts_of, only

randoms = st.randoms(use_true_random=False)


def positions_of(pattern: str) -> PositionAutomaton:
    return build_position_automaton(strip_captures(parse(pattern).root))


def run(dfa: Dfa, entry: int, symbols: Sequence[int]) -> bool:
    state = entry
    for symbol in symbols:
        state = int(dfa.table[state, dfa.columns[symbol]])
    return state == ACCEPT


def run_nfa(nfa: Nfa, entry: int, symbols: Sequence[int]) -> bool:
    def rows(words: np.ndarray) -> list[int]:
        return [int.from_bytes(row.tobytes(), "little") for row in words]

    follow, reach, final = rows(nfa.follow), rows(nfa.reach), rows(nfa.final)
    state = 1 << entry if entry >= 0 else 0
    for symbol in symbols:
        column = nfa.columns[symbol]
        if state & final[column]:
            return True
        ahead = 0
        for p, bits in enumerate(follow):
            ahead |= bits if state >> p & 1 else 0
        state = ahead & reach[column]
    return False


@settings(max_examples=examples(150), deadline=None)
@given(rng=randoms)
def test_three_kinds_agree(lab: SimpleNamespace, rng: random.Random) -> None:
    """From every pivot, both ways, the first table, the minimal one and the bit-parallel automaton
    agree.
    """
    regex = lab.parse_or_none(lab.random_pattern(rng))
    if regex is None:
        return
    positions = build_position_automaton(strip_captures(regex.root))
    pivots = rng.sample(range(len(positions.classes)), min(4, len(positions.classes)))
    for forward in (True, False):
        try:
            dfa = determinize(positions, pivots, forward=forward)
            nfa = make_nfa(positions, pivots, forward=forward)
        except RegexTooLargeError:
            continue
        least = minimize(dfa)
        assert least.states <= dfa.states
        for _ in range(5):
            symbols = [*lab.random_haystack(rng), EDGE_SYMBOL]
            for which in range(len(pivots)):
                expected = run(dfa, dfa.entries[which], symbols)
                assert run(least, least.entries[which], symbols) == expected
                assert run_nfa(nfa, nfa.entries[which], symbols) == expected


@settings(max_examples=examples(100), deadline=None)
@given(rng=randoms)
def test_minimal_means_distinguishable(lab: SimpleNamespace, rng: random.Random) -> None:
    """Any two states of a minimal table are told apart by some text, found by filling in the table
    of pairs.
    """
    regex = lab.parse_or_none(lab.random_pattern(rng, 1))
    if regex is None:
        return
    positions = build_position_automaton(strip_captures(regex.root))
    pivots = rng.sample(range(len(positions.classes)), min(3, len(positions.classes)))
    dfa = minimize(determinize(positions, pivots, forward=rng.random() < 0.7))
    if dfa.states > 40:
        return
    apart = np.zeros((dfa.states, dfa.states), bool)
    apart[ACCEPT] = apart[:, ACCEPT] = True
    apart[ACCEPT, ACCEPT] = False
    while True:
        grown = apart | np.any([apart[np.ix_(column, column)] for column in dfa.table.T], axis=0)
        if (grown == apart).all():
            break
        apart = grown
    assert apart.sum() == dfa.states * (dfa.states - 1)


def test_optional_copies_do_not_multiply_states() -> None:
    """A bounded gap costs one state a byte, however many ways there are through it."""
    positions = positions_of(r"key[\w.-]{0,200}[\s'\"]{0,3}[=:][a-z]{3}")
    dfa = minimize(determinize(positions, [0], forward=True))
    assert dfa.states < 250
    backwards = minimize(
        determinize(positions_of("[a-z]{0,200}[a-f]{0,200}key"), [400], forward=False)
    )
    assert backwards.states <= 3


def test_certain_matches_are_accepted_early() -> None:
    """An optional part after (or before) the pivot costs nothing: its automaton has accepted
    already.
    """
    positions = positions_of(r"[\w.-]{0,50}key[a-z]*")
    pivot = len(positions.classes) - 2
    assert determinize(positions, [pivot - 2], forward=False).entries == (ACCEPT,)
    assert run(determinize(positions, [pivot], forward=True), 2, b"y")


def test_dead_ends_are_dead_at_once() -> None:
    """A way on that can never match is dead before its bytes are read."""
    dfa = determinize(positions_of(r"a(?:b|c\bd)"), [0], forward=True)
    state = int(dfa.table[dfa.entries[0], dfa.columns[ord("a")]])
    assert state not in (DEAD, ACCEPT)
    assert int(dfa.table[state, dfa.columns[ord("c")]]) == DEAD


def test_too_many_positions_for_bits() -> None:
    """A bit-parallel automaton above its limit is refused, with the numbers in the error."""
    positions = positions_of("x" * (MAX_NFA_POSITIONS + 1))
    with pytest.raises(RegexTooLargeError) as caught:
        make_nfa(positions, [0], forward=True)
    assert caught.value.needed == MAX_NFA_POSITIONS + 2
    assert caught.value.limit == MAX_NFA_POSITIONS


def holds(kind: AssertionKind, before: int | None, after: int | None) -> bool:
    words = [
        x is not None and (chr(x).isalnum() or x == 0x5F) and x < 0x80 for x in (before, after)
    ]
    return {
        AssertionKind.BEGIN_TEXT: before is None,
        AssertionKind.END_TEXT: after is None,
        AssertionKind.BEGIN_LINE: before in (None, 10),
        AssertionKind.END_LINE: after in (None, 10),
        AssertionKind.WORD_BOUNDARY: words[0] != words[1],
        AssertionKind.NOT_WORD_BOUNDARY: words[0] == words[1],
    }[kind]


@pytest.mark.parametrize("kind", AssertionKind)
def test_conditions(kind: AssertionKind) -> None:
    """Each assertion's condition holds exactly for the pairs of bytes (and edges) for which the
    assertion does.
    """
    for before in (None, 10, *b"aZ_ -", 0xE9):
        for after in (None, 10, *b"aZ_ -", 0xE9):
            contexts = [3 if byte is None else context_of_byte(byte) for byte in (before, after)]
            pair = only(1 << contexts[0], 1 << contexts[1])
            assert bool(CONDITIONS[kind] & pair) == holds(kind, before, after)
            assert pair & ALWAYS == pair
    assert contexts_of((1 << 10) | (1 << 0x61)) == 0b11
