"""What can be wrong with a rule pack, told all at once and with the place in the file.

Here: Problem, the error that carries all of them, and the collector that loaders report to. What counts as a
problem is decided by the loaders.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vyre_dist.errors import UsageError

TOO_DEEP = "lists or tables are nested too deep to be read"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong (or, in a list of warnings, odd) in a pack.

    `line` and `column` count from 1, characters in the file; 0 when not known. `rule_id` is empty for what
    belongs to no rule, and `#3` for the third rule of a file when it has no id. `hint` says how to fix it,
    where that is not plain.
    """

    file: str
    line: int
    column: int
    rule_id: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = self.file or "pack"
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        rule = f" rule {self.rule_id!r}:" if self.rule_id else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}:{rule} {self.message}{hint}"


class PackError(UsageError):
    """A rule pack cannot be used. `problems`: everything that is wrong with it, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem in the rule pack" if count == 1 else f"{count} problems in the rule pack"
        super().__init__("\n".join([f"{head}:", *(f"  {problem}" for problem in self.problems)]))

    def __reduce__(self) -> tuple[type[PackError], tuple[tuple[Problem, ...]]]:
        # the default passes the message back to __init__
        return (type(self), (self.problems,))


class Report:
    """Collects problems and warnings while files are read, so that one run tells everything."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def raise_if_any(self) -> None:
        """Raise PackError when a problem was reported; file by file, each in line order."""
        if self.problems:
            files = list(dict.fromkeys(problem.file for problem in self.problems))
            raise PackError(sorted(self.problems, key=lambda p: (files.index(p.file), p.line, p.column)))
