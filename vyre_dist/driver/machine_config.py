"""MachineConfig: what the state machine decides by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """What the machine decides by.

    `depth`: tasks that a worker has for each one that it does at the same time, that one included.
    `shards_ahead`: shards that may be planned beyond the oldest unfinished one. `max_failures`:
    failures of one task before it is cut in two, or its only document put in quarantine.

    `lost_in_a_row`: workers lost without a task done in between before the scan is given up; four
    times the number of workers if that is more, as a node that fails takes many along. Not counted
    are losses that cut a task in two, since they lead somewhere, and workers that could not be
    started while there is another one. `stall_seconds`: silence that is worth a warning.

    `lease_seconds`, `lease_factor`: what a task may take (see Leases), before its worker is
    replaced as if it were gone.

    `audits_waiting`: audits that may wait for a worker that has nothing else to do; where there are
    more, the oldest come before what is to be scanned.

    `recorded`: everything that is done is kept, as Record asks for. `only_entries`: nothing is
    scanned; what comes out is what the plan's entries say.
    """

    depth: int = 2
    shards_ahead: int = 256
    max_failures: int = 2
    lost_in_a_row: int = 16
    stall_seconds: float = 60.0
    lease_seconds: float = 60.0
    lease_factor: float = 10.0
    audits_waiting: int = 256
    recorded: bool = False
    only_entries: bool = False
