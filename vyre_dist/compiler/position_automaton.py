"""PositionAutomaton: one expression as Glushkov's automaton, which all later stages work on.

It has no assertions. A position whose edges depend on the byte's context is split into one position
per context (newline, word, other); then every edge either exists or does not. What remains of
assertions are the contexts before a match's first byte (`start`) and after its last (`accept`), a
4-bit mask for each position. The construction from the tree is in fragment.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vyre_dist.compiler.fragment import Fragment, FragmentBuilder, bits_of
from vyre_dist.regex.context import (
    ALWAYS,
    ANY_CONTEXT,
    CONTEXT_CLASSES,
    contexts_of,
    next_given,
    only,
    previous_given,
)
from vyre_dist.regex.nodes import Node

MAX_POSITIONS = 4096
_MAX_WORK = 400_000


@dataclass(frozen=True, slots=True)
class Direction:
    """The automaton for reading in one direction.

    `follow[p]`: the set of positions that may be read after p. `final[p]`: the contexts of the next
    byte with which a match is complete after p, a 4-bit mask. `ladders`: sets of positions of which
    one accepts whatever the others accept: the lowest if `lowest_wins`, else the highest.
    """

    follow: tuple[int, ...]
    final: tuple[int, ...]
    ladders: tuple[int, ...]
    lowest_wins: bool


@dataclass(frozen=True, slots=True)
class PositionAutomaton:
    """The automaton of one expression. `classes[p]`: the bytes that p takes, a 256-bit mask.

    `forward` reads a match onwards from a position, `backward` towards its start. `start[p]`,
    `accept[p]`: the contexts before (after) p with which a match may begin (end) there; 0 if it
    can't. `empty`: the condition (see context.py) under which the empty string matches. `rep`,
    `fixed`: see Fragment.
    """

    classes: tuple[int, ...]
    forward: Direction
    backward: Direction
    start: tuple[int, ...]
    accept: tuple[int, ...]
    empty: int
    rep: tuple[int, ...]
    fixed: tuple[bool, ...]


def build_position_automaton(root: Node) -> PositionAutomaton:
    """The automaton of `root`.

    Raises:
        RegexTooLargeError: more than MAX_POSITIONS, or too many edges between them.
    """
    plain = FragmentBuilder(mirrored=False, max_positions=MAX_POSITIONS, max_work=_MAX_WORK).build(
        root
    )
    mirrored = plain
    if plain.ladders:
        mirrored = FragmentBuilder(
            mirrored=True, max_positions=MAX_POSITIONS, max_work=_MAX_WORK
        ).build(root)
    split = _Split(plain, _to_split(plain, mirrored))
    follow, start, accept = split.edges(plain)
    follow_mirrored, start_mirrored, _accept_mirrored = split.edges(mirrored)
    ladders = split.ladders(plain)
    return PositionAutomaton(
        tuple(split.classes),
        Direction(tuple(follow), tuple(accept), ladders, lowest_wins=True),
        Direction(
            tuple(_reversed(follow_mirrored)), tuple(start_mirrored), ladders, lowest_wins=False
        ),
        tuple(start),
        tuple(accept),
        plain.null,
        tuple(split.rep),
        tuple(split.fixed),
    )


def _to_split(*fragments: Fragment) -> int:
    """The positions that some condition distinguishes by their byte's context."""
    need = 0
    for fragment in fragments:
        for p, q, _ in fragment.conditional:
            need |= 1 << p | 1 << q
        for condition, bits in (*fragment.first.items(), *fragment.last.items()):
            if condition != ALWAYS:
                need |= bits
    if need:
        for ladder in fragments[0].ladders:
            if ladder & need:
                need |= ladder
    return need


class _Split:
    """From old positions to new ones.

    `parts[p]`: (new position, context) pairs; context None where p stayed whole.
    """

    def __init__(self, fragment: Fragment, need: int) -> None:
        self.parts: list[list[tuple[int, int | None]]] = []
        self.classes: list[int] = []
        self.rep: list[int] = []
        self.fixed = []
        for p, mask in enumerate(fragment.classes):
            contexts = contexts_of(mask)
            own: list[tuple[int, int | None]] = []
            if need >> p & 1:
                for context in bits_of(contexts):
                    own.append((len(self.classes), context))
                    self.classes.append(mask & CONTEXT_CLASSES[context])
            else:
                own.append((len(self.classes), None))
                self.classes.append(mask)
            self.parts.append(own)
            self.fixed += [fragment.fixed[p]] * len(own)
        self._bits = [sum(1 << new for new, _ in own) for own in self.parts]
        self._unsplit = need == 0
        for p, own in enumerate(self.parts):
            stands = {part_of: new for new, part_of in self.parts[fragment.rep[p]]}
            for new, part_of in own:
                self.rep.append(stands.get(part_of, new))

    def ladders(self, fragment: Fragment) -> tuple[int, ...]:
        """The ladders over new positions, one for each context."""
        if self._unsplit:
            return tuple(fragment.ladders)
        out: list[int] = []
        for ladder in fragment.ladders:
            by_context: dict[int | None, int] = {}
            for p in bits_of(ladder):
                for new, context in self.parts[p]:
                    by_context[context] = by_context.get(context, 0) | 1 << new
            out += by_context.values()
        return tuple(out)

    def edges(self, fragment: Fragment) -> tuple[list[int], list[int], list[int]]:
        """(follow, start, accept) over new positions."""
        follow = [0] * len(self.classes)
        start = [0] * len(self.classes)
        accept = [0] * len(self.classes)
        for p, bits in enumerate(fragment.follow):
            targets = self._renamed(bits)
            for new, _ in self.parts[p]:
                follow[new] |= targets
        for p, q, condition in fragment.conditional:
            for source, before in self.parts[p]:
                for target, after in self.parts[q]:
                    if (
                        before is not None
                        and after is not None
                        and condition & only(1 << before, 1 << after)
                    ):
                        follow[source] |= 1 << target
        for condition, bits in fragment.first.items():
            for q in bits_of(bits):
                for new, context in self.parts[q]:
                    allowed = ANY_CONTEXT if context is None else previous_given(condition, context)
                    start[new] |= allowed
        for condition, bits in fragment.last.items():
            for p in bits_of(bits):
                for new, context in self.parts[p]:
                    accept[new] |= (
                        ANY_CONTEXT if context is None else next_given(condition, context)
                    )
        return follow, start, accept

    def _renamed(self, bits: int) -> int:
        if self._unsplit:
            return bits
        out = 0
        for p in bits_of(bits):
            out |= self._bits[p]
        return out


def _reversed(follow: list[int]) -> list[int]:
    before = [0] * len(follow)
    for p, bits in enumerate(follow):
        one = 1 << p
        for q in bits_of(bits):
            before[q] |= one
    return before
