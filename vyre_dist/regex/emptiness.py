r"""Whether any text at all can match: exact, assertions included.

An assertion asks for the kinds of the two bytes around its place (context.py), so a place in a text
is one of sixteen: four kinds before by four behind. What a node does is a relation on these: from
which place, over some text that matches, to which. Relations are composed as the tree says; a regex
matches nothing where its relation is empty (`a\Ab`, `\b\B`, `[^\x00-\xff]`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from vyre_dist.regex.context import CONDITIONS, CONTEXT_CLASSES
from vyre_dist.regex.nodes import Alternate, Assertion, CharClass, Node, Repeat, fold

# by place (4 * kind before + kind behind): the places that are reached, a 16-bit mask
_Relation = tuple[int, ...]

_PLACES = 16
_IDENTITY: _Relation = tuple(1 << place for place in range(_PLACES))
_NOTHING: _Relation = (0,) * _PLACES


def never_matches(root: Node) -> bool:
    """Whether no text has a match of `root`."""
    reached: _Relation = fold(root, _relation)
    return not any(reached)


def _relation(node: Node, parts: Sequence[_Relation]) -> _Relation:
    match node:
        case CharClass():
            return _of_class(node.mask)
        case Assertion():
            return _of_condition(CONDITIONS[node.kind])
        case Alternate():
            return functools.reduce(_either, parts, _NOTHING)
        case Repeat():
            return _repeated(parts[0], node.min, node.max)
    return functools.reduce(_then, parts, _IDENTITY)


@functools.lru_cache(maxsize=4096)
def _of_class(mask: int) -> _Relation:
    # one byte: of a kind that the class has and the place expects; behind it anything may come
    reached = [
        0xF << 4 * kind if kind < len(CONTEXT_CLASSES) and mask & CONTEXT_CLASSES[kind] else 0
        for kind in range(4)
    ]
    return tuple(reached[place % 4] for place in range(_PLACES))


@functools.lru_cache
def _of_condition(condition: int) -> _Relation:
    return tuple(condition & 1 << place for place in range(_PLACES))


@functools.lru_cache(maxsize=4096)
def _then(first: _Relation, second: _Relation) -> _Relation:
    out = []
    for reached in first:
        over = 0
        while reached:
            lowest = reached & -reached
            over |= second[lowest.bit_length() - 1]
            reached ^= lowest
        out.append(over)
    return tuple(out)


def _either(one: _Relation, other: _Relation) -> _Relation:
    return tuple(a | b for a, b in zip(one, other, strict=True))


def _power(relation: _Relation, count: int) -> _Relation:
    out = _IDENTITY
    while count:
        if count & 1:
            out = _then(out, relation)
        relation, count = _then(relation, relation), count >> 1
    return out


@functools.lru_cache(maxsize=4096)
def _repeated(relation: _Relation, low: int, high: int | None) -> _Relation:
    # what more copies can reach, sixteen of them reach
    more = _PLACES if high is None else min(high - low, _PLACES)
    return _then(_power(relation, low), _power(_either(relation, _IDENTITY), more))
