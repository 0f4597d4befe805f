"""Facts about a regex's tree that only tests ask for."""

from __future__ import annotations

from collections.abc import Sequence

from vyre_dist.regex.nodes import Assertion, AssertionKind, Node, fold


def node_count(node: Node) -> int:
    """The number of nodes in the tree as it stands."""
    return fold(node, lambda _, parts: 1 + sum(parts))


def assertion_kinds(node: Node) -> frozenset[AssertionKind]:
    """The kinds of assertion that occur in the node."""
    kinds: set[AssertionKind] = set()

    def collect(n: Node, _: Sequence[None]) -> None:
        if isinstance(n, Assertion):
            kinds.add(n.kind)

    fold(node, collect)
    return frozenset(kinds)


def has_assertions(node: Node) -> bool:
    """Whether any assertion occurs in the node."""
    return bool(assertion_kinds(node))
