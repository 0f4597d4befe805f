"""Fragments: Glushkov's construction, node by node, with conditions on its edges.

A fragment is what a sub-expression becomes: its positions, who may follow whom, where matches start
and end. A position is one byte class, once counted repeats are written out. Sets of positions are
integers, bit p for position p. How fragments become a position automaton is in
position_automaton.py.

Source: V. M. Glushkov, "The abstract theory of automata", Russian Mathematical Surveys 16 (1961).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from vyre_dist.compiler.errors import RegexTooLargeError
from vyre_dist.regex.context import ALWAYS, CONDITIONS
from vyre_dist.regex.nodes import (
    Alternate,
    Assertion,
    Capture,
    CharClass,
    Concat,
    Node,
    Repeat,
    fold,
)

# Of a long counted repeat only these copies at either end may hold an anchor: the others would show
# the same windows again.
_EDGE_COPIES = 4


@dataclass(slots=True)
class Fragment:
    """`classes[p]`, `follow[p]`: the bytes that position p takes, and the positions after it.

    `first`, `last`: the positions that a match starts (ends) with, by condition. `null`: the
    condition under which the empty string matches. `conditional`: (from, to, condition) edges
    beside the plain ones in `follow`. `rep[p]`: the position that stands for p when anchors are
    chosen. `fixed[p]`: whether p may lie in an anchor. `ladders`: sets of positions, each the same
    spot in the optional copies of one repeat.
    """

    classes: list[int] = field(default_factory=list)
    follow: list[int] = field(default_factory=list)
    conditional: list[tuple[int, int, int]] = field(default_factory=list)
    first: dict[int, int] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)
    null: int = ALWAYS
    rep: list[int] = field(default_factory=list)
    fixed: list[bool] = field(default_factory=list)
    ladders: list[int] = field(default_factory=list)


class FragmentBuilder:
    """Builds the fragment of a tree.

    The optional copies of x{2,5} are nested, (x(x(x)?)?)?, so that there is one edge and not many
    between them. `mirrored` nests them the other way round, (((x)?x)?x)?, which suits an automaton
    that runs backwards; positions have the same numbers either way.
    """

    def __init__(self, *, mirrored: bool, max_positions: int, max_work: int) -> None:
        self._mirrored = mirrored
        self._max_positions = max_positions
        self._max_work = max_work
        self._work = 0

    def build(self, root: Node) -> Fragment:
        """The fragment of `root`.

        Raises:
            RegexTooLargeError: it has too many positions, or takes too many steps to build.
        """
        return fold(root, self._combine)

    def _combine(self, node: Node, parts: Sequence[Fragment]) -> Fragment:
        match node:
            case CharClass(mask=0):
                return Fragment(null=0)
            case CharClass(mask=mask):
                return Fragment([mask], [0], [], {ALWAYS: 1}, {ALWAYS: 1}, 0, [0], [True])
            case Assertion(kind=kind):
                return Fragment(null=CONDITIONS[kind])
            case Concat():
                return self._concat(parts)
            case Alternate():
                return self._alternate(parts)
            case Repeat():
                return self._repeat(node, parts[0])
            case Capture():
                return parts[0]
        return Fragment()

    def _append(self, into: Fragment, part: Fragment, rep_at: int | None = None) -> int:
        """Add the part's positions and edges to `into`; returns the offset of its position 0.

        `rep_at`: the offset of an earlier copy that is to stand for this one.
        """
        offset = len(into.classes)
        size = len(part.classes)
        if offset + size > self._max_positions:
            raise RegexTooLargeError("positions", offset + size, self._max_positions)
        self._spend(size + len(part.conditional) + 1)
        into.classes += part.classes
        into.follow += [bits << offset for bits in part.follow]
        into.conditional += [(p + offset, q + offset, c) for p, q, c in part.conditional]
        into.ladders += [bits << offset for bits in part.ladders]
        into.rep += [p + (offset if rep_at is None else rep_at) for p in part.rep]
        into.fixed += part.fixed if rep_at is None else [False] * size
        return offset

    def _spend(self, work: int) -> None:
        self._work += work
        if self._work > self._max_work:
            raise RegexTooLargeError("construction steps", self._work, self._max_work)

    def _join(self, into: Fragment, last: dict[int, int], first: dict[int, int]) -> None:
        """Edges from every position in `last` to every one in `first`."""
        for before, sources in last.items():
            for after, targets in first.items():
                condition = before & after
                if not condition:
                    continue
                for p in bits_of(sources):
                    if condition == ALWAYS:
                        self._spend(1)
                        into.follow[p] |= targets
                    else:
                        self._spend(targets.bit_count())
                        into.conditional += [(p, q, condition) for q in bits_of(targets)]

    def _concat(self, parts: Sequence[Fragment]) -> Fragment:
        out = Fragment()
        for part in parts:
            offset = self._append(out, part)
            first = _shifted(part.first, offset)
            self._join(out, out.last, first)
            _merge(out.first, first, out.null)
            out.last = _narrowed(out.last, part.null)
            _merge(out.last, _shifted(part.last, offset), ALWAYS)
            out.null &= part.null
        return out

    def _alternate(self, parts: Sequence[Fragment]) -> Fragment:
        out = Fragment(null=0)
        for part in parts:
            offset = self._append(out, part)
            _merge(out.first, _shifted(part.first, offset), ALWAYS)
            _merge(out.last, _shifted(part.last, offset), ALWAYS)
            out.null |= part.null
        return out

    def _repeat(self, node: Repeat, part: Fragment) -> Fragment:
        if node.max == 0:
            return Fragment()
        if node.max is None:
            loop = self._looped(part, optional=node.min == 0)
            return loop if node.min <= 1 else self._concat([self._copies(part, node.min - 1), loop])
        if not part.classes:
            # Copies of what takes no byte: one says as much as many.
            return part if node.min else Fragment()
        required = self._copies(part, node.min)
        if node.max == node.min:
            return required
        return self._concat([required, self._optional(part, node.max - node.min)])

    def _copies(self, part: Fragment, count: int) -> Fragment:
        """Exactly `count` copies; only those near the ends keep anchors of their own."""
        if not part.classes:
            return part if count else Fragment()
        if len(part.classes) * count > self._max_positions:
            raise RegexTooLargeError("positions", len(part.classes) * count, self._max_positions)
        out = Fragment()
        middle: int | None = None
        for copy in range(count):
            inner = _EDGE_COPIES <= copy < count - _EDGE_COPIES
            offset = self._append(out, part, middle if inner else None)
            if inner and middle is None:
                middle = offset
                out.fixed[offset:] = [False] * len(part.classes)
            first = _shifted(part.first, offset)
            self._join(out, out.last, first)
            _merge(out.first, first, out.null)
            out.last = _narrowed(out.last, part.null)
            _merge(out.last, _shifted(part.last, offset), ALWAYS)
            out.null &= part.null
        return out

    def _looped(self, part: Fragment, *, optional: bool) -> Fragment:
        out = Fragment()
        self._append(out, part)
        out.first, out.last = dict(part.first), dict(part.last)
        self._join(out, out.last, out.first)
        out.null = ALWAYS if optional else part.null
        return out

    def _optional(self, part: Fragment, count: int) -> Fragment:
        """Zero to `count` copies."""
        size = len(part.classes)
        if size * count > self._max_positions:
            raise RegexTooLargeError("positions", size * count, self._max_positions)
        out = Fragment()
        offsets = [self._append(out, part, 0 if copy else None) for copy in range(count)]
        if count > 1:
            out.fixed = [False] * (size * count)
            out.ladders += [sum(1 << offset + p for offset in offsets) for p in range(size)]
        for before, after in itertools.pairwise(offsets):
            self._join(out, _shifted(part.last, before), _shifted(part.first, after))
        for copy, offset in enumerate(offsets):
            if self._mirrored or copy == 0:
                _merge(out.first, _shifted(part.first, offset), ALWAYS)
            if not self._mirrored or copy == count - 1:
                _merge(out.last, _shifted(part.last, offset), ALWAYS)
        return out


def bits_of(bits: int) -> list[int]:
    """The members of a position set, ascending."""
    out = []
    while bits:
        low = bits & -bits
        out.append(low.bit_length() - 1)
        bits ^= low
    return out


def _shifted(edge: dict[int, int], offset: int) -> dict[int, int]:
    return {condition: bits << offset for condition, bits in edge.items()}


def _narrowed(edge: dict[int, int], null: int) -> dict[int, int]:
    out: dict[int, int] = {}
    _merge(out, edge, null)
    return out


def _merge(into: dict[int, int], edge: dict[int, int], null: int) -> None:
    """Add `edge` to `into` under the further condition `null`."""
    for condition, bits in edge.items():
        if condition & null:
            into[condition & null] = into.get(condition & null, 0) | bits
