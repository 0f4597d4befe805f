"""The regex parser: it accepts what google-re2 accepts, and what it writes matches the same.

Source of the differences that are allowed: vyre_dist/regex/parser.py.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

import re2

from vyre_dist.regex import RegexSyntaxError, RepeatRewriteError, parse, to_re2

_MOST_NESTED = 200
"""Parentheses of a pattern; above 1000 the parser refuses what google-re2 takes."""


class RegexParser:
    """Patterns in RE2's syntax."""

    words = (
        *rb"( ) [ ] { } * + ? | ^ $ . \ - , : < > = i m s U".split(),
        *rb"(?: (?i) (?s) (?m) (?U) (?i: (?-s) (?P<n> (?<n> [^a] [a-c]".split(),
        *rb"[[:alpha:]] \b \B \A \z \d \W \pL \p{Lu} \P{^Nd} \Q \E \x41 \x{62} \141".split(),
        *rb"\C {2} {0,3} {1,}? {999} ab key".split(),
    )

    def seeds(self) -> list[bytes]:
        """Patterns as packs have them."""
        return [
            rb"(?i)\b(?:api|access)[_-]?key\s*[:=]\s*['\"]?([0-9a-z]{20,40})",
            rb"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----(?s:.)*?-----END",
            rb"^(a|b)*?c{2,3}$|\Aa[^b-d]+\z",
            rb"AKIA[0-9A-Z]{16}",
            rb"(?P<user>\w+)@(?P<host>[\w.]+)\.\p{L}{2,}",
        ]

    def check(self, data: bytes) -> Hashable:
        """Same verdict as google-re2; canonical form with the same tree, groups and matches."""
        pattern = data[:200]
        if pattern.count(b"(") > _MOST_NESTED:
            return "nested"
        theirs = _compiled(pattern)
        try:
            ours = parse(pattern)
        except RegexSyntaxError as error:
            assert theirs is None, f"refused, but google-re2 takes it: {error}"
            return re.sub(r"\d+|'.*'", "", str(error))[:40]
        if ours.extended:  # (?x), or counts that google-re2 lacks
            return "extended"
        assert theirs is not None, "accepted, but google-re2 refuses it"
        assert ours.groups == theirs.groups
        try:
            canonical = to_re2(ours)
        except RepeatRewriteError:
            return "no rewriting"
        assert parse(canonical).root == ours.root, canonical
        again = _compiled(canonical)
        assert again is not None, canonical
        if b"i" in pattern and re.search(rb"[^\x00-\x7f]|\\[xpP0-9]", pattern):
            return "folds more there"  # google-re2 folds Latin-1's letters, too
        text = pattern + b" key=abcABC012 \n" + pattern[::-1]
        assert _spans(theirs, text) == _spans(again, text), canonical
        return ours.groups, len(_spans(again, text)) > 0


def _compiled(pattern: bytes) -> re2._Regexp | None:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = 1 << 26
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None


def _spans(compiled: re2._Regexp, text: bytes) -> list[tuple[tuple[int, int], ...]]:
    return [
        tuple(found.span(group) for group in range(compiled.groups + 1))
        for found in compiled.finditer(text)
    ]
