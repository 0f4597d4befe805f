"""TuningLink: what the driver's tuning says to a store, and hears of it. Nobody waits for that.

What is behind it is made in runs/; NoStore is for scans that have none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.dispatch.keys import AutotuneKey, SpecCacheKey


@dataclass(frozen=True, slots=True)
class Target:
    """What is tuned: a program on an adapter, for a workload class."""

    key: AutotuneKey
    spec: SpecCacheKey
    workload: str

    @property
    def lease(self) -> str:
        """The name of the lease that its tuner has. An adapter's name may be too long for it."""
        adapter = hashlib.sha256(self.key.adapter_id.encode()).hexdigest()[:16]
        return f"tune:{self.key.key_hex}:{adapter}:{self.workload}"


class Found(NamedTuple):
    """What the store has of a target now, if that has not failed meanwhile."""

    target: Target
    record: StoredRecord | None


class Leased(NamedTuple):
    """Whether this driver may tune the target, or go on with that.

    `fence`: of the lease. `failed`: choices that have failed within a day.
    """

    target: Target
    granted: bool
    fence: Fence | None = None
    failed: tuple[Choice, ...] = ()


class Published(NamedTuple):
    """Whether the store has the record that was offered; it may have kept a better one."""

    target: Target
    stored: bool


News: TypeAlias = Found | Leased | Published


class TuningLink(Protocol):
    """All methods are called from one thread, and return at once or nearly so."""

    def read(self, targets: Sequence[Target]) -> None:
        """Ask for what there is of `targets`, now and whenever it changes. Found is the answer."""

    def lease(self, target: Target, choices: Sequence[Choice]) -> None:
        """Ask for the right to tune, and which of `choices` have failed. The right is kept until
        `release`. Leased is the answer, more than one where the right is lost; or Found, where
        somebody has tuned it meanwhile.
        """

    def publish(self, target: Target, record: StoredRecord) -> None:
        """Offer a record, under the target's lease if there is one. Published is the answer."""

    def release(self, target: Target) -> None:
        """Give the right to tune back, after all that was published."""

    def news(self) -> Sequence[News]:
        """What has come since the last call."""


class NoStore:
    """A link to nothing: a scan that learns for itself alone."""

    def __init__(self) -> None:
        self._news: list[News] = []

    def read(self, targets: Sequence[Target]) -> None:
        """See TuningLink."""
        self._news += [Found(target, None) for target in targets]

    def lease(self, target: Target, choices: Sequence[Choice]) -> None:
        """See TuningLink."""
        del choices  # none has failed
        self._news.append(Leased(target, True))

    def publish(self, target: Target, record: StoredRecord) -> None:
        """See TuningLink."""

    def release(self, target: Target) -> None:
        """See TuningLink."""

    def news(self) -> Sequence[News]:
        """See TuningLink."""
        news, self._news = self._news, []
        return news
