"""TomlSpots: the line and column of everything in a TOML file, which tomllib does not tell.

It scans text that tomllib has accepted, so it checks nothing. It follows TOML's grammar just far
enough to know which key a value belongs to: headers, arrays of tables, inline tables, four kinds of
strings, comments.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

# ("rules", 3, "allowlists", 0, "regexes", 2): names as written, indexes into arrays
TomlPath = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}\n#]+")
_STRINGS = (
    # ends of a multi-line string may have up to two more quotes that belong to its content
    ('"""', re.compile(r'"""(?:\r?\n)?((?:[^"\\]|\\.|"{1,2}(?!"))*"{0,2})"""', re.S)),
    ("'''", re.compile(r"'''(?:\r?\n)?((?:[^']|'{1,2}(?!'))*'{0,2})'''", re.S)),
    ('"', re.compile(r'"((?:[^"\\]|\\.)*)"')),
    ("'", re.compile(r"'([^']*)'")),
)


@dataclass(frozen=True, slots=True)
class Spot:
    """Character offsets: of a header, key or element, and of a string's content (-1: none)."""

    start: int
    content: int = -1


class TomlSpots:
    """The spots of all tables, keys and elements of a TOML text, whose lines end in `\\n`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line_starts = [0, *(m.end() for m in re.finditer("\n", text))]
        self._spots: dict[TomlPath, Spot] = {}
        self._table_counts: dict[TomlPath, int] = {}
        self._pos = 0
        self._document()

    def line_column(self, path: TomlPath) -> tuple[int, int]:
        """(line, column) of `path` or the nearest thing around it, from 1; (0, 0): the document."""
        spot = self._nearest(path)
        return (0, 0) if spot is None else self._at_offset(spot.start)

    def line_column_in(self, path: TomlPath, value: str, index: int) -> tuple[int, int]:
        """(line, column) of value[index] in the string at `path`; of `path` if it has escapes."""
        spot = self._spots.get(path)
        if spot is None or spot.content < 0 or not self._text.startswith(value, spot.content):
            return self.line_column(path)
        return self._at_offset(spot.content + index)

    def _nearest(self, path: TomlPath) -> Spot | None:
        for length in range(len(path), 0, -1):
            spot = self._spots.get(path[:length])
            if spot is not None:
                return spot
        return None

    def _at_offset(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def _document(self) -> None:
        table: TomlPath = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text[self._pos] == "[":
                table = self._header()
            else:
                self._key_value(table)

    def _header(self) -> TomlPath:
        start = self._pos
        array = self._text.startswith("[[", start)
        self._pos += 2 if array else 1
        names = self._dotted_key()
        self._pos += 2 if array else 1
        path: TomlPath = ()
        for name in names[:-1]:
            path = self._current((*path, name))
        path = (*path, names[-1])
        if array:
            self._spots.setdefault(path, Spot(start))
            count = self._table_counts.get(path, 0)
            self._table_counts[path] = count + 1
            path = (*path, count)
        self._spots[path] = Spot(start)
        return path

    def _current(self, path: TomlPath) -> TomlPath:
        count = self._table_counts.get(path)
        return path if count is None else (*path, count - 1)

    def _key_value(self, table: TomlPath) -> None:
        start = self._pos
        path: TomlPath = table
        for name in self._dotted_key():
            path = (*path, name)
        self._pos += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path, start)

    def _dotted_key(self) -> list[str]:
        names = []
        while True:
            self._skip(_SPACE)
            string = self._string()
            if string is not None:
                names.append(self._text[string[0] : string[1]])
            else:
                start = self._pos
                names.append(self._text[start : self._skip(_BARE_KEY)])
            self._skip(_SPACE)
            if self._text[self._pos] != ".":
                return names
            self._pos += 1

    def _value(self, path: TomlPath, start: int) -> None:
        string = self._string()
        if string is not None:
            self._spots[path] = Spot(start, string[0])
            return
        self._spots[path] = Spot(start)
        opening = self._text[self._pos]
        if opening == "[":
            self._pos += 1
            index = 0
            while self._text[self._skip(_BLANK)] != "]":
                self._value((*path, index), self._pos)
                index += 1
                if self._text[self._skip(_BLANK)] == ",":
                    self._pos += 1
            self._pos += 1
        elif opening == "{":
            self._pos += 1
            while self._text[self._skip(_BLANK)] != "}":
                self._key_value(path)
                if self._text[self._skip(_BLANK)] == ",":
                    self._pos += 1
            self._pos += 1
        else:
            self._skip(_BARE_VALUE)

    def _string(self) -> tuple[int, int] | None:
        """Step over a string, if one starts here: (start, end) of its raw content."""
        for quote, pattern in _STRINGS:
            if self._text.startswith(quote, self._pos):
                found = self._match(pattern)
                self._pos = found.end()
                return found.span(1)
        return None

    def _skip(self, pattern: re.Pattern[str]) -> int:
        self._pos = self._match(pattern).end()
        return self._pos

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self._text, self._pos)
        if found is None:
            raise AssertionError(
                f"not TOML at offset {self._pos}: the text must have been parsed before"
            )
        return found
