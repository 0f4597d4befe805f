"""EngineConfig: how an engine works. Plain data, which a driver holds without loading an engine."""

from __future__ import annotations

from dataclasses import dataclass

from vyre_dist.dispatch.backend import SpeculationMode
from vyre_dist.errors import UsageError, as_int
from vyre_dist.program.compiled import DEFAULT_MAX_MATCH_BYTES

# Hyperscan counts a block's bytes in 32 bits.
MAX_SHARD_BYTES = 1 << 30
# some 20 ms of work for a core: with half of it, the messages about it take a thirtieth more of the
# time
DEFAULT_SHARD_BYTES = 32 << 20
# what an arena costs its GPU's process and its worker, however large it is, is half as much of a
# byte; with more of them the arenas of 15 workers leave the processors' caches to nobody
GPU_SHARD_BYTES = 64 << 20


def as_rate(rate: float) -> float:
    """The share of all documents that is to be audited. Raises UsageError for what can't be one."""
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise UsageError(f"an audit rate is a number from 0 to 1, found {rate!r:.60}")
    return float(rate)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How an engine works; the same on every worker of a run.

    `shard_bytes`: documents larger than this are split into pieces of it. `max_match_bytes`: cap
    for rules of unbounded width. `cache_dir`: where compiled packs are kept, None for nowhere.
    `audit_rate`, `audit_seed`: which documents are audited (audit_sample.py).
    """

    backend: str = "auto"
    speculation: str = "auto"
    threshold_pct: int = 15
    probe_every: int = 64
    shard_bytes: int = DEFAULT_SHARD_BYTES
    max_match_bytes: int = DEFAULT_MAX_MATCH_BYTES
    cache_dir: str | None = None
    audit_rate: float = 0.0
    audit_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("threshold_pct", "probe_every", "shard_bytes", "max_match_bytes"):
            object.__setattr__(self, name, as_int(name, getattr(self, name)))
        if not 1 <= self.shard_bytes <= MAX_SHARD_BYTES:
            raise UsageError(
                f"a shard size of {self.shard_bytes} bytes: allowed are 1 to {MAX_SHARD_BYTES} (1 "
                "GiB)"
            )
        if not 1 <= self.max_match_bytes <= MAX_SHARD_BYTES:
            raise UsageError(
                f"max_match_bytes of {self.max_match_bytes}: allowed are 1 to {MAX_SHARD_BYTES} (1 "
                "GiB)"
            )
        object.__setattr__(self, "audit_rate", as_rate(self.audit_rate))
        if self.speculation not in (allowed := [mode.value for mode in SpeculationMode]):
            raise UsageError(
                f"unknown speculation mode {self.speculation!r}: use one of {', '.join(allowed)}"
            )
