"""Facts about unbounded loops: which bytes they take, what lies outside of them; and lazy loops.

They bound how far before its end a match can begin that has no widest match
(extract/lookbehind.py). `[\\w.]{0,50}key=[a-z0-9]{10,}` has no bound. But no match of it holds a
parenthesis or a blank, and what is no letter or digit of the last loop belongs to the other parts,
of at most 54 bytes. In text a match does not go far.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_

from vyre_dist.regex.nodes import Alternate, CharClass, Node, Repeat, fold, rebuild


def alphabet(root: Node) -> int:
    """The class of the bytes that matches of `root` are made of."""

    def combine(node: Node, parts: Sequence[int]) -> int:
        return node.mask if isinstance(node, CharClass) else reduce(or_, parts, 0)

    return fold(root, combine)


def loop_bytes(root: Node) -> int:
    """The class of the bytes in the unbounded loops of `root`."""

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
    """Whether an unbounded loop of `root` is optional, or lies in one of several branches."""

    def combine(node: Node, parts: Sequence[tuple[bool, bool]]) -> tuple[bool, bool]:
        # (whether there is a loop in the node, whether there is one that is optional)
        inside = any(loops for loops, _ in parts)
        optional = any(own for _, own in parts)
        if isinstance(node, Alternate) or (isinstance(node, Repeat) and node.min == 0):
            optional = optional or inside
        return inside or (isinstance(node, Repeat) and node.max is None), optional

    return fold(root, combine)[1]


def lazy_loops(root: Node) -> Node:
    """The same language with lazy unbounded loops: matches begin where they did, and end early."""

    def lazy(node: Node, parts: Sequence[Node]) -> Node:
        if isinstance(node, Repeat) and node.max is None:
            return Repeat(parts[0], node.min, None, greedy=False)
        return rebuild(node, parts)

    return fold(root, lazy)


def bytes_outside(root: Node, loops: int) -> int:
    """The most bytes of one match that are not in `loops`, which includes loop_bytes(root)."""

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
