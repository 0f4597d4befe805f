"""How far back a match can begin from where it ends, for expressions without a widest match.

`[\\w.]{0,50}key=[a-z0-9]{10,}` has no bound, but no match of it holds a parenthesis or a blank, and
whatever in one is not a letter or digit of that last loop belongs to the other parts, which have 54
bytes at most. So a look at the bytes before an end says how far back it can reach, which in text is
not far.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_

from vyre_dist.regex.nodes import Alternate, CharClass, Node, Repeat, fold, rebuild


def alphabet(root: Node) -> int:
    """The bytes (as a class's mask) that occur in `root`: those that its matches are made of."""

    def combine(node: Node, parts: Sequence[int]) -> int:
        return node.mask if isinstance(node, CharClass) else reduce(or_, parts, 0)

    return fold(root, combine)


def loop_bytes(root: Node) -> int:
    """The bytes (as a class's mask) that occur in the unbounded loops of `root`."""

    def combine(node: Node, parts: Sequence[tuple[int, int]]) -> tuple[int, int]:
        # (every byte in the node, those in its loops)
        every = node.mask if isinstance(node, CharClass) else 0
        loops = 0
        for inner, within in parts:
            every |= inner
            loops |= within
        return every, every if isinstance(node, Repeat) and node.max is None else loops

    return fold(root, combine)[1]


def has_optional_loop(root: Node) -> bool:
    """Whether an unbounded loop of `root` lies in what may be missing or in one of several
    branches.
    """

    def combine(node: Node, parts: Sequence[tuple[bool, bool]]) -> tuple[bool, bool]:
        # (whether there is a loop in the node, whether there is one that is optional)
        inside = any(loops for loops, _ in parts)
        optional = any(own for _, own in parts)
        if isinstance(node, Alternate) or (isinstance(node, Repeat) and node.min == 0):
            optional = optional or inside
        return inside or (isinstance(node, Repeat) and node.max is None), optional

    return fold(root, combine)[1]


def lazy_loops(root: Node) -> Node:
    """The same language with all unbounded loops lazy: matches that begin where they did, and end
    early.
    """

    def lazy(node: Node, parts: Sequence[Node]) -> Node:
        if isinstance(node, Repeat) and node.max is None:
            return Repeat(parts[0], node.min, None, greedy=False)
        return rebuild(node, parts)

    return fold(root, lazy)


def bytes_outside(root: Node, loops: int) -> int:
    """The most bytes of one match of `root` that are not in the mask `loops`, which holds at least
    loop_bytes(root).
    """

    def combine(node: Node, parts: Sequence[int]) -> int:
        match node:
            case CharClass():
                return 1 if node.mask & ~loops else 0
            case Alternate():
                return max(parts)
            case Repeat(max=high):
                # an unbounded loop's bytes are all in the mask
                return 0 if high is None else high * parts[0]
        return sum(parts)

    return fold(root, combine)
