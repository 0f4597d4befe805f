"""RunStores: where a run keeps what later runs can use, compiled packs and autotune records.

A store that cannot be used never ends a run, nor holds one up: RunStores keeps what is wrong with
it, and does without it from then on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from vyre_dist.autotune.store import AutotuneStore
    from vyre_dist.cache_folder import CacheFolder
    from vyre_dist.driver.roster import WorkerUse
    from vyre_dist.driver.worker_facts import WorkerFacts
    from vyre_dist.runs.options import ScanOptions

T = TypeVar("T")

_MOST_SECONDS = 1.0
"""That a run waits for its autotune store in all, but for what it is in the midst of then: workers
may be of many kinds, and each is a question.
"""


class RunStores:
    """The cache folder and the autotune store of a run.

    `problem`: why the autotune store could not be used, "" if it could. `clock`: seconds.
    """

    def __init__(self, options: ScanOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._waited = 0.0
        self.problem = ""

    @cached_property
    def _folder(self) -> CacheFolder:
        from vyre_dist.cache_folder import choose

        return choose(self._options.cache_dir)

    @property
    def pack_folder(self) -> str | None:
        """Where compiled packs are kept, None for nowhere."""
        # a folder that can only be read may still have what is needed
        return None if self._options.no_cache else self._folder.wanted or self._folder.path

    @property
    def run_folder(self) -> str | None:
        """Where a run can keep what it has done, None for nowhere."""
        return None if self._options.no_cache else self._folder.path

    @property
    def folder_trouble(self) -> str:
        """Why the cache folder that was asked for is not used; "" if it is, or was not needed."""
        known: CacheFolder | None = self.__dict__.get("_folder")
        return known.trouble if known is not None else ""

    def threshold_pct(self, pack_key: str, facts: WorkerFacts) -> int | None:
        """The commit rate from which speculation pays on such a worker, if the store knows it, and
        has not failed already.
        """
        from vyre_dist.driver.tuning import Tuning

        return self._with_store(Tuning(pack_key, facts).threshold_pct)

    def publish(self, pack_key: str, uses: Sequence[WorkerUse]) -> None:
        """Offer what this run's workers measured, unless the store has failed already."""
        from vyre_dist.driver.tuning import publish_all

        self._with_store(lambda store: publish_all(pack_key, store, uses))

    def _with_store(self, work: Callable[[AutotuneStore], T]) -> T | None:
        """`work` with the store; None if that has failed before, or has taken too long. Keeps the
        store's first trouble, which may come when it closes.
        """
        from vyre_dist.autotune.urls import FILE_NAME, open_store, uses_folder, without_login

        options = self._options
        if not self.problem and self._waited > _MOST_SECONDS:
            place = without_login(options.store) if options.store else "in the cache folder"
            waited = f"the scan has waited for it for {self._waited:.1f} s"
            self.problem = f"the autotune store {place}: {waited}"
        if self.problem:
            return None
        url = "memory:" if options.no_cache and options.store is None else options.store
        path = None
        if uses_folder(url):
            if self._folder.path is None and url is None:
                url = "memory:"
            elif self._folder.path is not None:
                path = os.path.join(self._folder.path, FILE_NAME)
        store = open_store(url, local_path=path)
        began = self._clock()
        try:
            return work(store)
        finally:
            store.close()
            self._waited += self._clock() - began
            self.problem = self.problem or store.trouble
