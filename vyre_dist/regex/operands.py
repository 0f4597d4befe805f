"""Operands: sub-expressions while the parser reads them, with what RE2's rules of repeats need.

Two rules need more than the tree shows. Counts are limited, and so are products of nested counts.
A loop directly inside a loop is merged with it, but only if both were read under the same flags.
The grammar is in parser.py; repeats above the limits are rewritten in repeats.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeGuard

from vyre_dist.regex.nodes import CharClass, Node, Repeat, apart

RE2_MAX_REPEAT = 1000

_STAR = (0, None)
_LOOPS = (_STAR, (1, None), (0, 1))


@dataclass(frozen=True, slots=True)
class Loop:
    """A repeat operator: its bounds, and how it was written."""

    bounds: tuple[int, int | None]
    greedy: bool
    flags: int  # those in force, whatever their encoding
    braces: bool


@dataclass(frozen=True, slots=True)
class Operand:
    """A sub-expression and what its repeats come to."""

    node: Node
    copies: int = 1  # the largest product of nested repeat counts on a path down to a leaf
    positions: int = 1  # leaves after expanding the counts
    beyond: int = 0  # the part of `positions` that lies in repeats RE2 would refuse
    loop: Loop | None = None  # what the node is, if it is nothing but a `*`, `+` or `?`

    def repeated(self, loop: Loop) -> Operand:
        """The operand under a repeat operator."""
        low, high = loop.bounds
        if low == high == 1:
            return replace(self, loop=self.loop and replace(self.loop, braces=True))
        count = low if high is None else high
        times = max(count, 1)
        copies, positions, beyond = self.copies * times, self.positions * times, self.beyond * times
        # RE2 looks at the product only where a count of two or more is written.
        if count > RE2_MAX_REPEAT or (times > 1 and copies > RE2_MAX_REPEAT):
            beyond = positions
        node = self.node
        if _could_merge(node) and not _merges(self.loop, loop):
            node = apart(node)
        elif self.loop and self.loop.bounds != loop.bounds and loop.bounds in _LOOPS:
            loop = replace(loop, bounds=_STAR)  # what RE2 makes of two different ones
        node = Repeat(node, low, high, loop.greedy)
        return Operand(node, copies, positions, beyond, loop if loop.bounds in _LOOPS else None)


def join(make: Callable[[Iterable[Node]], Node], parts: list[Operand]) -> Operand:
    """The operands as one, joined by `make` (concat or alternate)."""
    if len(parts) == 1:
        return parts[0]
    return Operand(
        make(part.node for part in parts),
        max((part.copies for part in parts), default=1),
        sum(part.positions for part in parts) or 1,
        sum(part.beyond for part in parts),
    )


def _could_merge(node: Node) -> TypeGuard[Repeat]:
    """Whether merging the node with a loop around it could change what is preferred."""
    if not isinstance(node, Repeat) or isinstance(node.node, CharClass):
        return False
    return node.min == 0 or (node.min, node.max) in _LOOPS


def _merges(inner: Loop | None, outer: Loop) -> bool:
    """Whether RE2 reads the two as one loop, as in `(?:a*)*`: not when flags came between them."""
    if inner is None or inner.flags != outer.flags or inner.greedy != outer.greedy:
        return False
    return outer.braces or not inner.braces or outer.bounds == inner.bounds
