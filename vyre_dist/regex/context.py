r"""Assertions as conditions on the two bytes around a boundary.

Every assertion of RE2 looks at one byte on each side at most, and only asks whether it is a
newline, a word byte, another byte, or not there (the edge of the text). So a condition is a set of
pairs out of four contexts by four: a 16-bit mask, bit 4 * previous + next. A conjunction is `&`, a
disjunction `|`. Whether the conditions of a whole expression can hold is in emptiness.py.
"""

from __future__ import annotations

from vyre_dist.regex import charclass
from vyre_dist.regex.nodes import AssertionKind

NEWLINE, WORD, OTHER, EDGE = range(4)

CONTEXT_CLASSES = (
    charclass.NEWLINE,
    charclass.WORD,
    charclass.ALL & ~charclass.NEWLINE & ~charclass.WORD,
)
"""The bytes of the contexts NEWLINE, WORD and OTHER; EDGE has none."""

ALWAYS = 0xFFFF
ANY_CONTEXT = 0xF

_PREVIOUS = tuple(0xF << 4 * context for context in range(4))
_NEXT = tuple(0x1111 << context for context in range(4))
_BOUNDARY = (_PREVIOUS[WORD] & ~_NEXT[WORD]) | (_NEXT[WORD] & ~_PREVIOUS[WORD])

CONDITIONS = {
    AssertionKind.BEGIN_TEXT: _PREVIOUS[EDGE],
    AssertionKind.END_TEXT: _NEXT[EDGE],
    AssertionKind.BEGIN_LINE: _PREVIOUS[EDGE] | _PREVIOUS[NEWLINE],
    AssertionKind.END_LINE: _NEXT[EDGE] | _NEXT[NEWLINE],
    AssertionKind.WORD_BOUNDARY: _BOUNDARY,
    AssertionKind.NOT_WORD_BOUNDARY: ALWAYS ^ _BOUNDARY,
}


def contexts_of(mask: int) -> int:
    """The contexts that a byte of the class can be, as a 4-bit mask."""
    return sum(1 << context for context, members in enumerate(CONTEXT_CLASSES) if mask & members)


def context_of_byte(byte: int) -> int:
    """The context of one byte value."""
    return next(context for context, members in enumerate(CONTEXT_CLASSES) if members >> byte & 1)


def only(previous: int, following: int) -> int:
    """The condition that the contexts are in `previous` and in `following`, 4-bit masks."""
    mask = 0
    for context in range(4):
        if previous >> context & 1:
            mask |= following << 4 * context
    return mask


def next_given(condition: int, previous: int) -> int:
    """The contexts that the condition allows after one of context `previous`, a 4-bit mask."""
    return condition >> 4 * previous & 0xF


def previous_given(condition: int, following: int) -> int:
    """The contexts that the condition allows before one of context `following`, a 4-bit mask."""
    return sum(1 << context for context in range(4) if condition >> 4 * context + following & 1)
