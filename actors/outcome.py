"""How a job tells the one who submitted it that it came to its end, and how.

Ray's exit code of a job's driver is no proof: a driver that Ray ends, or Python can't start, ends
with 1, as one that found something. So a driver says its code itself, when its report is complete,
in a line of its log that no document can forge.
"""

from __future__ import annotations

import contextlib
import os
import sys

VARIABLE = "VYRE_DIST_OUTCOME"
"""Holds the word that the line is to have: for the one process that has this variable."""


def tell(code: int) -> None:
    """Write the line, if somebody asked for it.

    Where it can't be written, whoever reads the log does not believe the code.
    """
    if word := os.environ.get(VARIABLE):
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{_start(word)}{code}{_END}")
            sys.stderr.flush()


class OutcomeReader:
    """Finds the line in a log that comes in pieces. `code` is what it said, None so far."""

    def __init__(self, word: str) -> None:
        self._start = _start(word)
        self._held = ""
        self.code: int | None = None

    def feed(self, text: str) -> str:
        """The log that came by now, without the line, and without what may yet be its beginning."""
        before, start, behind = (self._held + text).partition(self._start)
        if not start:
            # as much of its end as may be the line's beginning
            held = next(
                n for n in range(len(self._start), -1, -1) if before.endswith(self._start[:n])
            )
            self._held = before[len(before) - held :]
            return before[: len(before) - held]
        code, end, rest = behind.partition(_END)
        if not end:
            self._held = start + behind
            return before
        self.code, self._held = int(code), ""
        return before + self.feed(rest)

    def rest(self) -> str:
        """What was held back, of a log that has come to its end."""
        held, self._held = self._held, ""
        return held


def _start(word: str) -> str:
    return f"[vyre-dist {word}: exit code "


_END = "]\n"
