"""Places: which storage a place names. Workers find a run's files by it, wherever they are."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from vyre_dist.errors import UsageError
from vyre_dist.storage.interface import Storage
from vyre_dist.storage.local import LocalStorage

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

SCHEMES: dict[str, Callable[[str], Storage]] = {}
"""Who opens the places that begin with a scheme and `://`. fsspec has others."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_FOLDERS = frozenset({"file", "local"})

LONG_SECONDS = 120.0
"""How long a driver tries again what fails and may pass."""
SHORT_SECONDS = 15.0
_patience = [LONG_SECONDS]


def is_url(place: str) -> bool:
    """Whether `place` is on no file system of this machine. Raises UsageError for a URL that no run
    can be at.
    """
    if "::" in place and "://" in place:
        raise UsageError(f"{place}: a run can't be in a URL of several parts (::); name one place")
    found = _URL.match(place)
    return found is not None and found[1].lower() not in _FOLDERS


def try_briefly() -> None:
    """In a worker's process: what fails and may pass is tried again for a shorter time, before the
    worker is taken for one that hangs. The driver does what it could not.
    """
    _patience[0] = SHORT_SECONDS


def open_storage(place: str, *, durable: bool = True) -> Storage:
    """The storage at `place`. `durable`: see LocalStorage. Raises UsageError where what it takes is
    not installed.
    """
    if not is_url(place):
        found = _URL.match(place)
        return LocalStorage(place[found.end() :] if found else place, durable=durable)
    scheme = place.partition("://")[0]
    if scheme in SCHEMES:
        return SCHEMES[scheme](place)
    # what has connections and threads is not for a forked process
    return _objects(place, _patience[0], os.getpid())


@lru_cache(8)
def _objects(place: str, seconds: float, process: int) -> Storage:
    from vyre_dist.storage.filesystems import check_place, root_of
    from vyre_dist.storage.objects import ObjectStorage

    check_place(place)
    scheme, _, rest = place.partition("://")
    place = f"{scheme.lower()}://{rest}"
    filesystem = _filesystem(scheme.lower(), process)
    return ObjectStorage(filesystem, root_of(filesystem, place), place, seconds)


@lru_cache(4)
def _filesystem(scheme: str, process: int) -> AbstractFileSystem:  # noqa: ARG001
    from vyre_dist.storage.filesystems import open_filesystem

    return open_filesystem(scheme)
