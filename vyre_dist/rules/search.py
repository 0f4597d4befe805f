"""google-re2 objects: latin-1, with as much memory as they turn out to need; filters' patterns.

Filters' patterns run on short texts (paths, secrets, lines). Rules are matched in extract/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import re2

# google-re2's own default is 8 MiB; large counted repeats need more. Past the last one the pattern
# is refused.
MAX_MEM_STEPS = (8 << 20, 64 << 20, 1 << 30)


class Re2Match(Protocol):
    """A match object of google-re2, as far as it is used here."""

    def group(self) -> bytes: ...
    def groups(self) -> Sequence[bytes | None]: ...
    def span(self) -> tuple[int, int]: ...


class Re2Program(Protocol):
    """What google-re2's compiled object is asked by Finder: `Match(anchor, text, pos, endpos)`."""

    def Match(  # noqa: N802  # its name there
        self, anchor: object, text: bytes | memoryview, pos: int, endpos: int
    ) -> Sequence[tuple[int, int]]: ...


class Re2Pattern(Protocol):
    """A pattern object of google-re2, as far as it is used here."""

    @property
    def groups(self) -> int: ...
    @property
    def _regexp(self) -> Re2Program: ...
    def search(self, text: bytes | memoryview) -> Re2Match | None: ...
    def finditer(self, text: bytes) -> Iterator[Re2Match]: ...


class Re2Set(Protocol):
    """A set of google-re2: which of its patterns match, by number."""

    def Match(self, text: bytes) -> Sequence[int] | None: ...  # noqa: N802  # its name there


class Re2Options(Protocol):
    """google-re2's options. `max_mem`: bytes for a pattern's program and automata."""

    max_mem: int


class CompiledPattern(NamedTuple):
    """`regexp`, and the max_mem, in bytes, at which it compiled."""

    regexp: Re2Pattern
    max_mem: int


def options(max_mem: int, *, captures: bool = False) -> Re2Options:
    """google-re2 options as everything here uses them."""
    made = re2.Options()
    made.encoding = re2.Options.Encoding.LATIN1
    made.log_errors = False
    made.never_capture = not captures
    made.max_mem = max_mem
    return made  # type: ignore[no-any-return]


def compile_pattern(pattern: bytes, *, captures: bool = False, least: int = 0) -> CompiledPattern:
    """Compile a latin-1 pattern, with at least `least` bytes of max_mem.

    Raises re2.error if it is no regex, or does not fit in the last of MAX_MEM_STEPS.
    """
    for max_mem in (max(least, step) for step in MAX_MEM_STEPS[:-1]):
        try:
            # not re2.compile: its cache holds 128 patterns, a pack has more
            regexp = re2._Regexp(pattern, options(max_mem, captures=captures))
            return CompiledPattern(regexp, max_mem)
        except re2.error:
            continue
    most = MAX_MEM_STEPS[-1]
    return CompiledPattern(re2._Regexp(pattern, options(most, captures=captures)), most)


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
