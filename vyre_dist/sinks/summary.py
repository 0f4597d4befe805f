"""RunSummary: what a run came to, as every sink gets it at the end. Plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Problem:
    """One input that was not scanned to its end: `reason` is a short code, `detail` is for
    people.
    """

    path: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """What is worth a word about an input that was scanned as planned; fields as Problem's."""

    path: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CommitReport:
    """Speculation in tiles: those that kept output and those that kept none."""

    committed: int = 0
    rolled_back: int = 0

    @property
    def rate_pct(self) -> float | None:
        """Committed tiles in percent of the attempted ones; None where none was attempted."""
        attempted = self.committed + self.rolled_back
        return 100.0 * self.committed / attempted if attempted else None


@dataclass(frozen=True, slots=True)
class WorkerSummary:
    """What one worker was and did. `node`: its host's name; `node_id`: Ray's, "" outside Ray.

    `backend`: the one that scanned most of its bytes, all of which `bytes_by_backend` counts.
    `device`: the product that this backend's worker runs on. `processes`: how many tasks it could
    do at the same time.
    """

    worker: int
    node: str
    node_id: str
    backend: str
    device: str
    version: str
    python: str
    processes: int
    tasks: int
    bytes: int
    bytes_by_backend: Mapping[str, int]


def _none() -> Mapping[str, int]:
    return MappingProxyType({})


def _no_rules() -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A whole run. `seconds` is wall time; `skipped` counts what was left out on purpose, by
    reason.

    `capped_matches` counts google-re2's matches that are longer than their rule's cap
    (docs/compiler.md). `complete`: everything asked for was scanned; otherwise `problems` says what
    was not. `workers` counts those that were started, `workers_used` tells of each; `left_out` says
    why others could not be used. `warnings`: sentences for people, about the whole run.
    `rules_left_out`: the ids of rules that the pack has and that were not searched for (or the
    files of such), by reason. `secret_key`: the fingerprint of the key that findings have a
    secret_id under; "" for none. `store_problem`: why the autotune store was of no use, "" if it
    was.
    """

    documents: int = 0
    bytes: int = 0
    seconds: float = 0.0
    findings: int = 0
    findings_by_rule: Mapping[str, int] = field(default_factory=_none)
    problems: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()
    warnings: tuple[str, ...] = ()
    commit: CommitReport | None = None
    capped_matches: int = 0
    workers: int = 0
    pool: str = ""
    backend: str = ""
    workers_used: tuple[WorkerSummary, ...] = ()
    left_out: tuple[str, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=_none)
    rules_left_out: Mapping[str, tuple[str, ...]] = field(default_factory=_no_rules)
    complete: bool = True
    secret_key: str = ""
    store_problem: str = ""

    @property
    def megabytes_per_second(self) -> float:
        """Throughput in 10^6 bytes per second; 0 for a run that took no time."""
        return self.bytes / self.seconds / 1e6 if self.seconds > 0 else 0.0
