"""PathScan: a scan of paths that is under way. It gives the findings one by one."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from types import TracebackType

from vyre_dist.driver.plan import Plan
from vyre_dist.driver.run import Callbacks, ScanAbortedError, ScanOutcome
from vyre_dist.driver.totals import Totals
from vyre_dist.finding import Finding
from vyre_dist.input_problem import InputProblem
from vyre_dist.library.result import ScanResult, ScanTotals
from vyre_dist.metrics import METRIC_NAMES
from vyre_dist.sources import WalkStats

logger = logging.getLogger("vyre_dist")


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a scan is. `documents_total`: None until all inputs are listed."""

    documents: int
    documents_total: int | None
    bytes: int
    findings: int


class PathScan(Iterator[Finding]):
    """An iterator over the findings of a scan of paths, in the order of the documents.

    The scan starts with the first finding that is asked for, and goes on while findings are asked
    for. `totals` grows with it; `problems`, `notes` and `complete` are those of `totals`. One
    thread iterates; `cancel` may be called by any. Leaving a `with` block, `close` and `cancel` end
    the scan early: what was found so far has been given, and `complete` is False.
    """

    def __init__(
        self,
        rounds: Callable[[Callbacks, WalkStats], Generator[ScanOutcome, None, None]],
        shown: Callable[[Finding], Finding] | None,
        progress: Callable[[ScanProgress], object] | None,
        cancel: threading.Event | None,
    ) -> None:
        """`rounds`: starts the scan; each round adds to what the callbacks are told. `shown`: how a
        finding is given, None for as it is.
        """
        self.totals = ScanTotals()
        self._stats = WalkStats()
        self._cancel = cancel if cancel is not None else threading.Event()
        self._shown = shown
        self._found: deque[Finding] = deque()
        self._error: Exception | None = None
        # none of these holds the scan: one that is let go ends at once
        told = Callbacks(self._found.extend, _nothing, logger.warning, _telling(progress))
        self._rounds = rounds(told, self._stats)

    @property
    def problems(self) -> list[InputProblem]:
        """Inputs that could not be scanned to their end, so far."""
        return self.totals.problems

    @property
    def complete(self) -> bool:
        """Whether all was scanned that was asked for; False until the end."""
        return self.totals.complete

    def __next__(self) -> Finding:
        while not self._found:
            if self.totals.ended:
                # what was found before an error has been given by now
                error, self._error = self._error, None
                raise error or StopIteration
            self._go_on()
        finding = self._found.popleft()
        return finding if self._shown is None else self._shown(finding)

    def collect(self) -> ScanResult:
        """The findings that have not been asked for yet, all at once, with the totals."""
        result = ScanResult(self.totals)
        result.extend(self)
        return result

    def cancel(self) -> None:
        """End the scan after what is being done now. What was found until then is still given."""
        self._cancel.set()

    def close(self) -> None:
        """End the scan now. Findings that were not asked for are dropped. May be called twice."""
        self._end(cancelled=bool(self._found) or not self.totals.ended)
        self._found.clear()

    def __enter__(self) -> PathScan:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _go_on(self) -> None:
        """Do one more round of the scan, or end it."""
        if self._cancel.is_set():
            self._end(cancelled=True)
            return
        try:
            outcome = next(self._rounds, None)
        except Exception as error:  # noqa: BLE001 - raised when what was found before is given
            self._error = error
            outcome = error.outcome if isinstance(error, ScanAbortedError) else None
            self._end(cancelled=True)
        except BaseException:
            self._end(cancelled=True)
            raise
        if outcome is not None:
            self._take_over(outcome)
        else:
            self._end(cancelled=self._error is not None)

    def _take_over(self, outcome: ScanOutcome) -> None:
        totals, done = self.totals, outcome.totals
        totals.problems, totals.notes = outcome.problems, outcome.notes
        totals.skipped = done.skipped
        for name, value in zip(METRIC_NAMES, done.metric_values(), strict=True):
            setattr(totals, name, value)
        totals.left_out = {reason: n for reason, n in self._stats.skipped.items() if n}

    def _end(self, *, cancelled: bool) -> None:
        self._rounds.close()
        self.totals.ended = True
        self.totals.cancelled = self.totals.cancelled or cancelled


def _telling(
    progress: Callable[[ScanProgress], object] | None,
) -> Callable[[Totals, Plan], None]:
    """What the driver calls after each round."""
    if progress is None:
        return _nothing

    def tell(totals: Totals, plan: Plan) -> None:
        planned = plan.documents if plan.ended else None
        progress(ScanProgress(totals.documents, planned, totals.bytes, totals.findings))

    return tell


def _nothing(*_: object) -> None:
    """Nobody is to be told; of problems, the outcome tells."""
