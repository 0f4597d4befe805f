"""WireError: bytes that driver and workers do not understand of each other."""

from __future__ import annotations

from vyre_dist.errors import VyreError


class WireError(VyreError):
    """Bytes that are no task or result of this version."""

    def __init__(self, what: str, found: str) -> None:
        super().__init__(
            f"cannot read a {what}: {found}; driver and workers must run the same version of "
            "vyre-dist"
        )
        self.what = what
