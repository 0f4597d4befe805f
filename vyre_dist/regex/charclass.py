"""Byte classes: sets of byte values as 256-bit integers, bit b set when byte b is a member.

The fixed classes of RE2's syntax, Perl's and POSIX's, live here; the Unicode ones are in
unicode_tables.py, and the syntax itself is in lexer.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def of(members: Iterable[int]) -> int:
    """The class of the given byte values (a bytes object, or any integers 0..255)."""
    mask = 0
    for byte in members:
        mask |= 1 << byte
    return mask


def span(low: int, high: int) -> int:
    """The class of all bytes from `low` to `high`, both included."""
    return (1 << (high + 1)) - (1 << low)


ALL = span(0, 255)
NEWLINE = of(b"\n")
NOT_NEWLINE = ALL ^ NEWLINE
UPPER = span(0x41, 0x5A)
LOWER = span(0x61, 0x7A)
DIGIT = span(0x30, 0x39)
WORD = UPPER | LOWER | DIGIT | of(b"_")

# RE2's \s leaves the vertical tab out; [[:space:]] has it.
PERL = {
    ord("d"): DIGIT,
    ord("D"): ALL ^ DIGIT,
    ord("s"): of(b"\t\n\f\r "),
    ord("S"): ALL ^ of(b"\t\n\f\r "),
    ord("w"): WORD,
    ord("W"): ALL ^ WORD,
}

POSIX = {
    b"alnum": UPPER | LOWER | DIGIT,
    b"alpha": UPPER | LOWER,
    b"ascii": span(0, 0x7F),
    b"blank": of(b"\t "),
    b"cntrl": span(0, 0x1F) | of(b"\x7f"),
    b"digit": DIGIT,
    b"graph": span(0x21, 0x7E),
    b"lower": LOWER,
    b"print": span(0x20, 0x7E),
    b"punct": span(0x21, 0x7E) & ~(UPPER | LOWER | DIGIT),
    b"space": of(b"\t\n\v\f\r "),
    b"upper": UPPER,
    b"word": WORD,
    b"xdigit": DIGIT | span(0x41, 0x46) | span(0x61, 0x66),
}


def negate(mask: int) -> int:
    """All bytes that are not in the class."""
    return ALL ^ mask


def fold_case(mask: int) -> int:
    """The class closed under ASCII case; bytes above 0x7F keep theirs."""
    return mask | (mask & UPPER) << 32 | (mask & LOWER) >> 32


def members(mask: int) -> Iterator[int]:
    """The class's byte values, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def ranges(mask: int) -> list[tuple[int, int]]:
    """The class as its maximal runs (first byte, last byte), ascending."""
    runs = []
    while mask:
        low = (mask & -mask).bit_length() - 1
        rest = mask >> low
        length = (~rest & (rest + 1)).bit_length() - 1
        runs.append((low, low + length - 1))
        mask &= ~span(low, low + length - 1)
    return runs


def single(mask: int) -> int | None:
    """The class's only byte, or None where it has none or several."""
    return mask.bit_length() - 1 if mask and mask & (mask - 1) == 0 else None
