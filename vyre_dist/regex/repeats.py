"""Repeats that RE2 cannot count, rewritten into ones that it can.

RE2 allows 1000 copies in a repeat, and 1000 in the product of nested ones. x{1500} becomes
x{1000}x{500}, if the parts still prefer the same match and fill the same groups; else it is
refused. Which pattern is over the limits is checked in operands.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vyre_dist.regex.analysis import strip_captures
from vyre_dist.regex.errors import RepeatRewriteError
from vyre_dist.regex.limits import MOST_SEARCHED
from vyre_dist.regex.nodes import (
    EMPTY,
    Alternate,
    Capture,
    CharClass,
    Concat,
    Node,
    Repeat,
    apart,
    concat,
    fold,
    rebuild,
)
from vyre_dist.regex.operands import RE2_MAX_REPEAT

# A lazy, ambiguous repeat has to be spelled as optional copies inside optional copies.
_MAX_NESTED_COPIES = 100

# of the positions that loosen_repeats allows, what is left of one repeat takes this part
_LOOSE_SHARE = 4


def fit_repeats(root: Node, limit: int = RE2_MAX_REPEAT) -> Node:
    """The same expression with no repeat, and no product of nested ones, above `limit` copies.

    Raises:
        RepeatRewriteError: no equivalent exists within RE2's syntax (a group cannot be written
        twice).
    """

    def fit(node: Node, parts: Sequence[tuple[Node, int]]) -> tuple[Node, int]:
        copies = max((n for _, n in parts), default=1)
        if not isinstance(node, Repeat):
            return rebuild(node, [part for part, _ in parts]), copies
        times = max(node.min if node.max is None else node.max, 1)
        fitted = Repeat(parts[0][0], node.min, node.max, node.greedy)
        if times * copies <= limit or times == 1:
            return fitted, times * copies
        chunk = max(1, limit // copies)
        return _split(fitted, chunk), chunk * copies

    return fold(root, fit)[0]


def counts_apart(root: Node) -> bool:
    """Whether a repeat has more than MOST_SEARCHED positions.

    Such a one is searched for as a loop, and counted step by step where that begins.
    """
    plain = strip_captures(root)
    return loosen_repeats(plain, MOST_SEARCHED) != plain


def loosen_repeats(root: Node, most: int) -> Node:
    """A larger language of fewer positions: repeats of more than `most` positions become loops."""

    def loosen(node: Node, parts: Sequence[tuple[Node, int]]) -> tuple[Node, int]:
        # (the node, how many positions it has)
        positions = 1 if isinstance(node, CharClass) else sum(own for _, own in parts)
        if not isinstance(node, Repeat):
            return rebuild(node, [part for part, _ in parts]), positions
        times = max(node.min, node.max or 0)
        if times < 2 or times * positions <= most:
            return rebuild(node, [part for part, _ in parts]), positions * max(times, 1)
        fewest = min(node.min, max(1, most // (_LOOSE_SHARE * max(positions, 1))))
        return Repeat(parts[0][0], fewest, None, node.greedy), positions * max(fewest, 1)

    return fold(root, loosen)[0]


def _split(repeat: Repeat, chunk: int) -> Node:
    """A repeat of more than `chunk` copies as a sequence of repeats of at most `chunk`."""
    plain = strip_captures(repeat.node)
    if plain == repeat.node:
        return _split_plain(repeat, chunk)
    low, high = repeat.min, repeat.max
    if not _sets_every_group(repeat.node):
        # The last copy need not overwrite what an earlier one captured, so none can lose its
        # groups.
        raise RepeatRewriteError(
            low, high, RE2_MAX_REPEAT, "a capture group takes part in some copies only"
        )
    if high is None:
        return concat(
            [_exactly(plain, low - chunk, chunk), Repeat(repeat.node, chunk, None, repeat.greedy)]
        )
    if high - low < chunk:
        # At least one copy is left for the last part, and it overwrites every group.
        last = Repeat(repeat.node, low - (high - chunk), chunk, repeat.greedy)
        return concat([_exactly(plain, high - chunk, chunk), repeat.node if chunk == 1 else last])
    if not is_unambiguous(plain):
        raise RepeatRewriteError(
            low, high, RE2_MAX_REPEAT, "it holds a capture group and can match in several ways"
        )
    # With one way to match each copy only their number matters, and any copy can be made the last.
    before_last = Repeat(plain, max(low - 1, 0), high - 1, repeat.greedy)
    some = concat([_split_plain(before_last, chunk), repeat.node])
    return some if low else Repeat(some, 0, 1, repeat.greedy)


def _split_plain(repeat: Repeat, chunk: int) -> Node:
    node, low, high = repeat.node, repeat.min, repeat.max
    if high is None:
        rest = min(low, chunk)
        return concat([_exactly(node, low - rest, chunk), Repeat(node, rest, None, repeat.greedy)])
    if high - low <= chunk:
        fixed = max(high - chunk, 0)
        last = Repeat(node, low - fixed, high - fixed, repeat.greedy)
        return concat(
            [_exactly(node, fixed, chunk), node if (last.min, last.max) == (1, 1) else last]
        )
    optional = high - low
    if is_unambiguous(node):
        # Only the number of copies matters, and there is one way to reach each: a matcher has few
        # states.
        return concat(
            [_exactly(node, low, chunk), _optional_parts(node, optional, chunk, repeat.greedy)]
        )
    if repeat.greedy:
        # Greedy: what stopping a part early allows was tried before, by staying in it, and so
        # cannot win.
        parts = [_exactly(node, low, chunk)]
        for done in range(0, optional, chunk):
            # RE2 would join neighbouring repeats of one class, and compiles x{0,65000} 35 times
            # slower than 65 times x{0,1000}; the empty node keeps them apart.
            parts.append(apart(Repeat(node, 0, min(chunk, optional - done), repeat.greedy)))
        return concat(parts)
    if optional - chunk > _MAX_NESTED_COPIES:
        raise RepeatRewriteError(
            low, high, RE2_MAX_REPEAT, "it is lazy and can match in several ways"
        )
    nested: Node = Repeat(node, 0, chunk, repeat.greedy)
    for _ in range(optional - chunk):
        nested = Repeat(concat([node, nested]), 0, 1, repeat.greedy)
    return concat([_exactly(node, low, chunk), nested])


def _optional_parts(node: Node, copies: int, chunk: int, greedy: bool) -> Node:
    """Up to `copies` of a node that matches in one way only, by powers of two."""
    if copies <= chunk:
        return Repeat(node, 0, copies, greedy)
    power = 1 << copies.bit_length() - 1
    fewer = _optional_parts(node, power - 1, chunk, greedy) if power > 1 else EMPTY
    if copies == 2 * power - 1:
        return concat([Repeat(_exactly(node, power, chunk), 0, 1, greedy), fewer])
    more = concat(
        [_exactly(node, power, chunk), _optional_parts(node, copies - power, chunk, greedy)]
    )
    return Alternate((more, fewer) if greedy else (fewer, more))


def _exactly(node: Node, count: int, chunk: int) -> Node:
    sizes = [chunk] * (count // chunk) + [count % chunk]
    return concat(node if size == 1 else Repeat(node, size, size, True) for size in sizes if size)


def _sets_every_group(node: Node) -> bool:
    """Whether every match of the node sets all of its groups."""

    def walk(node: Node, parts: Sequence[tuple[bool, bool]]) -> tuple[bool, bool]:
        has = isinstance(node, Capture) or any(h for h, _ in parts)
        certain = all(c for _, c in parts)
        if isinstance(node, Alternate) or (isinstance(node, Repeat) and node.min == 0):
            certain = not has
        return has, certain

    return fold(node, walk)[1]


def is_unambiguous(node: Node) -> bool:
    """Whether the node matches in at most one way everywhere; False also if hard to see."""
    return fold(node, _ambiguity).unambiguous


class _Ambiguity(NamedTuple):
    unambiguous: bool
    nullable: bool
    first: int
    body: _Ambiguity | None = None  # what is repeated, where the node is a repeat


def _ambiguity(node: Node, parts: Sequence[_Ambiguity]) -> _Ambiguity:
    match node:
        case CharClass(mask=mask):
            return _Ambiguity(True, False, mask)
        case Repeat():
            body = parts[0]
            fixed = body.unambiguous and node.min == node.max
            return _Ambiguity(fixed, node.min == 0 or body.nullable, body.first, body)
        case Alternate():
            seen, disjoint = 0, True
            for part in parts:
                disjoint = disjoint and not part.nullable and not seen & part.first
                seen |= part.first
            unambiguous = disjoint and all(part.unambiguous for part in parts)
            return _Ambiguity(unambiguous, any(part.nullable for part in parts), seen)
        case Concat():
            rest = _Ambiguity(True, True, 0)
            for part in reversed(parts):
                one_way = part.unambiguous or _is_delimited(part.body, rest)
                first = part.first | rest.first if part.nullable else part.first
                rest = _Ambiguity(
                    rest.unambiguous and one_way, rest.nullable and part.nullable, first
                )
            return rest
        case Capture():
            return parts[0]
    return _Ambiguity(True, True, 0)


def _is_delimited(body: _Ambiguity | None, rest: _Ambiguity) -> bool:
    """Whether the next byte always tells another copy of `body` from what follows the repeat."""
    if body is None or not body.unambiguous or body.nullable or rest.nullable:
        return False
    return not body.first & rest.first
