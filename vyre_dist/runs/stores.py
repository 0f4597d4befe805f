"""RunStores: where a run keeps what later runs can use, compiled packs and autotune records.

A store that cannot be used never ends a run, nor holds one up: RunStores keeps what is wrong with
it, and does without it from then on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vyre_dist.autotune.store import AutotuneStore
    from vyre_dist.cache_folder import CacheFolder
    from vyre_dist.driver.tuning import Tuning
    from vyre_dist.runs.local_link import LocalLink
    from vyre_dist.runs.options import ScanOptions
    from vyre_dist.runs.shared_link import SharedLink


class RunStores:
    """The cache folder and the autotune store of a run.

    `clock`: seconds.
    """

    def __init__(self, options: ScanOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._link: LocalLink | SharedLink | None = None

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

    @property
    def shares_store(self) -> bool:
        """Whether the run's store is on a server: it has a thread of its own then."""
        from vyre_dist.autotune.urls import uses_folder

        url = self._options.store
        return self._tunes and url is not None and uses_folder(url)

    @property
    def _tunes(self) -> bool:
        # where a lane is asked for, there is little to choose
        return self._options.tuning and self._options.speculation == "auto"

    def tuning(self, wall_s: Callable[[], float] = time.time) -> Tuning | None:
        """What says what workers run with; None with `tuning` off: no store is opened then.

        `wall_s`: seconds since 1970. Called once.
        """
        if not self._tunes:
            return None
        from vyre_dist.autotune.urls import without_login
        from vyre_dist.driver.tuning import Tuning
        from vyre_dist.program.packs import pack_name

        if self.shares_store:
            from vyre_dist.runs.shared_link import SharedLink

            _ = self._folder  # looked for here, and not in the midst of the scan
            self._link = SharedLink(self._open)
        else:
            from vyre_dist.runs.local_link import LocalLink

            url = self._options.store
            place = without_login(url) if url else "in the cache folder"
            self._link = LocalLink(place, self._open, self._clock)
        return Tuning(self._link, self._clock, wall_s, pack=pack_name(self._options.packs))

    @property
    def problem(self) -> str:
        """Why the autotune store could not be used, "" if it could, or was not needed."""
        return "" if self._link is None else self._link.problem

    def close(self) -> None:
        """The run has published all that it will."""
        if self._link is not None:
            self._link.close()

    def _open(self) -> AutotuneStore:
        from vyre_dist.autotune.urls import FILE_NAME, open_store, uses_folder

        options = self._options
        url = "memory:" if options.no_cache and options.store is None else options.store
        path = None
        if uses_folder(url):
            if self._folder.path is None and url is None:
                url = "memory:"
            elif self._folder.path is not None:
                path = os.path.join(self._folder.path, FILE_NAME)
        return open_store(url, local_path=path)
