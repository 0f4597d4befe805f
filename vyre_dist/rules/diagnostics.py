"""What can be wrong with a rule pack, told all at once and with the place in the file.

Here: Diagnostic, the error that carries all of them, and the collector that loaders report to. What
counts as a problem is decided by the loaders.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vyre_dist.errors import UsageError
from vyre_dist.rules.left_out import LeftOut

TOO_DEEP = "lists or tables are nested too deep to be read"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong (or, in a list of warnings, odd) in a pack.

    `line` and `column` count from 1, characters in the file; 0 when not known. `rule_id` is empty
    for what belongs to no rule, and `#3` for the third rule of a file when it has no id. `hint`
    says how to fix it, where that is not plain. `unsupported`: what of the rule does not exist
    here, in a few words, where the rule is sound otherwise; such a rule can be left out (see
    left_out.py).
    """

    file: str
    line: int
    column: int
    rule_id: str
    message: str
    hint: str = ""
    unsupported: str = ""

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

    def __init__(self, problems: Iterable[Diagnostic]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem in the rule pack" if count == 1 else f"{count} problems in the rule pack"
        lines = [f"{head}:", *(f"  {problem}" for problem in self.problems)]
        if all(problem.unsupported for problem in self.problems):
            lines.append(
                "To go on without what is named here, use --skip-unsupported (in Python: "
                "skip_unsupported=True)"
            )
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type[PackError], tuple[tuple[Diagnostic, ...]]]:
        # the default passes the message back to __init__
        return (type(self), (self.problems,))


class Diagnostics:
    """Collects problems and warnings while files are read, so that one run tells everything.

    `skip_unsupported`: rules that hold what does not exist here are left out, and listed in
    `left_out`.
    """

    def __init__(self, *, skip_unsupported: bool = False) -> None:
        self.problems: list[Diagnostic] = []
        self.warnings: list[Diagnostic] = []
        self.left_out: list[LeftOut] = []
        self.skip_unsupported = skip_unsupported

    def take_unsupported(self, start: int) -> tuple[Diagnostic, ...]:
        """Take back, of the problems from number `start` on, those that only say what is not
        supported.

        Whoever reads a rule or a file keeps them with it: they count only if it is used in the end.
        """
        taken = tuple(problem for problem in self.problems[start:] if problem.unsupported)
        self.problems[start:] = [
            problem for problem in self.problems[start:] if not problem.unsupported
        ]
        return taken

    def raise_if_any(self) -> None:
        """Raise PackError when a problem was reported; file by file, each in line order."""
        if self.problems:
            files = list(dict.fromkeys(problem.file for problem in self.problems))
            raise PackError(
                sorted(self.problems, key=lambda p: (files.index(p.file), p.line, p.column))
            )
