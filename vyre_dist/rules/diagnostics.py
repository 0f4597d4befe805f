"""What is wrong with a rule pack: all of it at once, each with its line and column in the file.

Here: Diagnostic, the error that carries all of them, and the collection that readers add to. The
readers decide what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vyre_dist.errors import UsageError
from vyre_dist.rules.left_out import LeftOut

TOO_DEEP = "lists or tables are nested too deep to be read"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong in a pack, or, in a list of warnings, odd.

    `line` and `column` count characters from 1; 0 where they are not known. `rule_id`: empty for
    what belongs to no rule, `#3` for the third rule of a file if that has no id. `hint`: how to fix
    it, where that is not plain. `unsupported`: what of a sound rule does not exist here, in a few
    words; such a rule can be left out (see left_out.py).
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
    """A rule pack cannot be used. `diagnostics`: all that is wrong with it, in file order."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        count = len(self.diagnostics)
        head = "1 problem in the rule pack" if count == 1 else f"{count} problems in the rule pack"
        lines = [f"{head}:", *(f"  {one}" for one in self.diagnostics)]
        if all(one.unsupported for one in self.diagnostics):
            lines.append(
                "To go on without what is named here, use --skip-unsupported (in Python: "
                "skip_unsupported=True)"
            )
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type[PackError], tuple[tuple[Diagnostic, ...]]]:
        # the default passes the message back to __init__
        return (type(self), (self.diagnostics,))


class Diagnostics:
    """Collects errors and warnings while files are read, so that one run tells all of them.

    `skip_unsupported`: rules that hold what does not exist here are left out, and listed in
    `left_out`; else they are errors.
    """

    def __init__(self, *, skip_unsupported: bool = False) -> None:
        self.errors: list[Diagnostic] = []
        self.warnings: list[Diagnostic] = []
        self.left_out: list[LeftOut] = []
        self.skip_unsupported = skip_unsupported

    def take_unsupported(self, start: int) -> tuple[Diagnostic, ...]:
        """Take back, of the errors from number `start` on, those that are only unsupported.

        Whoever reads a rule or a file keeps them with it: they count only if it is used in the end.
        """
        taken = tuple(error for error in self.errors[start:] if error.unsupported)
        self.errors[start:] = [error for error in self.errors[start:] if not error.unsupported]
        return taken

    def raise_if_any(self) -> None:
        """Raise PackError if there are errors: file by file, each in line order."""
        if self.errors:
            files = list(dict.fromkeys(error.file for error in self.errors))
            raise PackError(
                sorted(self.errors, key=lambda e: (files.index(e.file), e.line, e.column))
            )
