"""An expression as instructions of a matcher, in the order of RE2's preferences.

Counted repeats are written out. A backtracking matcher (compiler/span_program.py) tries one branch
after the other, an automaton (extract/automaton.py) follows all at once.

Source: R. Cox, "Regular Expression Matching: the Virtual Machine Approach" (2009).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from vyre_dist.regex.context import CONDITIONS
from vyre_dist.regex.nodes import (
    Alternate,
    Assertion,
    Capture,
    CharClass,
    Concat,
    Node,
    Repeat,
    fold,
)


class Op(enum.IntEnum):
    """What an instruction does. The numbers are stored.

    CLASS: take one byte of class `first`, a 256-bit mask. SPLIT: go on at `first`, less preferred
    at `second`. JUMP: go on at `first`. SAVE: store the offset in slot `first` (group g: slots
    2g - 2 and 2g - 1). ASSERT: go on if condition `first` (context.py) holds. MATCH: done.
    """

    CLASS = 0
    SPLIT = 1
    JUMP = 2
    SAVE = 3
    ASSERT = 4
    MATCH = 5


Instruction = tuple[Op, int, int]
"""(op, first, second)"""

_Code = tuple[list[Instruction], bool]
"""(instructions with relative targets, whether they match the empty string)"""


class _TooManyError(Exception):
    pass


def instructions_of(root: Node, most: int, *, groups: bool) -> list[Instruction] | None:
    """The expression's instructions, with a MATCH at their end; targets count from 0.

    None if it takes `most` or more, not counting the MATCH. `groups`: with SAVEs.
    """

    def combine(node: Node, parts: Sequence[_Code]) -> _Code:
        code = _code(node, parts, most, groups)
        if len(code[0]) >= most:
            raise _TooManyError
        return code

    try:
        relative, _ = fold(root, combine)
    except _TooManyError:
        return None
    split, jump = Op.SPLIT, Op.JUMP
    for at, (op, first, second) in enumerate(relative):
        if op is split:
            relative[at] = op, at + first, at + second
        elif op is jump:
            relative[at] = op, at + first, 0
    return [*relative, (Op.MATCH, 0, 0)]


def _code(node: Node, parts: Sequence[_Code], most: int, groups: bool) -> _Code:
    match node:
        case CharClass(mask=mask):
            return [(Op.CLASS, mask, 0)], False
        case Assertion(kind=kind):
            return [(Op.ASSERT, CONDITIONS[kind], 0)], True
        case Concat():
            code = [one for part, _ in parts for one in part]
            return code, all(nullable for _, nullable in parts)
        case Alternate():
            return _alternate(parts, most)
        case Repeat():
            return _repeat(node, *parts[0], most)
        case Capture(index=index):
            code, nullable = parts[0]
            if groups:
                code = [(Op.SAVE, 2 * index - 2, 0), *code, (Op.SAVE, 2 * index - 1, 0)]
            return code, nullable
    return [], True


def _alternate(parts: Sequence[_Code], most: int) -> _Code:
    code, _ = parts[-1]
    for own, _ in reversed(parts[:-1]):
        code = [(Op.SPLIT, 1, len(own) + 2), *own, (Op.JUMP, len(code) + 1, 0), *code]
        if len(code) >= most:
            raise _TooManyError
    return code, any(nullable for _, nullable in parts)


def _repeat(node: Repeat, code: list[Instruction], nullable: bool, most: int) -> _Code:
    low, high = node.min, node.max
    if len(code) * max(low, high or 0) + (high or low) - low >= most:
        raise _TooManyError

    def split(on: int, past: int) -> Instruction:
        return (Op.SPLIT, on, past) if node.greedy else (Op.SPLIT, past, on)

    if high is None:
        if low == 0 and not nullable:
            return [split(1, len(code) + 2), *code, (Op.JUMP, -len(code) - 1, 0)], True
        looped = [*code * max(low, 1), split(-len(code), 1)]
        # as RE2 has it: a loop over what may be empty is an optional one gone through at least once
        return ([split(1, len(looped) + 1), *looped], True) if low == 0 else (looped, nullable)
    # x{0,2} is (x(x)?)?: whoever stops goes to the end of all
    each, copies = len(code) + 1, high - low
    optional = [one for i in range(copies) for one in (split(1, (copies - i) * each), *code)]
    return [*code * low, *optional], nullable or low == 0
