"""What the paths of an arena's rows decide by themselves: the findings of rules that have only one.

Rows without names of their own are numbered. Whether a rule can match any such path is worked out
once, so that a million paths need not be written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vyre_dist.document_paths import written_path, written_paths
from vyre_dist.rules.filters import CompiledFilters
from vyre_dist.rules.model import PackData

if TYPE_CHECKING:
    from vyre_dist.extract.automaton import Automaton

_DIGITS = b"0123456789"


class RowPaths(Protocol):
    """The paths of an arena's rows, as findings have them."""

    def of(self, row: int) -> str: ...
    def all(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class NamedRows:
    """Rows that have paths of their own: `paths`, as they are given. Few of them are asked for."""

    paths: list[str]

    def of(self, row: int) -> str:
        """See RowPaths."""
        return written_path(self.paths[row])

    def all(self) -> list[str]:
        """See RowPaths."""
        return written_paths(self.paths)

    def part(self, low: int, high: int) -> NamedRows:
        """Those of the rows [low, high)."""
        return NamedRows(self.paths[low:high])


@dataclass(frozen=True, slots=True)
class NumberedRows:
    """Rows that are called `head`, a number, `tail`."""

    head: str
    tail: str
    numbers: Sequence[int]

    def of(self, row: int) -> str:
        """See RowPaths."""
        return f"{self.head}{self.numbers[row]}{self.tail}"

    def all(self) -> list[str]:
        """See RowPaths."""
        return [self.of(row) for row in range(len(self.numbers))]

    def part(self, low: int, high: int) -> NumberedRows:
        """Those of the rows [low, high)."""
        return NumberedRows(self.head, self.tail, self.numbers[low:high])


class PathRules:
    """The rules of a pack that have only a path. `numbers`: theirs."""

    def __init__(self, pack: PackData, filters: CompiledFilters) -> None:
        self.numbers = [i for i, rule in enumerate(pack.rules) if rule.regex is None]
        self._patterns = [pack.rules[i].path or "" for i in self.numbers]
        self._filters = filters
        self._may_match: dict[tuple[str, str], bool] = {}

    def reported(self, paths: RowPaths) -> Iterator[tuple[int, int]]:
        """(row, rule) of each finding in rows with these paths."""
        if not self.numbers or (isinstance(paths, NumberedRows) and not self._may_report(paths)):
            return
        names = paths.all()
        shared = self._filters.folder_decision("", names)
        if shared is not None and not any(map(shared.applies.__getitem__, self.numbers)):
            return
        for row, name in enumerate(names):
            decision = shared or self._filters.path_decision(name)
            for rule in self.numbers:
                if decision.applies[rule]:
                    yield row, rule

    def _may_report(self, paths: NumberedRows) -> bool:
        key = paths.head, paths.tail
        known = self._may_match.get(key)
        if known is None:
            head, tail = (text.encode("utf-8", "surrogateescape") for text in key)
            known = self._may_match[key] = any(
                automaton is None or automaton.may_find(head, _DIGITS, tail)
                for automaton in map(_automaton, self._patterns)
            )
        return known


def _automaton(pattern: str) -> Automaton | None:
    # both take longer to import than a small scan to run
    from vyre_dist import regex as rx
    from vyre_dist.extract.automaton import Automaton

    return Automaton.of(rx.to_re2(rx.parse(pattern)))
