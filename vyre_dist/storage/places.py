"""Places: which storage a place names. Workers find a run's files by it, wherever they are."""

from __future__ import annotations

from collections.abc import Callable

from vyre_dist.storage.interface import Storage
from vyre_dist.storage.local import LocalStorage

SCHEMES: dict[str, Callable[[str], Storage]] = {}
"""Who opens the places that begin with a scheme and `://`. All others are folders."""


def open_storage(place: str) -> Storage:
    """The storage at `place`."""
    scheme, sign, _ = place.partition("://")
    return SCHEMES[scheme](place) if sign and scheme in SCHEMES else LocalStorage(place)
