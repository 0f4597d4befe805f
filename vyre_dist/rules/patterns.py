"""Patterns: every pattern of a pack, parsed once. Loaders check with it, the pack keeps the parses.

The syntax is in regex/; google-re2 objects are made in search.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vyre_dist import regex as rx


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a pattern is refused. `offset`: characters into the pattern, from 0.

    `unsupported`: it is sound, but RE2's syntax cannot say it.
    """

    offset: int
    reason: str
    unsupported: bool = False


UNSUPPORTED_REGEX = "a regex that RE2's syntax cannot say"


class Patterns:
    """Parses patterns and remembers the outcome."""

    def __init__(self) -> None:
        self._known: dict[str, rx.Regex | Fault] = {}

    def check(self, pattern: str) -> Fault | None:
        """None when the pattern is fine."""
        known = self._known.get(pattern)
        if known is None:
            known = self._known[pattern] = _parse(pattern)
        return known if isinstance(known, Fault) else None

    def parsed(self, pattern: str) -> rx.Regex | None:
        """The parse; None for a pattern at fault."""
        self.check(pattern)
        known = self._known[pattern]
        return None if isinstance(known, Fault) else known


def _parse(pattern: str) -> rx.Regex | Fault:
    try:
        regex = rx.parse(pattern)
        # a repeat that RE2 has no words for shows only here
        rx.to_re2(regex)
    except rx.RegexSyntaxError as error:
        return Fault(error.column - 1, error.reason, error.unsupported)
    except rx.RepeatRewriteError as error:
        return Fault(0, str(error), unsupported=True)
    return regex
