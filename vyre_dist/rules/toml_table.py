"""Typed reading of TOML tables: a wrong value is an error with its position, never an exception.

Spellings of keys are folded, so that both dialects share one reader: `secretGroup` and
`secretgroup` are one key, as in gitleaks; in our own dialect `secret_group` is, too. What the keys
mean is in toml_pack.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vyre_dist.rules.diagnostics import Diagnostic, Diagnostics
from vyre_dist.rules.model import Origin
from vyre_dist.rules.patterns import UNSUPPORTED_REGEX, Patterns
from vyre_dist.rules.toml_spots import TomlPath, TomlSpots

_KINDS = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "a table",
}


def kind(value: object) -> str:
    """The TOML name of a value's type, for messages."""
    return _KINDS.get(type(value), f"a {type(value).__name__}")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """What reading one file needs: its name, its spots, where to report, every pattern so far.

    `snake_case`: keys may be written with underscores.
    """

    file: str
    spots: TomlSpots
    diagnostics: Diagnostics
    patterns: Patterns
    snake_case: bool

    def fold(self, key: str) -> str:
        """The spelling that keys are compared by."""
        return (key.replace("_", "") if self.snake_case else key).lower()


class Table:
    """One table of a TOML file. Each getter marks its key as known; `unknown_keys` are the rest."""

    def __init__(
        self, source: TomlFile, raw: Mapping[str, object], path: TomlPath, rule_id: str = ""
    ) -> None:
        self.source = source
        self.path = path
        self.rule_id = rule_id
        self._raw = raw
        self._keys: dict[str, str] = {}
        self._known: dict[str, str] = {}
        for key in raw:
            first = self._keys.setdefault(self.source.fold(key), key)
            if first != key:
                self.error(
                    f"{key!r} and {first!r} are the same key", key=key, hint="keep one of them"
                )

    @property
    def origin(self) -> Origin:
        """Where the table starts."""
        return Origin(self.source.file, self.source.spots.line_column(self.path)[0])

    def has(self, name: str) -> bool:
        """Whether the key is there, whatever its value."""
        self._known[self.source.fold(name)] = name
        return self.source.fold(name) in self._keys

    def is_set(self, name: str) -> bool:
        """Whether the key has a value other than false, zero or empty."""
        return bool(self._get(name))

    def unknown_keys(self) -> Iterable[tuple[str, str]]:
        """(key as written, hint) of every key that nothing asked for."""
        for folded, key in self._keys.items():
            if folded not in self._known:
                close = difflib.get_close_matches(folded, self._known, n=1)
                yield key, f"did you mean {self._known[close[0]]!r}?" if close else ""

    def text(self, name: str) -> str:
        """A string, empty when absent."""
        value = self._get(name)
        if value is None or isinstance(value, str):
            return value or ""
        self._wrong(name, "a string", value)
        return ""

    def integer(self, name: str, *, least: int = 0) -> int | None:
        """An integer of at least `least`, None when absent."""
        value = self._get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            self._wrong(name, "an integer", value)
        elif value < least:
            self.error(f"{name} is {value}", key=name, hint=f"it must be at least {least}")
        else:
            return value
        return None

    def number(self, name: str) -> float | None:
        """A finite number of at least 0, None when absent."""
        value = self._get(name)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            self._wrong(name, "a number", value)
        elif not 0 <= value < float("inf"):
            self.error(
                f"{name} is {value}", key=name, hint="it must be a number that is not negative"
            )
        else:
            return float(value)
        return None

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean."""
        value = self._get(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self._wrong(name, "true or false", value)
        return default

    def texts(self, name: str, *, empty_ok: bool = False) -> tuple[str, ...]:
        """A list of strings; empty strings are errors unless `empty_ok`."""
        value = self._get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            self._wrong(name, "a list of strings", value)
            return ()
        good = []
        for index, item in enumerate(value):
            if not isinstance(item, str):
                self.error(
                    f"{name}[{index}] is {kind(item)}", key=name, index=index, hint="write a string"
                )
            elif not item and not empty_ok:
                self.error(f"{name}[{index}] is empty", key=name, index=index, hint="leave it out")
            else:
                good.append(item)
        return tuple(good)

    def tables(self, name: str) -> list[Table]:
        """Sub-tables: a list of tables, or a single one."""
        value = self._get(name)
        if value is None:
            return []
        path = (*self.path, self._keys[self.source.fold(name)])
        if isinstance(value, dict):
            return [Table(self.source, value, path, self.rule_id)]
        if not isinstance(value, list):
            self._wrong(name, "a list of tables", value)
            return []
        good = []
        for index, item in enumerate(value):
            if isinstance(item, dict):
                good.append(Table(self.source, item, (*path, index), self.rule_id))
            else:
                self.error(
                    f"{name}[{index}] is {kind(item)}", key=name, index=index, hint="write a table"
                )
        return good

    def pattern(self, name: str, flags: str = "") -> str | None:
        """A regex, checked; None when absent or empty. `flags` are put before it as `(?flags)`."""
        value = self.text(name)
        if not value:
            return None
        pattern = f"(?{flags}){value}" if flags else value
        self._check(pattern, value, name, None)
        return pattern

    def patterns(self, name: str) -> tuple[str, ...]:
        """A list of regexes, checked."""
        good = self.texts(name)
        value = self._get(name)
        for index, item in enumerate(value if isinstance(value, list) else ()):
            if isinstance(item, str) and item:
                self._check(item, item, name, index)
        return good

    def error(
        self, message: str, *, key: str = "", index: int | None = None, hint: str = ""
    ) -> None:
        """Report an error at this table, at one of its keys, or at an element of a key's list."""
        self.source.diagnostics.errors.append(self._describe(message, key, index, hint))

    def unsupported(self, what: str, message: str, *, key: str = "", hint: str = "") -> None:
        """Report something sound that does not exist here, `what` in a few words."""
        self.source.diagnostics.errors.append(self._describe(message, key, None, hint, what))

    def warn(self, message: str, *, key: str = "", hint: str = "") -> None:
        """Report something that is odd but does no harm."""
        self.source.diagnostics.warnings.append(self._describe(message, key, None, hint))

    def _describe(
        self, message: str, key: str, index: int | None, hint: str, unsupported: str = ""
    ) -> Diagnostic:
        line, column = self.source.spots.line_column(self._key_path(key, index))
        return Diagnostic(self.source.file, line, column, self.rule_id, message, hint, unsupported)

    def _key_path(self, key: str, index: int | None) -> TomlPath:
        written = key if key in self._raw else self._keys.get(self.source.fold(key), key)
        path = (*self.path, written) if key else self.path
        return path if index is None else (*path, index)

    def _get(self, name: str) -> object:
        return self._raw[self._keys[self.source.fold(name)]] if self.has(name) else None

    def _wrong(self, name: str, wanted: str, value: object) -> None:
        self.error(f"{name} is {kind(value)}", key=name, hint=f"it must be {wanted}")

    def _check(self, pattern: str, written: str, name: str, index: int | None) -> None:
        fault = self.source.patterns.check(pattern)
        if fault is None:
            return
        offset = max(0, fault.offset - (len(pattern) - len(written)))
        line, column = self.source.spots.line_column_in(
            self._key_path(name, index), written, offset
        )
        what = name if index is None else f"{name}[{index}]"
        message = f"{what}, column {offset + 1}: {fault.reason}"
        unsupported = UNSUPPORTED_REGEX if fault.unsupported else ""
        self.source.diagnostics.errors.append(
            Diagnostic(self.source.file, line, column, self.rule_id, message, "", unsupported)
        )
