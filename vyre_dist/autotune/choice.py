"""Choice: what a tuner chose, by name. What a name means is known where it is consumed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from vyre_dist.errors import UsageError

MAX_NAMES = 32
MAX_VALUE_CHARS = 64
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")
_INTS = range(-(2**63), 2**63)

Value = int | str


@dataclass(frozen=True, slots=True)
class Choice:
    """An immutable map of short names to int or str, sorted by name. The empty one is the default.

    Names that nobody here knows are kept. Raises UsageError for names and values that no choice
    can have, as they may come from a shared server.
    """

    pairs: tuple[tuple[str, Value], ...] = ()

    def __post_init__(self) -> None:
        names = [name for name, _ in self.pairs]
        if len(names) > MAX_NAMES or names != sorted(set(names)):
            raise UsageError(
                f"a choice has at most {MAX_NAMES} names, each once and sorted, found "
                f"{names!r:.200}"
            )
        for name, value in self.pairs:
            if not _NAME.match(name):
                raise UsageError(
                    f"a choice's name is 1 to 32 of a-z, 0-9 and _, a letter first, found "
                    f"{name!r:.60}"
                )
            if type(value) is str:
                fits = len(value) <= MAX_VALUE_CHARS and value.isprintable()
            else:
                fits = type(value) is int and value in _INTS
            if not fits:
                raise UsageError(
                    f"{name} of a choice must be an int of 64 bits or at most {MAX_VALUE_CHARS} "
                    f"printable characters, found {value!r:.100}"
                )

    @classmethod
    def of(cls, **values: Value) -> Choice:
        return cls.from_plain(values)

    @classmethod
    def from_plain(cls, values: object) -> Choice:
        """The choice of a map of names to values. Raises UsageError for anything else."""
        if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
            raise UsageError(f"a choice must be a map of names, found {values!r:.100}")
        return cls(tuple(sorted(values.items(), key=lambda pair: pair[0])))

    def plain(self) -> dict[str, Value]:
        return dict(self.pairs)

    def get(self, name: str) -> Value | None:
        """What is chosen for `name`; None where that is left as it is by default."""
        return self.plain().get(name)

    def changed(self, **values: Value) -> Choice:
        """This choice with other values for some names."""
        return self.from_plain(self.plain() | values)

    @property
    def is_default(self) -> bool:
        return not self.pairs

    @property
    def digest(self) -> str:
        """16 hex digits that tell it from other choices."""
        text = "\n".join(f"{name}={value!r}" for name, value in self.pairs)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.pairs) or "default"


DEFAULT_CHOICE = Choice()
