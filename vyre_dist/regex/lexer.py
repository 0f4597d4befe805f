r"""The small parts of a pattern: escapes, bracketed classes, \p{...}, counts.

Every function takes the source and an offset, and returns what it read and the offset after it.
Groups, flags and operators are in parser.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from vyre_dist.regex import charclass
from vyre_dist.regex.errors import RegexSyntaxError
from vyre_dist.regex.unicode_tables import unicode_class

_C_ESCAPES = {ord("a"): 7, ord("f"): 12, ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("v"): 11}
_ALPHANUMERIC = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_OCTAL = frozenset(b"01234567")
_HEX = frozenset(b"0123456789abcdefABCDEF")
_BACKSLASH, _HYPHEN, _CARET, _CLOSE = ord("\\"), ord("-"), ord("^"), ord("]")

# RE2 reads at most nine digits and no leading zero; anything else in braces is literal text.
_NUMBER = rb"(0|[1-9][0-9]{0,8})"
_COUNT = re.compile(rb"\{" + _NUMBER + rb"(?:(,)" + _NUMBER + rb"?)?\}")
_SPACE = rb"[ \t\n\v\f\r]*"
_SPACED_COUNT = re.compile(
    rb"\{"
    + _SPACE
    + _NUMBER
    + _SPACE
    + rb"(?:(,)"
    + _SPACE
    + rb"(?:"
    + _NUMBER
    + _SPACE
    + rb")?)?\}"
)


@dataclass(frozen=True, slots=True)
class Source:
    """A pattern as the parser sees it (bytes) and as it was given (for columns)."""

    text: bytes
    given_as_str: bool
    last_posix_end: int = field(init=False)

    def __post_init__(self) -> None:
        # Looked up once: a search for each of a hundred thousand unclosed [: would take minutes.
        object.__setattr__(self, "last_posix_end", self.text.rfind(b":]"))

    def error(self, position: int, reason: str, *, unsupported: bool = False) -> RegexSyntaxError:
        """The error that points at byte `position`. `unsupported`: other engines know this."""
        before = self.text[:position]
        column = len(before.decode("utf-8", "ignore")) if self.given_as_str else position
        return RegexSyntaxError(self.text, position, column + 1, reason, unsupported)

    def quote(self, start: int, end: int) -> str:
        """The pattern's bytes [start, end), to the end of the last character, for a reason."""
        while self.given_as_str and end < len(self.text) and self.text[end] & 0xC0 == 0x80:
            end += 1
        return self.text[start:end].decode("utf-8" if self.given_as_str else "latin-1", "replace")


def read_count(text: bytes, at: int, verbose: bool) -> tuple[int, int | None, int] | None:
    """(minimum, maximum or None, offset after it) of `{n}`, `{n,}` or `{n,m}`.

    None: the brace is literal. In verbose mode there may be white space between the braces, as in
    Rust's and Perl's.
    """
    match = (_SPACED_COUNT if verbose else _COUNT).match(text, at)
    if match is None:
        return None
    low = int(match[1])
    if match[2] is None:
        return low, low, match.end()
    return low, None if match[3] is None else int(match[3]), match.end()


def read_escape(source: Source, at: int) -> tuple[int, int]:
    r"""An escaped byte at `at` (`\n`, `\x41`, `\x{41}`, `\101`, `\.`): (byte, offset after it).

    Raises:
        RegexSyntaxError: not an escape for a single byte.
    """
    text = source.text
    if at + 1 >= len(text):
        raise source.error(at, "trailing backslash")
    c = text[at + 1]
    if c in _OCTAL:
        end = at + 2
        # A single non-zero digit would be a back-reference.
        if c == ord("0") or (end < len(text) and text[end] in _OCTAL):
            while end < min(at + 4, len(text)) and text[end] in _OCTAL:
                end += 1
            value = int(text[at + 1 : end], 8)
            if value <= 0xFF:
                return value, end
            raise source.error(
                at, f"octal escape {source.quote(at, end)} is above \\377, the largest byte"
            )
    if c == ord("x"):
        return _read_hex(source, at)
    if c in _C_ESCAPES:
        return _C_ESCAPES[c], at + 2
    if c < 0x80 and c not in _ALPHANUMERIC:
        return c, at + 2
    reason = f"invalid escape sequence {source.quote(at, at + 2)}"
    if ord("1") <= c <= ord("9"):
        reason += ": back-references are not supported"
    # a letter or digit that is no escape here is one elsewhere: \1, \k<name>, \R, \h, \Z
    raise source.error(at, reason, unsupported=c in _ALPHANUMERIC)


def _read_hex(source: Source, at: int) -> tuple[int, int]:
    text = source.text
    if text[at + 2 : at + 3] == b"{":
        end = start = at + 3
        while end < len(text) and text[end] in _HEX:
            end += 1
        if end == start or text[end : end + 1] != b"}":
            raise source.error(
                at,
                f"invalid escape sequence {source.quote(at, end + 1)}: \\x{{...}} needs hex digits",
            )
        digits, end = text[start:end].lstrip(b"0"), end + 1
        if len(digits) > 2:
            raise source.error(
                at, f"escape {source.quote(at, end)} is above \\x{{ff}}, the largest byte"
            )
        return int(digits or b"0", 16), end
    digits = text[at + 2 : at + 4]
    if len(digits) < 2 or not _HEX.issuperset(digits):
        raise source.error(
            at, f"invalid escape sequence {source.quote(at, at + 4)}: \\x needs two hex digits"
        )
    return int(digits, 16), at + 4


def read_unicode_class(source: Source, at: int, fold: bool) -> tuple[int, int]:
    r"""`\pN`, `\p{Name}`, `\p{^Name}` or `\P...` at `at`: (class, offset after it)."""
    text = source.text
    negated = text[at + 1] == ord("P")
    if text[at + 2 : at + 3] == b"{":
        close = text.find(b"}", at + 3)
        if close < 0:
            raise source.error(at, f"missing }} after {source.quote(at, at + 3)}")
        name, end = text[at + 3 : close], close + 1
    else:
        name, end = text[at + 2 : at + 3], at + 3
    if name[:1] == b"^":
        negated, name = not negated, name[1:]
    mask = unicode_class(name.decode("latin-1"))
    if mask is None:
        raise source.error(at, f"unknown Unicode class {source.quote(at, end)}", unsupported=True)
    mask = charclass.fold_case(mask) if fold else mask
    return charclass.negate(mask) if negated else mask, end


def read_perl_class(source: Source, at: int) -> tuple[int, int] | None:
    r"""`\d \D \s \S \w \W` at `at`: (class, offset after it); None where it is something else."""
    text = source.text
    if text[at] != _BACKSLASH or at + 1 >= len(text):
        return None
    mask = charclass.PERL.get(text[at + 1])
    return None if mask is None else (mask, at + 2)


def read_bracket(source: Source, at: int, fold: bool) -> tuple[int, int]:
    """A bracketed class that opens at `at`: (class, offset after its closing bracket)."""
    text = source.text
    i = at + 1
    negated = text[i : i + 1] == b"^"
    i += negated
    mask, first = 0, i
    while i < len(text) and (text[i] != _CLOSE or i == first):
        item = _read_named_class(source, i, fold)
        if item is None:
            low, high, i = _read_range(source, i, at)
            mask |= (
                charclass.fold_case(charclass.span(low, high))
                if fold
                else charclass.span(low, high)
            )
        else:
            mask |= item[0]
            i = item[1]
    if i >= len(text):
        raise source.error(at, "missing ] of the class that opens here")
    return charclass.negate(mask) if negated else mask, i + 1


def _read_named_class(source: Source, at: int, fold: bool) -> tuple[int, int] | None:
    """[:alpha:], \\pN or \\d within brackets, if that is what stands at `at`."""
    text = source.text
    if text.startswith(b"[:", at) and source.last_posix_end >= at + 2:
        close = text.index(b":]", at + 2)
        name = text[at + 2 : close]
        negated, name = name[:1] == b"^", name.removeprefix(b"^")
        mask = charclass.POSIX.get(name)
        if mask is None:
            raise source.error(at, f"unknown class {source.quote(at, close + 2)[:40]}")
        mask = charclass.fold_case(mask) if fold else mask
        return charclass.negate(mask) if negated else mask, close + 2
    if text[at] == _BACKSLASH and at + 2 < len(text) and text[at + 1] in b"pP":
        return read_unicode_class(source, at, fold)
    return read_perl_class(source, at)


def _read_range(source: Source, at: int, bracket: int) -> tuple[int, int, int]:
    """A byte or a range of bytes within brackets: (first, last, offset after it)."""
    text = source.text
    low, i = _read_member(source, at, bracket)
    # A hyphen just before the closing bracket is itself a member.
    if i + 1 >= len(text) or text[i] != _HYPHEN or text[i + 1] == _CLOSE:
        return low, low, i
    high, i = _read_member(source, i + 1, bracket)
    if high < low:
        raise source.error(at, f"invalid range {source.quote(at, i)}: it ends before it starts")
    return low, high, i


def _read_member(source: Source, at: int, bracket: int) -> tuple[int, int]:
    if at >= len(source.text):
        raise source.error(bracket, "missing ] of the class that opens here")
    if source.text[at] == _BACKSLASH:
        return read_escape(source, at)
    return source.text[at], at + 1
