"""Exit codes of every command, as documented in the README."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class ExitCode(IntEnum):
    """How a command ended, for the shell."""

    CLEAN = 0
    """Everything was scanned, nothing was found."""
    FINDINGS = 1
    """Everything was scanned, something was found."""
    USAGE = 2
    """Bad options, bad rules, or resources that do not exist; nothing was scanned."""
    INCOMPLETE = 3
    """Some input could not be scanned to its end (it is listed), an audit found something else, or
    the results could not be written. There may be findings.
    """
    INTERRUPTED = 130
    """Ctrl-C. Standard output keeps what was written, output files are left as they were. (Another
    signal N gives 128 + N.)
    """

    @classmethod
    def of(cls, *, complete: bool, found: int) -> ExitCode:
        """The code of a scan with `found` findings. `complete`: all inputs were scanned, and all
        outputs and messages were written.
        """
        if not complete:
            return cls.INCOMPLETE
        return cls.FINDINGS if found else cls.CLEAN


class Ended(NamedTuple):
    """How a command ended. `code`: its exit code. `findings_succeed`: where that is FINDINGS, the
    process ends with 0, for who takes any other code for a failure.
    """

    code: int
    findings_succeed: bool = False
