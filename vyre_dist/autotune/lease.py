"""A lease gives one worker of a kind the right to tune. Its scripts are in redis_scripts.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from vyre_dist.autotune import redis_scripts as scripts
from vyre_dist.autotune.fence import Fence
from vyre_dist.errors import UsageError

MAX_LEASE_S = 24 * 3600.0


@dataclass(frozen=True)
class Lease:
    """A granted lease. `fence` is newer than that of every earlier lease of this name.

    `renew` and `release` say False when the lease has lapsed, and also when no server answers.
    """

    name: str
    ttl_ms: int
    owner: str
    fence: Fence | None
    run_script: Callable[..., object]

    @classmethod
    def requested(
        cls, name: str, ttl_s: float, owner: str, run_script: Callable[..., object]
    ) -> Lease:
        """What is asked for, before it is granted. Raises UsageError for a time out of range."""
        if not (math.isfinite(ttl_s) and 0.001 <= ttl_s <= MAX_LEASE_S):
            raise UsageError(f"a lease lasts 0.001 to {MAX_LEASE_S:.0f} seconds, found {ttl_s!r}")
        return cls(name, int(ttl_s * 1000), owner, None, run_script)

    def granted(self, fence: Fence) -> Lease:
        return replace(self, fence=fence)

    @property
    def token(self) -> str:
        """The fence as the server keeps it."""
        return self.fence.token if self.fence else ""

    @property
    def _mark(self) -> str:
        return f"{self.owner}:{self.token}"

    def renew(self) -> bool:
        """Start the lease's time again; False: it is no longer ours."""
        keys = [scripts.lease_key(self.name)]
        return self.run_script(scripts.LEASE_RENEW, keys, self._mark, self.ttl_ms) == 1

    def release(self) -> bool:
        """Give the lease back; False: it was no longer ours."""
        return (
            self.run_script(scripts.LEASE_RELEASE, [scripts.lease_key(self.name)], self._mark) == 1
        )
