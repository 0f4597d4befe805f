"""Console: what a scan tells the person who started it, on standard error, while findings go
elsewhere.

It keeps messages, the progress bar and findings out of each other's way where they share a
terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vyre_dist.driver.plan import Plan
    from vyre_dist.driver.totals import Totals
    from vyre_dist.sources import InputProblem

_OUT, _ERR = 1, 2

# formats whose end lists what was not scanned
_NAMING = frozenset({"human", "jsonl", "sarif", "parquet", "report"})


class Console:
    """Messages and progress. `close` takes the bar away; it may be called twice.

    Standard error may be closed, or full, or lose its reader: that ends no scan, but `lost` says
    that not all was said.
    """

    def __init__(self, progress: str, outputs: Sequence[tuple[str, str]]) -> None:
        """`progress`: one of sinks.progress.STYLES, or never. `outputs`: (format, destination); the
        report is one, too.
        """
        from vyre_dist.sinks import open_progress

        self._progress = open_progress(style=progress) if progress != "never" else None
        self._shared = sys.stdout.isatty() and sys.stderr.isatty()
        self._named_by = _naming_format(outputs)
        self._problems = 0
        self.lost = False

    def say(self, message: str) -> None:
        """Print a line, with nothing in it that could steer a terminal."""
        from vyre_dist.sinks.text import visible

        line = f"vyre-dist: {visible(message)}"
        try:
            if self._progress is not None:
                self._progress.message(line)
            else:
                sys.stderr.write(line + "\n")
                sys.stderr.flush()
        except OSError:
            self._lose()
            self.lost = True

    @property
    def summed_up_here(self) -> bool:
        """Whether the summary for people comes where messages are shown."""
        return self._named_by == "human" and _one_place()

    def problem(self, problem: InputProblem) -> None:
        """Name an input that was not scanned, unless the end of what goes to a standard stream
        does.
        """
        self._problems += 1
        if self._named_by is None:
            self.say(
                f"not scanned: {problem.path or repr('')}: {problem.reason} ({problem.detail})"
            )

    def given_up(self, why: str) -> None:
        """Say that the scan did not come to its end; why, unless the summary for people says so."""
        self.say("the scan was given up" + ("" if self._named_by == "human" else f": {why}"))

    def point_to_problems(self) -> None:
        """Where the problems are named on another stream than this, say that there are some."""
        if self._named_by is not None and self._problems and not _one_place():
            number = "1 input was" if self._problems == 1 else f"{self._problems:,} inputs were"
            self.say(f"{number} not scanned to the end; the end of the output says which")

    def writing(self) -> AbstractContextManager[None]:
        """To be held while findings are written: takes the bar off the terminal if they go to the
        same one.
        """
        return (
            self._progress.aside() if self._progress is not None and self._shared else nullcontext()
        )

    def update(self, totals: Totals, plan: Plan) -> None:
        """Show how far the scan is."""
        if self._progress is None:
            return
        from vyre_dist.sinks.progress import Counts

        try:
            self._progress.update(
                Counts(
                    totals.bytes,
                    totals.documents,
                    documents_total=plan.documents - totals.skipped if plan.ended else None,
                    findings=totals.findings,
                    commit_rate_pct=totals.commit_rate_pct,
                )
            )
        except OSError:
            self._lose()
            self._progress = None  # nobody sees it; that is no loss

    def close(self, *, ended: bool = False) -> None:
        """Take the bar away, or write the last line of progress of a scan that `ended`."""
        progress, self._progress = self._progress, None
        if progress is not None:
            try:
                progress.close(ended=ended)
            except OSError:
                self._lose()
                self.lost = self.lost or ended

    @staticmethod
    def _lose() -> None:
        from vyre_dist.sinks.output import lose

        lose(sys.stderr)


def _naming_format(outputs: Sequence[tuple[str, str]]) -> str | None:
    """The format that names problems on standard output or standard error; None if none does, or
    nobody sees it.
    """
    from vyre_dist.sinks.output import STDOUT, identity

    streams = {STDOUT: _OUT, f"/dev/fd/{_ERR}": _ERR}
    for form, destination in outputs:
        number = streams.get(identity(destination))
        if number is not None and form in _NAMING and not _goes_nowhere(number):
            return form
    return None


def _goes_nowhere(number: int) -> bool:
    """Whether what is written to this descriptor is dropped, or it was closed (see main.py)."""
    try:
        return os.path.samestat(os.fstat(number), os.stat(os.devnull))
    except OSError:
        return True


def _one_place() -> bool:
    """Whether standard output and standard error are the same terminal, pipe or file."""
    try:
        return os.path.samestat(os.fstat(_OUT), os.fstat(_ERR))
    except OSError:
        return False
