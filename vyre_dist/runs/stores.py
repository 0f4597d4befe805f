"""RunStores: where a run keeps what later runs can use, compiled packs and autotune records.

A store that cannot be used never ends a run; RunStores keeps what is wrong with it.
"""

from __future__ import annotations

import os
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


class RunStores:
    """The cache folder and the autotune store of a run.

    `problem`: why the autotune store could not be used, "" if it could.
    """

    def __init__(self, options: ScanOptions) -> None:
        self._options = options
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
        """The commit rate from which speculation pays on such a worker, if the store knows it."""
        from vyre_dist.driver.tuning import Tuning

        return self._with_store(Tuning(pack_key, facts).threshold_pct)

    def publish(self, pack_key: str, uses: Sequence[WorkerUse]) -> None:
        """Offer what this run's workers measured, unless the store has failed already."""
        from vyre_dist.driver.tuning import publish_all

        if not self.problem:
            self._with_store(lambda store: publish_all(pack_key, store, uses))

    def _with_store(self, work: Callable[[AutotuneStore], T]) -> T:
        """`work` with the store. Keeps the store's first trouble, which may come when it closes."""
        from vyre_dist.autotune.urls import FILE_NAME, open_store, uses_folder

        options = self._options
        url = "memory:" if options.no_cache and options.store is None else options.store
        path = None
        if uses_folder(url):
            if self._folder.path is None and url is None:
                url = "memory:"
            elif self._folder.path is not None:
                path = os.path.join(self._folder.path, FILE_NAME)
        store = open_store(url, local_path=path)
        try:
            return work(store)
        finally:
            store.close()
            self.problem = self.problem or store.trouble
