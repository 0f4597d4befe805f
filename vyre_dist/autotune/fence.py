"""Fence: tells a tuning lease's holder from every other one, also after a fail-over."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vyre_dist.dispatch.report import check_counts
from vyre_dist.errors import UsageError

# Lua's numbers are doubles.
MAX_COUNTER = 2**53
_RUN_ID = re.compile(r"[0-9a-f]{8,64}\Z")


@dataclass(frozen=True, slots=True)
class Fence:
    """The server that granted a lease, by the id of its run, and a counter that it raised.

    The counter is at least the server's clock in milliseconds: so it goes on from where it was,
    where a server has forgotten it.
    """

    run_id: str
    counter: int

    def __post_init__(self) -> None:
        if not isinstance(self.run_id, str) or not _RUN_ID.match(self.run_id):
            raise UsageError(f"a fence's run id is 8 to 64 hex digits, found {self.run_id!r:.80}")
        check_counts(self, MAX_COUNTER, "counter")

    @property
    def token(self) -> str:
        """As a server keeps it."""
        return f"{self.run_id}:{self.counter}"

    @classmethod
    def from_token(cls, token: str) -> Fence:
        """Raises UsageError for a text that `token` never is."""
        run_id, _, counter = token.partition(":")
        if not (counter.isascii() and counter.isdigit() and len(counter) <= 16):
            raise UsageError(f"a fence is RUN_ID:COUNTER, found {token!r:.100}")
        return cls(run_id, int(counter))

    def newer_than(self, other: Fence | None) -> bool:
        """Whether this lease was granted later; of two servers' that is told by their clocks."""
        return other is None or (self.counter, self.run_id) > (other.counter, other.run_id)
