"""Background: a thread that does jobs for callers who do not wait, or only for so long."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from vyre_dist.autotune.counters import Counters
from vyre_dist.autotune.store import StoreClosedError
from vyre_dist.autotune.wait_budget import WaitBudget
from vyre_dist.errors import VyreError

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Background:
    """One thread, which does its jobs in their order; it ends with `end`, or a closed store.

    `budget`: what callers may wait in all. At most `max_jobs` are queued: more are `dropped`, as
    counted in `counters`, and so is what is left at the end.
    """

    def __init__(
        self, counters: Counters, budget: WaitBudget | None, max_jobs: int, name: str
    ) -> None:
        self._counters = counters
        self._budget = budget
        self._jobs: queue.Queue[Callable[[], object] | None] = queue.Queue(max_jobs)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def enqueue(self, job: Callable[[], object]) -> bool:
        """Whether there was room for it."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self._counters.add("dropped")
            return False
        return True

    def answer(
        self, ask: Callable[[], T], otherwise: T, *, late: Callable[[T], object] | None = None
    ) -> T:
        """What `ask` says, or `otherwise` if it does not in what is left of the budget; `late` is
        then told, in the background. Without a budget the caller asks by itself.
        """
        if self._budget is None:
            return ask()
        answer: Future[T] = Future()

        def job() -> None:
            try:
                answer.set_result(ask())
            except VyreError as error:
                answer.set_exception(error)

        if not self.enqueue(job):
            return otherwise
        with self._budget.waiting() as left:
            try:
                return answer.result(left)
            except TimeoutError:
                if late is not None:
                    answer.add_done_callback(lambda done: self.enqueue(lambda: late(done.result())))
                return otherwise

    def in_turn(self, work: Callable[[], T], otherwise: T, most_s: float) -> T:
        """What `work` gives, which is done when all that was queued before is; `otherwise` if that
        takes longer, and it is done later.
        """
        done: Future[T] = Future()

        def job() -> None:
            try:
                done.set_result(work())
            except VyreError as error:
                done.set_exception(error)

        if not self.enqueue(job):
            return otherwise
        with self.waiting(most_s) as left:
            try:
                return done.result(left)
            except TimeoutError:
                return otherwise

    @contextlib.contextmanager
    def waiting(self, most_s: float) -> Iterator[float]:
        """For the block that waits: how long it may."""
        if self._budget is None:
            yield most_s
        else:
            with self._budget.waiting() as left:
                yield min(left, most_s)

    def flush(self, most_s: float) -> bool:
        """Wait until all that was queued is done; False: it was not in that time."""
        with self.waiting(most_s) as left:
            deadline = time.monotonic() + left
            done = threading.Event()
            try:
                self._jobs.put(done.set, timeout=left)
            except queue.Full:
                return False
            return done.wait(max(0.0, deadline - time.monotonic()))

    def end(self, most_s: float) -> bool:
        """Let it do what is queued, and end; False: it has not, in that time."""
        with self.waiting(most_s) as left:
            deadline = time.monotonic() + left
            with contextlib.suppress(queue.Full):
                self._jobs.put(None, timeout=left)
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if not self._thread.is_alive():
            return True
        self._counters.add("dropped", self._jobs.qsize())
        return False

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except StoreClosedError:
                return
            except Exception:
                # A bug here must not end the thread, nor pass unseen.
                self._counters.failed("a fault in its background thread; see the log")
                logger.exception("a background job failed")
