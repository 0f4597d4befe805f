"""Console: what a scan tells the person who started it, on standard error.

It keeps messages, the progress bar and findings apart where they share a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from vyre_dist.cli import log
from vyre_dist.sinks.destination import STDOUT, Destination
from vyre_dist.sinks.formats import OUTPUT_FORMATS, REPORT, OutputFormat

if TYPE_CHECKING:
    from vyre_dist.driver.plan import Plan
    from vyre_dist.driver.totals import Totals
    from vyre_dist.input_problem import InputProblem

_OUT, _ERR = 1, 2


class Console:
    """The command's RunObserver: messages and progress. `close` may be called twice.

    Standard error may be closed, or full, or lose its reader. That ends no scan, but sets `lost`:
    not all messages were written.
    """

    def __init__(self, progress: str, outputs: Sequence[Destination]) -> None:
        """`progress`: one of sinks.progress.STYLES, or never. `outputs`: the report is one, too."""
        from vyre_dist.sinks.progress import open_progress

        style = "json" if log.is_json() else progress
        self._progress = open_progress(style=style) if progress != "never" else None
        self._shared = sys.stdout.isatty() and sys.stderr.isatty()
        self._named_by = _naming_format(outputs)
        self._problems = self._differing = 0
        self._store_told = False
        self.lost = False

    def say(self, message: str, kind: str = "", **facts: object) -> None:
        """Print a line, with nothing in it that could steer a terminal. `kind`, `facts`: see
        cli/log.py.
        """
        line = log.line(message, kind, **facts)
        try:
            if self._progress is not None:
                self._progress.message(line)
            else:
                sys.stderr.write(line + "\n")
                sys.stderr.flush()
        except OSError:
            self._drop_stderr()
            self.lost = True

    def problem(self, problem: InputProblem) -> None:
        """Name an input that was not scanned, unless an output on a standard stream will, and
        nobody collects the log.
        """
        from vyre_dist.sinks.text import visible

        if problem.of_audit:
            self._differing += 1
        else:
            self._problems += 1
        if self._named_by is None or log.is_json():
            self.say(
                f"{problem.heading}: {problem.path or repr('')}: {problem.reason} "
                f"({problem.detail})",
                "problem",
                path=visible(problem.path),
                reason=problem.reason,
                detail=visible(problem.detail),
            )

    def aborted(self, why: str) -> None:
        """Say that the scan was given up; why, unless the summary for people says so."""
        told = self._summary_is_read() and not log.is_json()
        self.say("the scan was given up" + ("" if told else f": {why}"), "error")

    def store_failed(self, problem: str) -> None:
        """Say once why the autotune store is not used, unless the summary for people will say it in
        the same place.
        """
        told = self._summary_is_read() and _one_place() and not log.is_json()
        if not self._store_told and not told:
            self._store_told = True
            self.say(f"warning: {problem}; the scan goes on without it")

    def published(self, kept: Sequence[tuple[str, str]]) -> None:
        """Say where problems are named, if not here, and where files are that replace nothing."""
        if self._named_by is not None and not _one_place():
            if self._problems:
                self._listed(self._problems, "input", "not scanned to the end")
            if self._differing:
                self._listed(self._differing, "document", "not scanned right, as its audit says")
        for destination, path in kept:
            self.say(f"{destination} was not replaced; the unfinished results are in {path}")

    def _listed(self, number: int, what: str, why: str) -> None:
        those = f"1 {what} was" if number == 1 else f"{number:,} {what}s were"
        listed = "it" if number == 1 else "them"
        self.say(f"{those} {why}; the end of the output lists {listed}")

    def _summary_is_read(self) -> bool:
        """Whether a summary for people goes to a standard stream."""
        return self._named_by is not None and self._named_by.for_people

    def writing(self) -> AbstractContextManager[None]:
        """Held while findings are written: takes the bar off the terminal that they share."""
        return (
            self._progress.aside() if self._progress is not None and self._shared else nullcontext()
        )

    def progress(self, totals: Totals, plan: Plan) -> None:
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
            self._drop_stderr()
            self._progress = None  # nobody sees it; that is no loss

    def ended(self) -> None:
        """Take the bar away, or write the last line of progress."""
        self._close(ended=True)

    def close(self) -> None:
        """Take the bar away."""
        self._close(ended=False)

    def _close(self, *, ended: bool) -> None:
        progress, self._progress = self._progress, None
        if progress is not None:
            try:
                progress.close(ended=ended)
            except OSError:
                self._drop_stderr()
                self.lost = self.lost or ended

    @staticmethod
    def _drop_stderr() -> None:
        from vyre_dist.sinks.output import drop_stream

        drop_stream(sys.stderr)


def _naming_format(outputs: Sequence[Destination]) -> OutputFormat | None:
    """The format that names problems on standard output or standard error; None if none does, or
    nobody sees it.
    """
    from vyre_dist.sinks.output import identity

    streams = {STDOUT: _OUT, f"/dev/fd/{_ERR}": _ERR}
    for name, file in outputs:
        number = streams.get(identity(file))
        form = OUTPUT_FORMATS.get(name, REPORT)
        if number is not None and form.names_problems and not _goes_nowhere(number):
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
        # a scan on Ray has messages apart from descriptor 2 (actors/ray_output.py)
        return os.path.samestat(os.fstat(_OUT), os.fstat(sys.stderr.fileno()))
    except OSError:
        return False
