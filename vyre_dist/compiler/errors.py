"""The compiler's errors.

A rule that the tables can't take is no error: its route is HOST, with a reason (routed_rule.py).
"""

from __future__ import annotations

from vyre_dist.errors import VyreError


class TableFormatError(VyreError):
    """Stored tables are damaged, or of another version: `found` says what is wrong with `what`."""

    def __init__(self, what: str, found: str) -> None:
        self.what = what
        self.found = found
        super().__init__(
            f"the {what} is unusable: {found}; make it anew with this version of vyre-dist"
        )


class RegexTooLargeError(VyreError):
    """An expression needs more than the compiler may spend on one rule.

    `resource`: what ran out ("positions", "states", ...). `needed`: how much was asked for when the
    compiler stopped. `limit`: how much is allowed.
    """

    def __init__(self, resource: str, needed: int, limit: int) -> None:
        self.resource = resource
        self.needed = needed
        self.limit = limit
        super().__init__(f"{needed} {resource}, and {limit} are allowed for one rule")
