"""Span programs in plain Python, exactly as a kernel executes them: the oracle for the kernel.

A search for one row begins `back` bytes before the row's position, or where the document begins.
The leftmost match from there that starts at the position or before is taken; while it ends at the
position or before it, the search goes on from its end. What is looked at ends `ahead` bytes after
the position: first few, then as many as there is room for. A search that would have to look
further, or takes too many steps or too deep a stack, is given up: the host searches.
"""

from __future__ import annotations

from typing import NamedTuple

from vyre_dist.compiler.span_program import FIRST_AHEAD, SEARCH_DEPTH, SEARCH_STEPS, SpanProgram
from vyre_dist.regex.context import EDGE, context_of_byte
from vyre_dist.regex.instructions import Op

_CONTEXTS = [context_of_byte(byte) for byte in range(256)]


class FoundSpan(NamedTuple):
    """[start, end): the match that holds the position; `slots`: where its groups begin and end, -1
    for those that took no part.

    `first`: where the first match began that was found on the way.
    """

    first: int
    start: int
    end: int
    slots: tuple[int, ...]


class _GivenUpError(Exception):
    """The host has to search."""


def find_span(
    program: SpanProgram,
    text: bytes,
    position: int,
    back: int,
    ahead: int,
    first_ahead: int = FIRST_AHEAD,
) -> FoundSpan | None:
    """The match through `position` in a whole document; None where there is none, or the search was
    given up.
    """
    low = max(0, position - back)
    for most in (min(first_ahead, ahead), ahead):
        limit = min(len(text), position + most)
        try:
            return _Search(program, text, low, limit).through(position)
        except _GivenUpError:
            if limit == len(text):
                break
    return None


class _Search:
    def __init__(self, program: SpanProgram, text: bytes, low: int, limit: int) -> None:
        self._program, self._text, self._low, self._limit = program, text, low, limit
        self._visited: set[tuple[int, int]] = set()
        self._steps = 0

    def through(self, position: int) -> FoundSpan | None:
        pos, first = self._low, None
        while True:
            self._visited.clear()
            for start in range(pos, min(position, self._limit) + 1):
                found = self._at(start)
                if found is not None:
                    break
            else:
                return None
            end, slots = found
            first = start if first is None else first
            if end > position:
                return FoundSpan(first, start, end, slots)
            pos = end

    def _at(self, start: int) -> tuple[int, tuple[int, ...]] | None:
        """(end, slots) of the preferred match at `start`."""
        text, instructions = self._text, self._program.instructions
        slots = [-1] * (2 * self._program.groups)
        # (instruction, position), or (-1 - slot, what it was)
        stack: list[tuple[int, int]] = []
        pc, pos = 0, start
        while True:
            self._steps += 1
            if self._steps > SEARCH_STEPS or len(stack) >= SEARCH_DEPTH:
                raise _GivenUpError
            op, first, second = instructions[pc]
            alive = True
            if op is Op.CLASS:
                if pos >= self._limit < len(text):
                    raise _GivenUpError
                alive = pos < len(text) and first >> text[pos] & 1 == 1
                pc, pos = pc + 1, pos + 1
            elif op is Op.SPLIT:
                alive = (pc, pos) not in self._visited
                if alive:
                    self._visited.add((pc, pos))
                    stack.append((second, pos))
                    pc = first
            elif op is Op.JUMP:
                pc = first
            elif op is Op.SAVE:
                stack.append((-1 - first, slots[first]))
                slots[first] = pos
                pc += 1
            elif op is Op.ASSERT:
                before = _CONTEXTS[text[pos - 1]] if pos else EDGE
                after = _CONTEXTS[text[pos]] if pos < len(text) else EDGE
                alive = first >> 4 * before + after & 1 == 1
                pc += 1
            else:
                return pos, tuple(slots)
            while not alive:
                if not stack:
                    return None
                pc, pos = stack.pop()
                alive = pc >= 0
                if not alive:
                    slots[-1 - pc] = pos
