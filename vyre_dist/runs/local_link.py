"""LocalLink: a store on this machine, asked at once and closed after each question.

A pool may fork workers at any time, and neither a thread nor an open database may be there then.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.driver.tuning_link import Found, Leased, News, Published, Target

if TYPE_CHECKING:
    from vyre_dist.autotune.store import AutotuneStore

T = TypeVar("T")

_MOST_SECONDS = 0.3
"""That a run waits for its store in all, but for what it is in the midst of then."""


def found_in(store: AutotuneStore, targets: Sequence[Target]) -> list[Found]:
    """What a store has of `targets`, but for what has failed within a day."""
    records = store.get_many([(each.key, each.spec, each.workload) for each in targets])
    found = []
    for target, record in zip(targets, records, strict=True):
        known = record
        if record is not None and failed_in(store, target, [record.choice]):
            known = None
        found.append(Found(target, known))
    return found


def failed_in(
    store: AutotuneStore, target: Target, choices: Sequence[Choice]
) -> tuple[Choice, ...]:
    """Which of `choices` have failed there within a day. The default never has."""
    asked = [choice for choice in choices if not choice.is_default]
    if not asked:
        return ()
    failed = store.failed(target.key, target.spec, asked, workload=target.workload)
    return tuple(each.choice for each in failed)


class LocalLink:
    """See TuningLink. `problem`: why the store is not used, or not any more; "" if it is.

    Whoever asks has the right to tune: two runs of one machine may tune the same, and the better
    record stays.
    """

    def __init__(
        self, place: str, open_store: Callable[[], AutotuneStore], clock: Callable[[], float]
    ) -> None:
        """`place`: what the store is called in messages. `clock`: seconds."""
        self._place, self._open, self._clock = place, open_store, clock
        self._waited = 0.0
        self._news: list[News] = []
        self._run = uuid.uuid4().hex
        self.problem = ""

    def read(self, targets: Sequence[Target]) -> None:
        """See TuningLink. Raises what opening the store does."""
        nothing: list[Found] = [Found(target, None) for target in targets]
        self._news += self._with_store(lambda store: found_in(store, targets)) or nothing

    def lease(self, target: Target, choices: Sequence[Choice]) -> None:
        """See TuningLink."""
        fence = Fence(self._run, time.time_ns() // 1_000_000)
        failed = self._with_store(lambda store: failed_in(store, target, choices)) or ()
        self._news.append(Leased(target, True, fence, failed))

    def publish(self, target: Target, record: StoredRecord) -> None:
        """See TuningLink."""
        stored = self._with_store(lambda store: store.put(record))
        self._news.append(Published(target, bool(stored)))

    def release(self, target: Target) -> None:
        """See TuningLink."""

    def news(self) -> Sequence[News]:
        """See TuningLink."""
        news, self._news = self._news, []
        return news

    def close(self) -> None:
        """Nothing is open."""

    def _with_store(self, work: Callable[[AutotuneStore], T]) -> T | None:
        """`work` with the store; None if that has failed before, or has taken too long. Keeps the
        store's first trouble, which may come when it closes.
        """
        if not self.problem and self._waited > _MOST_SECONDS:
            waited = f"the scan has waited for it for {self._waited:.1f} s"
            self.problem = f"the autotune store {self._place}: {waited}"
        if self.problem:
            return None
        store = self._open()
        began = self._clock()
        try:
            return work(store)
        finally:
            store.close()
            self._waited += self._clock() - began
            self.problem = self.problem or store.trouble
