"""Facts about a syntax tree: widths, edge bytes, sizes, what it contains; and simple rewritings.

All of them take it that an assertion may hold. So widths are bounds, and byte sets are supersets,
where a pattern's assertions contradict each other. Facts about loops are in loops.py, required
factors in factor_search.py, and whether anything matches at all in emptiness.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from vyre_dist.regex.nodes import (
    EMPTY,
    Alternate,
    Assertion,
    AssertionKind,
    Capture,
    CharClass,
    Concat,
    Node,
    Repeat,
    concat,
    fold,
    rebuild,
)


def min_width(node: Node) -> int:
    """The fewest bytes that a match can have."""
    return fold(node, _min_width)


def _min_width(node: Node, parts: Sequence[int]) -> int:
    match node:
        case CharClass():
            return 1
        case Alternate():
            return min(parts)
        case Repeat():
            return node.min * parts[0]
    return sum(parts)


def max_width(node: Node) -> int | None:
    """The most bytes that a match can have; None where there is no bound."""
    return fold(node, _max_width)


def _max_width(node: Node, parts: Sequence[int | None]) -> int | None:
    match node:
        case CharClass():
            return 1
        case Repeat(max=high):
            if parts[0] == 0 or high == 0:
                return 0
            return None if parts[0] is None or high is None else high * parts[0]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return max(known) if isinstance(node, Alternate) else sum(known)


def nullable(node: Node) -> bool:
    """Whether the empty string can be a match."""
    return fold(node, _nullable)


def _nullable(node: Node, parts: Sequence[bool]) -> bool:
    match node:
        case CharClass():
            return False
        case Alternate():
            return any(parts)
        case Repeat(min=0):
            return True
    return all(parts)


def first_bytes(node: Node) -> int:
    """The bytes that a match can start with, as a 256-bit mask; an empty match starts with none."""
    return fold(node, lambda n, parts: _edge(n, parts, forward=True))[0]


def last_bytes(node: Node) -> int:
    """The bytes that a match can end with, as a 256-bit mask; an empty match ends with none."""
    return fold(node, lambda n, parts: _edge(n, parts, forward=False))[0]


def _edge(node: Node, parts: Sequence[tuple[int, bool]], *, forward: bool) -> tuple[int, bool]:
    """(bytes at the edge, whether the node is nullable)."""
    match node:
        case CharClass(mask=mask):
            return mask, False
        case Alternate():
            edge = 0
            for mask, _ in parts:
                edge |= mask
            return edge, any(null for _, null in parts)
        case Repeat():
            return (0 if node.max == 0 else parts[0][0]), node.min == 0 or parts[0][1]
        case Concat():
            edge = 0
            for mask, null in parts if forward else reversed(parts):
                edge |= mask
                if not null:
                    return edge, False
            return edge, True
        case Capture():
            return parts[0]
    return 0, True


def position_count(node: Node) -> int:
    """The positions of Glushkov's automaton: the byte classes once counted repeats are written out.

    An unbounded repeat counts as its minimum number of copies, at least one.
    """
    return fold(node, _position_count)


def _position_count(node: Node, parts: Sequence[int]) -> int:
    match node:
        case CharClass():
            return 1
        case Repeat():
            return parts[0] * (max(node.min, 1) if node.max is None else node.max)
    return sum(parts)


def capture_count(node: Node) -> int:
    """The number of capture groups in the node."""
    return fold(node, lambda n, parts: isinstance(n, Capture) + sum(parts))


def captures_matter(node: Node) -> bool:
    """Whether RE2 may find other matches of the expression if it does not capture groups.

    Without a group between two loops RE2's parser makes one of them. If what they repeat can be
    empty, that one may prefer another match: `((a*|c)*|a{0})*` on `c`.
    """
    return capture_count(node) > 0 and repeats_empty(node)


def repeats_empty(node: Node) -> bool:
    """Whether something that can be empty is repeated; once, or not at all, is no repeat."""

    def look(n: Node, parts: Sequence[tuple[bool, bool]]) -> tuple[bool, bool]:
        empty = _nullable(n, [can_be for can_be, _ in parts])
        loop = isinstance(n, Repeat) and n.max != 0 and (n.min, n.max) != (1, 1) and parts[0][0]
        return empty, loop or any(found for _, found in parts)

    return fold(node, look)[1]


def strip_captures(node: Node) -> Node:
    """The same expression without its capture groups, for when only whole spans are needed."""

    def strip(n: Node, parts: Sequence[Node]) -> Node:
        return parts[0] if isinstance(n, Capture) else rebuild(n, parts)

    return fold(node, strip)


def anchored_in_lines(node: Node) -> Node:
    """The expression without groups, with a line's beginning and end for the text's."""
    in_lines = {
        AssertionKind.BEGIN_TEXT: AssertionKind.BEGIN_LINE,
        AssertionKind.END_TEXT: AssertionKind.END_LINE,
    }

    def anchor(n: Node, parts: Sequence[Node]) -> Node:
        return (
            Assertion(in_lines.get(n.kind, n.kind))
            if isinstance(n, Assertion)
            else rebuild(n, parts)
        )

    return fold(strip_captures(node), anchor)


def may_be_cut_off(node: Node, *, at_both_ends: bool = False) -> Node:
    """The expression, with the text's end allowed instead of each byte and assertion.

    So it also matches the beginning of a match, where the text ends with it. `at_both_ends`: the
    text's beginning is allowed, too, so that it matches the middle of a match.
    """
    edges = [Assertion(AssertionKind.END_TEXT)]
    if at_both_ends:
        edges.append(Assertion(AssertionKind.BEGIN_TEXT))

    def cut(n: Node, parts: Sequence[Node]) -> Node:
        return Alternate((n, *edges)) if isinstance(n, CharClass | Assertion) else rebuild(n, parts)

    return fold(node, cut)


def before_loops(node: Node) -> Node:
    """What every match begins with before an unbounded loop, as far as that is plain; no groups."""

    def head(n: Node, parts: Sequence[tuple[Node, bool]]) -> tuple[Node, bool]:
        # (the head, whether it is all of the node)
        match n:
            case Concat():
                taken: list[Node] = []
                for part, is_all in parts:
                    taken.append(part)
                    if not is_all:
                        break
                return concat(taken), all(is_all for _, is_all in parts)
            case Capture():
                return parts[0]
            case Repeat(max=None):
                return (parts[0][0] if n.min else EMPTY), False
        if all(is_all for _, is_all in parts):
            return rebuild(n, [part for part, _ in parts]), True
        return EMPTY, False

    return fold(node, head)[0]
