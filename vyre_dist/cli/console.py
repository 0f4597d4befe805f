"""Console: what a scan tells the person who started it, on standard error, while findings go elsewhere.

It keeps messages, the progress bar and findings out of each other's way where they share a terminal.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vyre_dist.driver.plan import Plan
    from vyre_dist.driver.totals import Totals


class Console:
    """Messages and progress. `close` takes the bar away; it may be called twice."""

    def __init__(self, show_progress: bool, human_on_stdout: bool) -> None:
        from vyre_dist.sinks import open_progress

        self._progress = open_progress() if show_progress else None
        on_terminal = sys.stdout.isatty() and sys.stderr.isatty()
        self._shared = on_terminal
        self.problems_shown_later = on_terminal and human_on_stdout
        """Whether the human summary will list the problems where messages appear as well."""

    def say(self, message: str) -> None:
        """Print a line, with nothing in it that could steer a terminal."""
        from vyre_dist.sinks.text import visible

        line = f"vyre-dist: {visible(message)}"
        if self._progress is not None:
            self._progress.message(line)
        else:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def writing(self) -> AbstractContextManager[None]:
        """To be held while findings are written: takes the bar off the terminal if they go to the same one."""
        return self._progress.aside() if self._progress is not None and self._shared else nullcontext()

    def update(self, totals: Totals, plan: Plan) -> None:
        """Show how far the scan is."""
        if self._progress is None:
            return
        attempted = totals.committed + totals.rolled_back
        self._progress.update(
            bytes_done=totals.bytes,
            documents=totals.documents,
            documents_total=plan.documents - totals.skipped if plan.ended else None,
            findings=totals.findings,
            commit_rate_pct=100.0 * totals.committed / attempted if attempted else None,
        )

    def close(self) -> None:
        """Take the bar away, or write the last line of progress."""
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.close()
