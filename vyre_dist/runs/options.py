"""ScanOptions: everything that a run can be told, as plain typed data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vyre_dist.program import DEFAULT_MAX_MATCH_BYTES
from vyre_dist.sinks.destination import Destination
from vyre_dist.sources.walk_options import WalkOptions

PoolKind = Literal["auto", "local", "ray"]


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """The options of one run. README.md describes the command's options of the same meaning.

    Inputs: `paths` (`-` is standard input) and the list `files_from`; without both, the working
    directory. `walk`: what is taken of folders.

    Rules: `packs`, all that is built in where there are none. `skip_unsupported`: leave out rules
    that cannot be searched for.

    Outputs: `destinations` get the findings, `report` the summary. `redact`: the percentage of each
    secret to mask. `secret_key_file`: holds the key that makes secret ids.

    Workers: `pool`, `workers` (None: one for each processor or GPU), `autoscale`, `address` of a
    Ray cluster, `backend`, `gpus` (see GpuWish; None: all), `speculation`. `shard_size` (None:
    what suits the backend) and `max_match_bytes` are in bytes. `audit`: the share of all documents
    that is scanned again with google-re2 alone.

    Run directory: `run_dir`, None for none, and whether to `resume` what is in it, or to
    (`resume_if_begun`) where there is something.

    Stores: `cache_dir`, `no_cache` and `store`, the autotune store's URL. `tuning`: whether to find
    out what is faster, and to ask and tell that store of it.
    """

    paths: tuple[str, ...] = ()
    files_from: str | None = None
    walk: WalkOptions = field(default_factory=WalkOptions)
    packs: tuple[str, ...] = ()
    skip_unsupported: bool = False
    destinations: tuple[Destination, ...] = (Destination(),)
    report: str | None = None
    redact: int | None = None
    secret_key_file: str | None = None
    pool: PoolKind = "auto"
    workers: int | None = None
    autoscale: bool = False
    address: str | None = None
    backend: str = "auto"
    gpus: str | None = None
    speculation: str = "auto"
    shard_size: int | None = None
    max_match_bytes: int = DEFAULT_MAX_MATCH_BYTES
    audit: float = 0.0
    run_dir: str | None = None
    resume: bool = False
    resume_if_begun: bool = False
    cache_dir: str | None = None
    no_cache: bool = False
    store: str | None = None
    tuning: bool = True
