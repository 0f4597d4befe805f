"""The errors of patterns: a syntax that is refused, or a repeat that RE2's syntax cannot say.

The error types and their text live here. They are raised in parser.py, lexer.py and repeats.py.
"""

from __future__ import annotations

from vyre_dist.errors import VyreError

_CONTEXT = 60


class RegexSyntaxError(VyreError):
    """A pattern that the parser refuses.

    Attributes: `pattern` (bytes, as the parser saw it), `position` (0-based byte offset into it),
    `column` (1-based, in characters of the pattern as it was given), `reason` (one phrase),
    `unsupported` (whether other engines know that syntax).
    """

    def __init__(
        self, pattern: bytes, position: int, column: int, reason: str, unsupported: bool = False
    ) -> None:
        self.pattern = pattern
        self.position = position
        self.column = column
        self.reason = reason
        self.unsupported = unsupported
        super().__init__(f"{reason} (column {column})\n{_caret_lines(pattern, position)}")

    def __reduce__(self) -> tuple[type[RegexSyntaxError], tuple[bytes, int, int, str, bool]]:
        return type(self), (self.pattern, self.position, self.column, self.reason, self.unsupported)


class RepeatRewriteError(VyreError):
    """A repeat beyond RE2's limits that has no RE2 equivalent with the same matches and groups.

    Attributes: `minimum`, `maximum` (the repeat's bounds), `limit` (RE2's own), `reason`.
    """

    def __init__(self, minimum: int, maximum: int | None, limit: int, reason: str) -> None:
        self.minimum = minimum
        self.maximum = maximum
        self.limit = limit
        self.reason = reason
        bounds = f"{{{minimum},{'' if maximum is None else maximum}}}"
        super().__init__(
            f"repeat {bounds} exceeds RE2's limit of {limit} copies and cannot be split: {reason}; "
            f"make its capture groups non-capturing, or repeat at most {limit} times"
        )

    def __reduce__(self) -> tuple[type[RepeatRewriteError], tuple[int, int | None, int, str]]:
        return type(self), (self.minimum, self.maximum, self.limit, self.reason)


def _caret_lines(pattern: bytes, position: int) -> str:
    """The pattern's line around `position`, with a caret below the offending byte.

    UTF-8 is shown as text, one column a character; anything unprintable is shown as a dot.
    """
    start = pattern.rfind(b"\n", 0, position) + 1
    end = pattern.find(b"\n", position)
    line = pattern[start : len(pattern) if end < 0 else end]
    before, after = _printable(line[: position - start]), _printable(line[position - start :])
    if len(before) > _CONTEXT:
        before = "..." + before[-_CONTEXT:]
    if len(after) > _CONTEXT:
        after = after[:_CONTEXT] + "..."
    return f"    {before}{after}\n    {' ' * len(before)}^"


def _printable(line: bytes) -> str:
    text = line.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "." for c in text)
