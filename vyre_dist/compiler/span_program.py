r"""SpanProgram: an expression as instructions of a backtracking matcher, which tells where a match is and where its groups.

The automata say that a rule matches through a place; these programs say from where to where, by the preferences of
leftmost-first matching: RE2's results, for expressions in which nothing that can be empty is repeated. Counted repeats
are written out. Every pair of a split and a place is tried once, so a search takes splits times bytes steps at most.

Source: the matcher that RE2 calls BitState, R. Cox, "Regular Expression Matching: the Virtual Machine Approach" (2009).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from vyre_dist.regex.context import CONDITIONS
from vyre_dist.regex.nodes import Alternate, Assertion, Capture, CharClass, Concat, Node, Repeat, fold

MAX_INSTRUCTIONS = 8192
MAX_GROUPS = 3


class Op(enum.IntEnum):
    """What an instruction does. The numbers are stored.

    CLASS: take one byte of class `first`. SPLIT: go on at `first`, later perhaps at `second`. JUMP: go on at `first`.
    SAVE: the place is where slot `first` is (group g: slots 2g - 2 and 2g - 1). ASSERT: go on where condition `first`
    (context.py) holds.
    """

    CLASS = 0
    SPLIT = 1
    JUMP = 2
    SAVE = 3
    ASSERT = 4
    MATCH = 5


Instruction = tuple[Op, int, int]
"""(op, first, second)"""


@dataclass(frozen=True, slots=True)
class SpanProgram:
    """`instructions`: targets count from 0 in here; the `first` of a CLASS is a 256-bit mask. `groups`: how many."""

    instructions: tuple[Instruction, ...]
    groups: int

    @property
    def splits(self) -> int:
        """How many of the instructions are splits."""
        return sum(op is Op.SPLIT for op, _, _ in self.instructions)


class _NotSupportedError(Exception):
    """The expression has no program."""


_Code = tuple[tuple[Instruction, ...], bool]
"""(instructions whose targets count from their own place, whether they match the empty string)"""


def compile_span_program(root: Node) -> SpanProgram | None:
    """The program of an expression.

    None for one that matches the empty string, repeats something that does, has more than MAX_GROUPS groups, or needs more
    than MAX_INSTRUCTIONS instructions: google-re2 finds its spans.
    """
    groups: set[int] = set()

    def combine(node: Node, parts: Sequence[_Code]) -> _Code:
        if isinstance(node, Capture):
            groups.add(node.index)
        code = _code(node, parts)
        if len(code[0]) >= MAX_INSTRUCTIONS:
            raise _NotSupportedError
        return code

    try:
        relative, nullable = fold(root, combine)
    except _NotSupportedError:
        return None
    if nullable or max(groups, default=0) > MAX_GROUPS:
        return None
    absolute = [
        (op, at + first, at + second)
        if op is Op.SPLIT
        else (op, at + first if op is Op.JUMP else first, second)
        for at, (op, first, second) in enumerate(relative)
    ]
    return SpanProgram((*absolute, (Op.MATCH, 0, 0)), max(groups, default=0))


def _code(node: Node, parts: Sequence[_Code]) -> _Code:
    match node:
        case CharClass(mask=mask):
            return ((Op.CLASS, mask, 0),), False
        case Assertion(kind=kind):
            return ((Op.ASSERT, CONDITIONS[kind], 0),), True
        case Concat():
            return sum((code for code, _ in parts), ()), all(nullable for _, nullable in parts)
        case Alternate():
            return _alternate(parts)
        case Repeat():
            return _repeat(node, *parts[0])
        case Capture(index=index):
            code, nullable = parts[0]
            return ((Op.SAVE, 2 * index - 2, 0), *code, (Op.SAVE, 2 * index - 1, 0)), nullable
    return (), True


def _alternate(parts: Sequence[_Code]) -> _Code:
    code, _ = parts[-1]
    for own, _ in reversed(parts[:-1]):
        code = ((Op.SPLIT, 1, len(own) + 2), *own, (Op.JUMP, len(code) + 1, 0), *code)
    return code, any(nullable for _, nullable in parts)


def _repeat(node: Repeat, code: tuple[Instruction, ...], nullable: bool) -> _Code:
    if node.max == 0:
        return (), True
    if (node.min, node.max) == (1, 1):
        return code, nullable
    if nullable or len(code) * max(node.min, node.max or 0) > MAX_INSTRUCTIONS:
        raise _NotSupportedError

    def split(on: int, past: int) -> Instruction:
        return (Op.SPLIT, on, past) if node.greedy else (Op.SPLIT, past, on)

    if node.max is None:
        if node.min == 0:
            return (split(1, len(code) + 2), *code, (Op.JUMP, -len(code) - 1, 0)), True
        return (*code * node.min, split(-len(code), 1)), False
    optional: tuple[Instruction, ...] = ()
    for _ in range(node.max - node.min):
        # x{0,2} is (x(x)?)?: whoever stops goes to the end of all
        optional = (split(1, len(code) + len(optional) + 1), *code, *optional)
    return (*code * node.min, *optional), node.min == 0
