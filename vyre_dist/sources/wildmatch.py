"""Git's glob language, translated to RE2: one file name, or a whole path below a directory.

It means what git's wildmatch with its path flag means, on bytes, with case: `*`, `?` and classes
never match a slash, `**` does if it stands alone between slashes, and an unterminated class matches
nothing. gitignore.py decides which pattern applies where, and in which order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re2

_SPECIAL = frozenset(b"*?[\\")
_NEVER = "[^\\x00-\\xff]"
_MAX_MEM = 16 << 20


def _ascii(*ranges: tuple[int, int]) -> frozenset[int]:
    return frozenset(c for low, high in ranges for c in range(low, high + 1))


_DIGIT = _ascii((0x30, 0x39))
_UPPER = _ascii((0x41, 0x5A))
_LOWER = _ascii((0x61, 0x7A))
_GRAPH = _ascii((0x21, 0x7E))
_NAMED: dict[bytes, frozenset[int]] = {
    b"alnum": _DIGIT | _UPPER | _LOWER,
    b"alpha": _UPPER | _LOWER,
    b"blank": frozenset(b" \t"),
    b"cntrl": _ascii((0x00, 0x1F), (0x7F, 0x7F)),
    b"digit": _DIGIT,
    b"graph": _GRAPH,
    b"lower": _LOWER,
    b"print": _GRAPH | {0x20},
    b"punct": _GRAPH - _DIGIT - _UPPER - _LOWER,
    # git's own table: vertical tab and form feed are no space
    b"space": frozenset(b" \t\n\r"),
    b"upper": _UPPER,
    b"xdigit": _DIGIT | _ascii((0x41, 0x46), (0x61, 0x66)),
}


def is_literal(pattern: bytes) -> bool:
    """True where the pattern has no special byte, so that it matches only itself."""
    return _SPECIAL.isdisjoint(pattern)


def literal_prefix(pattern: bytes) -> int:
    """Number of bytes before the first special one."""
    for i, byte in enumerate(pattern):
        if byte in _SPECIAL:
            return i
    return len(pattern)


def split_segments(pattern: bytes) -> list[bytes] | None:
    """The pattern's parts between slashes; None if matching segment by segment would differ.

    It differs for an escaped slash, and for a `**` glued to a literal start (`foo**/x`): git
    compares the literal start first and then takes the `**` for a leading one.
    """
    prefix = literal_prefix(pattern)
    if prefix and pattern[prefix : prefix + 2] == b"**" and pattern[prefix - 1 : prefix] != b"/":
        return None
    segments: list[bytes] = []
    start = i = 0
    while i < len(pattern):
        byte = pattern[i]
        if byte == 0x5C:  # backslash
            if pattern[i + 1 : i + 2] == b"/":
                return None
            i += 2
        elif byte == 0x5B:  # [
            parsed = _parse_class(pattern, i)
            if parsed is None:
                return [pattern[start:]] if not segments else [*segments, pattern[start:]]
            i = parsed[1]
        else:
            if byte == 0x2F:
                segments.append(pattern[start:i])
                start = i + 1
            i += 1
    segments.append(pattern[start:])
    return segments


def translate_name(pattern: bytes) -> str:
    """RE2 text (latin-1) for a pattern that is matched against one name, which has no slash."""
    return _translate(pattern, paths=False)


def translate_path(pattern: bytes) -> str:
    """RE2 text (latin-1) for a pattern that is matched against a path relative to the pattern's
    directory.
    """
    prefix = literal_prefix(pattern)
    return _escape(pattern[:prefix]) + _translate(pattern[prefix:], paths=True)


def compile_bytes(source: str) -> re2._Regexp[bytes]:
    """Compile RE2 text of this module for bytes."""
    import re2  # 8 ms that a command without a scan need not pay

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.never_capture = True
    options.dot_nl = True
    options.max_mem = _MAX_MEM
    return re2.compile(source.encode("latin-1"), options)


def compile_any(sources: Iterable[str]) -> list[re2._Regexp[bytes]]:
    """Regexes that find, in `/name//name//…/`, each `/name/` that one of the sources matches.

    Usually one regex; more if the alternation would be too large for RE2's memory limit.
    """
    import re2

    todo = list(sources)
    if not todo:
        return []
    try:
        return [compile_bytes("/(?:" + "|".join(todo) + ")/")]
    except re2.error:
        if len(todo) == 1:
            raise
        half = len(todo) // 2
        return compile_any(todo[:half]) + compile_any(todo[half:])


def _escape(literal: bytes) -> str:
    return "".join(
        chr(b) if 0x30 <= b <= 0x39 or 0x41 <= b <= 0x5A or 0x61 <= b <= 0x7A else f"\\x{b:02x}"
        for b in literal
    )


def _translate(pattern: bytes, *, paths: bool) -> str:
    out: list[str] = []
    i, n = 0, len(pattern)
    while i < n:
        byte = pattern[i]
        if byte == 0x2A:  # *
            end = i
            while end < n and pattern[end] == 0x2A:
                end += 1
            alone = end - i > 1 and (i == 0 or pattern[i - 1] == 0x2F)
            after = pattern[end : end + 2]
            if paths and alone and (not after or after[:1] == b"/" or after == b"\\/"):
                if after[:1] == b"/":
                    out.append("(?:.*/)?")
                    end += 1
                else:
                    out.append(".*")
            else:
                out.append("[^/]*")
            i = end
        elif byte == 0x3F:  # ?
            out.append("[^/]")
            i += 1
        elif byte == 0x5B:  # [
            parsed = _parse_class(pattern, i)
            if parsed is None:
                return _NEVER
            members, i = parsed
            out.append(_class_text(members))
        elif byte == 0x5C:  # backslash
            if i + 1 == n:
                return _NEVER
            out.append(_escape(pattern[i + 1 : i + 2]))
            i += 2
        else:
            out.append(_escape(pattern[i : i + 1]))
            i += 1
    return "".join(out)


def _parse_class(pattern: bytes, start: int) -> tuple[frozenset[int], int] | None:
    """The bytes that the class at `start` matches, and the index after it; None if malformed."""
    n = len(pattern)
    i = start + 1
    negated = i < n and pattern[i] in b"!^"
    if negated:
        i += 1
    members: set[int] = set()
    previous = -1
    first = True
    while True:
        if i >= n:
            return None
        byte = pattern[i]
        if byte == 0x5D and not first:  # ]
            break
        first = False
        if byte == 0x5C:
            i += 1
            if i >= n:
                return None
            byte = pattern[i]
            members.add(byte)
        elif byte == 0x2D and previous >= 0 and i + 1 < n and pattern[i + 1] != 0x5D:  # a-b
            i += 1
            if pattern[i] == 0x5C:
                i += 1
                if i >= n:
                    return None
            members.update(range(previous, pattern[i] + 1))
            byte = -1
        elif byte == 0x5B and pattern[i + 1 : i + 2] == b":":
            close = pattern.find(b"]", i + 2)
            if close < 0:
                return None
            if close - 1 >= i + 2 and pattern[close - 1] == 0x3A:
                named = _NAMED.get(pattern[i + 2 : close - 1])
                if named is None:
                    return None
                members |= named
                byte = -1
                i = close
            else:
                members.add(byte)
        else:
            members.add(byte)
        previous = byte
        i += 1
    if negated:
        members = set(range(1, 256)) - members
    members.discard(0x2F)
    return frozenset(members), i + 1


def _class_text(members: frozenset[int]) -> str:
    if not members:
        return _NEVER
    parts: list[str] = []
    ordered = sorted(members)
    low = high = ordered[0]
    for byte in ordered[1:]:
        if byte != high + 1:
            parts.append(f"\\x{low:02x}-\\x{high:02x}")
            low = byte
        high = byte
    parts.append(f"\\x{low:02x}-\\x{high:02x}")
    return "[" + "".join(parts) + "]"
