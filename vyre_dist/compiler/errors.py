"""The compiler's typed errors. A rule that the tables can't take is no error: it is routed to the
host with a reason.
"""

from __future__ import annotations

from vyre_dist.errors import VyreError


class TableFormatError(VyreError):
    """Stored tables are damaged, or were written by another version.

    `what` names the thing that was read, `found` says what is wrong with it.
    """

    def __init__(self, what: str, found: str) -> None:
        self.what = what
        self.found = found
        super().__init__(
            f"the {what} is unusable: {found}; make it anew with this version of vyre-dist"
        )


class RegexTooLargeError(VyreError):
    """An expression needs more than the compiler may spend on one rule.

    `resource` is what ran out ("positions", "edges", "states", ...), `needed` how much was asked
    for at the point where it stopped, `limit` the bound.
    """

    def __init__(self, resource: str, needed: int, limit: int) -> None:
        self.resource = resource
        self.needed = needed
        self.limit = limit
        super().__init__(f"{needed} {resource}, and {limit} are allowed for one rule")
