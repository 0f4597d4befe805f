"""google-re2 objects: latin-1, with as much memory as they turn out to need; filters' patterns.

Filters' patterns run on short texts (paths, secrets, lines). Rules are matched in extract/.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import re2

# google-re2's own default is 8 MiB; large counted repeats need more. Past the last one the pattern
# is refused.
MAX_MEM_STEPS = (8 << 20, 64 << 20, 1 << 30)


def options(max_mem: int, *, captures: bool = False) -> Any:
    """google-re2 options as everything here uses them."""
    made = re2.Options()
    made.encoding = re2.Options.Encoding.LATIN1
    made.log_errors = False
    made.never_capture = not captures
    made.max_mem = max_mem
    return made


def compile_pattern(pattern: bytes, *, captures: bool = False, least: int = 0) -> tuple[Any, int]:
    """(google-re2 object, max_mem in bytes at which it compiled) of a latin-1 pattern.

    `least`: give it so much memory in any case. Raises re2.error when it does not fit in the last
    of MAX_MEM_STEPS or is no regex.
    """
    for max_mem in (max(least, step) for step in MAX_MEM_STEPS[:-1]):
        try:
            # not re2.compile: its cache holds 128 patterns, a pack has more
            return re2._Regexp(pattern, options(max_mem, captures=captures)), max_mem
        except re2.error:
            continue
    return re2._Regexp(pattern, options(MAX_MEM_STEPS[-1], captures=captures)), MAX_MEM_STEPS[-1]


class Renderings:
    """Filters' patterns as google-re2 takes them; parsing those of a pack outlasts a small scan.

    `known`: what an earlier run's Renderings held in the end; all of it compiles. `grown`: whether
    more has come.
    """

    def __init__(self, known: dict[str, bytes] | None = None) -> None:
        self.known = dict(known or {})
        self.grown = False

    def alternation(self, patterns: Iterable[str]) -> bytes:
        """One latin-1 pattern that matches where any of `patterns` does.

        Raises RegexSyntaxError and re2.error.
        """
        return b"|".join([b"(?:" + self._rendered(pattern) + b")" for pattern in patterns])

    def in_lines(self, patterns: Iterable[str]) -> bytes:
        """One latin-1 pattern that matches a text of lines if one of `patterns` matches a line.

        It may match more, since a pattern may match across a line break there.
        """
        return b"|".join(
            [b"(?:" + self._rendered(pattern, lines=True) + b")" for pattern in patterns]
        )

    def _rendered(self, pattern: str, lines: bool = False) -> bytes:
        key = f"{'lines' if lines else 'text'}:{pattern}"
        if key not in self.known:
            from vyre_dist import regex as rx

            root = rx.parse(pattern).root
            text = rx.to_re2(rx.anchored_in_lines(root) if lines else root)
            compile_pattern(text)
            self.known[key] = text
            self.grown = True
        return self.known[key]


def literal_alternation(words: Iterable[bytes]) -> bytes:
    """One latin-1 pattern that matches where any of `words` occurs."""
    return b"|".join(re2.escape(word) for word in words)
