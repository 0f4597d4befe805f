r"""From a syntax tree to text: canonical patterns for google-re2 (Latin-1) and Hyperscan (PCRE).

Both come without flags: classes are explicit, assertions are spelled `\A`, `\z`, `\b`, `\B`,
`(?m:^)`, `(?m:$)`. What RE2 cannot count is rewritten by repeats.py first.
"""

from __future__ import annotations

from collections.abc import Sequence

from vyre_dist.regex import charclass
from vyre_dist.regex.analysis import strip_captures
from vyre_dist.regex.nodes import (
    Alternate,
    Assertion,
    AssertionKind,
    Capture,
    CharClass,
    Concat,
    Empty,
    Node,
    Repeat,
    alternate,
    fold,
)
from vyre_dist.regex.parser import Regex
from vyre_dist.regex.repeats import fit_repeats

_META = frozenset(b"\\.+*?()|[]{}^$")
_CLASS_META = frozenset(b"\\[]^-")
_CONTROL = {9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r"}

# How tightly a part of a text holds together: an atom may be repeated as it stands.
_ATOM, _SEQUENCE, _ALTERNATION = range(3)
_Text = tuple[bytes, int]


def to_re2(regex: Regex | Node) -> bytes:
    """The pattern that google-re2 (Latin-1) compiles to the same matches and groups.

    Groups keep their numbers when the node is a whole pattern's root; those of a part are counted
    anew.

    Raises:
        RepeatRewriteError: a repeat beyond RE2's limits that has no equivalent (see
        repeats.fit_repeats).
    """
    root = regex.root if isinstance(regex, Regex) else regex
    return fold(fit_repeats(root), _combine)[0]


def to_pcre(regex: Regex | Node) -> bytes:
    r"""The same language, without groups, for Hyperscan 5.4: HS_FLAG_ALLOWEMPTY if it is nullable.

    One thing differs: in PCRE `(?m:^)` does not hold after a newline that ends the text. Where a
    match could end right there `|\z` is added, so Hyperscan may also report an end at the end of
    text that RE2 would not: what it reports is a superset. Greediness is kept in the text but
    Hyperscan ignores it.
    """
    root = strip_captures(regex.root if isinstance(regex, Regex) else regex)
    if _may_end_at_line_start(root):
        root = alternate([root, Assertion(AssertionKind.END_TEXT)])
    return fold(root, _combine_pcre)[0]


def _combine_pcre(node: Node, parts: Sequence[_Text]) -> _Text:
    if isinstance(node, Repeat) and node.max == 0:
        return b"(?:)", _ATOM  # Hyperscan refuses {0}
    return _combine(node, parts)


def _combine(node: Node, parts: Sequence[_Text]) -> _Text:
    match node:
        case Empty():
            return b"", _ALTERNATION  # to be seen, it needs a group
        case CharClass(mask=mask):
            return _class_text(mask), _ATOM
        case Assertion(kind=kind):
            return kind.value.encode(), _SEQUENCE
        case Concat():
            return b"".join(_grouped(part, _SEQUENCE) for part in parts), _SEQUENCE
        case Alternate():
            return b"|".join(text for text, _ in parts), _ALTERNATION
        case Capture(name=name):
            head = b"(" if name is None else b"(?P<" + name.encode("latin-1") + b">"
            return head + parts[0][0] + b")", _ATOM
        case Repeat():
            # A repeat is no atom: RE2 and PCRE refuse, or read differently, a second operator after
            # it.
            return _grouped(parts[0], _ATOM) + _operator(node), _SEQUENCE
    raise TypeError(f"not a regex node: {type(node).__name__}")


def _grouped(part: _Text, tightness: int) -> bytes:
    text, own = part
    return text if own <= tightness else b"(?:" + text + b")"


def _operator(node: Repeat) -> bytes:
    low, high = node.min, node.max
    short = {(0, None): b"*", (1, None): b"+", (0, 1): b"?"}.get((low, high))
    if short is None:
        bounds = f"{low}" if low == high else f"{low},{'' if high is None else high}"
        short = b"{" + bounds.encode() + b"}"
    return short if node.greedy else short + b"?"


def _class_text(mask: int) -> bytes:
    r"""A class as short as both dialects allow: a literal, `.`, `\d`, `\w`, `(?s:.)`, brackets."""
    byte = charclass.single(mask)
    if byte is not None:
        return _byte_text(byte, _META)
    if mask == charclass.ALL:
        return b"(?s:.)"
    if mask == charclass.NOT_NEWLINE:
        return b"."
    for letter in b"dDwW":
        if mask == charclass.PERL[letter]:
            return b"\\" + bytes([letter])
    if mask == 0:
        return rb"[^\x00-\xff]"
    positive = _members_text(mask)
    negative = _members_text(charclass.negate(mask))
    return b"[" + positive + b"]" if len(positive) <= len(negative) + 1 else b"[^" + negative + b"]"


def _members_text(mask: int) -> bytes:
    text = b""
    if mask & charclass.WORD == charclass.WORD:
        text, mask = b"\\w", mask ^ charclass.WORD
    for low, high in charclass.ranges(mask):
        text += _byte_text(low, _CLASS_META)
        if high > low:
            text += (b"-" if high > low + 1 else b"") + _byte_text(high, _CLASS_META)
    return text


def _byte_text(byte: int, meta: frozenset[int]) -> bytes:
    if byte in meta:
        return b"\\" + bytes([byte])
    if 0x20 <= byte < 0x7F:
        return bytes([byte])
    return _CONTROL.get(byte, b"\\x%02x" % byte)


def _may_end_at_line_start(root: Node) -> bool:
    """Whether a match can end right after a BEGIN_LINE without another byte."""

    # Of each node: whether it can, and whether it is nullable.
    def walk(node: Node, parts: Sequence[tuple[bool, bool]]) -> tuple[bool, bool]:
        match node:
            case CharClass():
                return False, False
            case Assertion(kind=kind):
                return kind is AssertionKind.BEGIN_LINE, True
            case Alternate():
                return any(ends for ends, _ in parts), any(empty for _, empty in parts)
            case Repeat():
                return parts[0][0], parts[0][1] or node.min == 0
        ends, empty = False, True
        for part_ends, part_empty in reversed(parts):
            ends, empty = ends or (empty and part_ends), empty and part_empty
        return ends, empty

    return fold(root, walk)[0]
