"""Storage: where a run directory's files are, behind one small interface."""

from __future__ import annotations

from vyre_dist.storage.interface import Log, Storage
from vyre_dist.storage.local import LocalStorage
from vyre_dist.storage.places import is_url, open_storage

__all__ = ["LocalStorage", "Log", "Storage", "is_url", "open_storage"]
