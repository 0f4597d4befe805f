"""Storage: where a run directory's files are, behind one small interface."""

from __future__ import annotations

from vyre_dist.storage.interface import Log, Storage
from vyre_dist.storage.local import LocalStorage

__all__ = ["LocalStorage", "Log", "Storage"]
