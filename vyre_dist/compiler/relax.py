"""relax: a larger language of fewer positions, for expressions that are too large to compile.

It finds a superset of the matches, so it says where the host has to look.
"""

from __future__ import annotations

from collections.abc import Sequence

from vyre_dist.regex import position_count
from vyre_dist.regex.nodes import Node, Repeat, fold, rebuild


def relax(root: Node, budget: int) -> Node:
    """The expression, with repeats of more than `budget` positions made short and unbounded."""

    def loosen(node: Node, parts: Sequence[Node]) -> Node:
        if not isinstance(node, Repeat):
            return rebuild(node, parts)
        size = max(position_count(parts[0]), 1)
        copies = node.min if node.max is None else node.max
        if size * copies <= budget:
            return Repeat(parts[0], node.min, node.max, node.greedy)
        return Repeat(parts[0], min(node.min, max(budget // size, 1)), None, node.greedy)

    return fold(root, loosen)
