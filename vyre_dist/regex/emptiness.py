r"""never_matches: whether any text at all can match an expression. Exact, assertions included.

An assertion asks for the contexts of the two bytes around it (context.py). So a boundary in a text
is one of sixteen: four contexts before by four after. What a node does is a relation on these: from
which boundary, over some text that matches, to which. Relations are composed as the tree says. An
expression matches nothing if its relation is empty (`a\Ab`, `\b\B`, `[^\x00-\xff]`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from vyre_dist.regex.context import CONDITIONS, CONTEXT_CLASSES
from vyre_dist.regex.nodes import Alternate, Assertion, CharClass, Node, Repeat, fold

# by boundary (4 * context before + context after): the boundaries reached, a 16-bit mask
_Relation = tuple[int, ...]

_BOUNDARIES = 16
_IDENTITY: _Relation = tuple(1 << boundary for boundary in range(_BOUNDARIES))
_NOTHING: _Relation = (0,) * _BOUNDARIES


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
    # one byte, of a context that the class has and the boundary expects; anything may follow
    reached = [
        0xF << 4 * context
        if context < len(CONTEXT_CLASSES) and mask & CONTEXT_CLASSES[context]
        else 0
        for context in range(4)
    ]
    return tuple(reached[boundary % 4] for boundary in range(_BOUNDARIES))


@functools.lru_cache
def _of_condition(condition: int) -> _Relation:
    return tuple(condition & 1 << boundary for boundary in range(_BOUNDARIES))


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
    more = _BOUNDARIES if high is None else min(high - low, _BOUNDARIES)
    return _then(_power(relation, low), _power(_either(relation, _IDENTITY), more))
