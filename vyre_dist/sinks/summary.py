"""RunSummary: the outcome of a run, which every sink gets at the end. Plain data.

What is counted is in metrics.py; how the summary is written is in text.py (JSON) and human.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from vyre_dist.input_problem import InputNote, InputProblem
from vyre_dist.metrics import Metrics


@dataclass(frozen=True, slots=True)
class WorkerSummary:
    """One worker: where it ran and what it did.

    `node`: its host's name. `node_id`: Ray's id of the node, "" outside Ray. `backend`: the one
    that scanned most of its bytes; `bytes_by_backend` has all. `device`: the product name of the
    processor or GPU, `gpus` the GPUs that it may feed, by number or UUID. `processes`: how many
    tasks it could do at the same time.
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
    gpus: Sequence[str] = ()


def _none() -> Mapping[str, int]:
    return MappingProxyType({})


def _no_rules() -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ChoiceSummary:
    """What workers on a device ran on a class of workload.

    `device`, `program`: what records of it are filed under. `stage`: how far it is, "decided" where
    it is known what is best; `source`: from where: "stored" before the run, "measured" by it, or
    "published" by another one meanwhile. `choice`: by name, empty for the default. `ratio`: its
    time over the default's, between the ends of the 95 % interval; None where that was not
    measured. `decided_at`: seconds since 1970, 0.0 for not at all. `workers`: how many were at work
    on something else then, and took it up, the last of them after `taken_seconds`.
    """

    device: str
    program: str
    workload: str
    stage: str
    source: str
    choice: Mapping[str, int | str]
    ratio: tuple[float, float, float] | None
    pairs: int
    decided_at: float
    workers: int
    taken_seconds: float


@dataclass(frozen=True, slots=True)
class TuningSummary:
    """What was tried, taken from others and given to them, to run faster.

    `trials`: runs of two variants on the same bytes; `seconds`: of workers, that this took.
    `probes`: such runs that measured again what was known, `drifted`: how often that was not true
    any more. `hits`, `misses`: classes of workload that the store knew, and that it did not.
    `taken`: records that other runs published meanwhile; `published`: records that the store took,
    `kept`: that it did not take, as it has better ones. `refused`: variants that could not be run.
    """

    trials: int
    seconds: float
    probes: int
    drifted: int
    hits: int
    misses: int
    taken: int
    published: int
    kept: int
    refused: int
    chosen: tuple[ChoiceSummary, ...] = ()


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The outcome of a whole run.

    `metrics`: the sums of all workers; nobody adds to them any more. `seconds`: wall time.
    `skipped` counts what was left out on purpose, by reason. `complete`: everything asked for was
    scanned; otherwise `problems` lists what was not. `workers` counts those that were started,
    `workers_used` describes each; `left_out` says why others could not be used. `warnings`:
    sentences for people about the whole run. `rules_left_out`: ids of rules of the pack that were
    not searched for (or the files that hold them), by reason. `secret_key`: the fingerprint of the
    key that makes each finding's secret_id, "" without one. `store_problem`: why the autotune
    store could not be used, "" if it could. `tuning`: None where it was switched off.
    """

    metrics: Metrics = field(default_factory=Metrics)
    seconds: float = 0.0
    findings: int = 0
    findings_by_rule: Mapping[str, int] = field(default_factory=_none)
    problems: tuple[InputProblem, ...] = ()
    notes: tuple[InputNote, ...] = ()
    warnings: tuple[str, ...] = ()
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
    tuning: TuningSummary | None = None

    @property
    def megabytes_per_second(self) -> float:
        """Throughput in 10^6 bytes per second; 0 for a run that took no time."""
        return self.metrics.bytes / self.seconds / 1e6 if self.seconds > 0 else 0.0
