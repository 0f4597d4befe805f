"""RunObserver: follows a run. The command's is cli/console.py."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from vyre_dist.driver.plan import Plan
from vyre_dist.driver.totals import Totals
from vyre_dist.input_problem import InputProblem


class RunObserver(Protocol):
    """Follows a run. All methods are called from one thread."""

    def say(self, message: str) -> None:
        """Take a line for people."""

    def progress(self, totals: Totals, plan: Plan) -> None:
        """Take the counts so far; called after every round of events."""

    def writing(self) -> AbstractContextManager[None]:
        """Held while findings are written to the outputs."""

    def problem(self, problem: InputProblem) -> None:
        """Take an input that was not scanned to its end."""

    def ended(self) -> None:
        """The scan has come to its end, or was aborted."""

    def aborted(self, why: str) -> None:
        """The scan could not go on. Called after `ended`."""

    def store_failed(self, problem: str) -> None:
        """The autotune store could not be used. It may be called several times."""

    def published(self, kept: Sequence[tuple[str, str]]) -> None:
        """The outputs are in their places. `kept`: (destination, where its file is instead), for
        the files of a scan that was aborted.
        """
