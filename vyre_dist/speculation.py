"""The speculative dispatcher and its autotune store, as one public module.

A tile of input is worked on in two steps: a cheap *prefilter* and an expensive *confirmer*. The
conservative path runs the prefilter, reads its hits back and confirms them serially. The
speculative path runs one *fused* program that confirms without waiting. It keeps the output of the
tiles that turn out right (*committed*) and throws away the rest (*rolled back*), so it pays only
where enough tiles commit. The numbers are those of Vyre's driver, bit for bit.

**Reports.** A fused dispatch counts its tiles. The counts are the last 8 bytes of an output, the
counter tail: two little-endian u32.

>>> from vyre_dist.speculation import SpeculationReport, encode_counter_tail, parse_counter_tail
>>> report = SpeculationReport.from_counts(1, 3)
>>> report.commit_rate_ppm, report.commit_rate_pct, report.worthwhile(25)
(250000, 25, True)
>>> encode_counter_tail(report).hex()
'0100000003000000'
>>> parse_counter_tail(b"four" + encode_counter_tail(report)) == report
True
>>> print(parse_counter_tail(b"too short"))
None

The reports of many shards add up without a limit:

>>> from vyre_dist.speculation import merge
>>> total = merge([report, SpeculationReport(5, 0)])
>>> total.committed_tiles, total.rolled_back_tiles, total.shards
(6, 3, 2)

**The speculator** follows the commit rate. It switches speculation off below a threshold and on
again above it:

>>> from vyre_dist.speculation import AdaptiveSpeculator
>>> speculator = AdaptiveSpeculator(threshold_pct=20)
>>> for _ in range(20):
...     speculator.record(SpeculationReport(1, 99))
>>> speculator.should_speculate
False
>>> for _ in range(20):
...     speculator.record(SpeculationReport(80, 20))
>>> speculator.should_speculate
True

A speculator that is off sees no reports. `ProbingSpeculator` runs one dispatch in N fused all the
same, so that it can come back.

**Dispatching.** A backend runs programs. `dispatch_prefilter_confirm` chooses the path, checks the
counter tail and tells the speculator:

>>> from collections import namedtuple
>>> from vyre_dist.speculation import (
...     DispatchConfig, SpeculationMode, SpeculationPlan, dispatch_prefilter_confirm)
>>> Program = namedtuple("Program", "name")
>>> class Backend:
...     name, supports_speculation = "example", True
...     def dispatch(self, program, inputs, config):
...         return [encode_counter_tail(SpeculationReport(3, 1))]
>>> plan = SpeculationPlan(
...     Program("fused"), Program("prefilter"), counter_output_index=0, strip_counter_tail=True)
>>> learner = AdaptiveSpeculator()
>>> outcome = dispatch_prefilter_confirm(
...     Backend(), learner, plan, [b"text"], DispatchConfig(), confirm_serial=list)
>>> outcome.outputs, outcome.report.committed_tiles, outcome.used_speculative_path
([b''], 3, True)
>>> learner.samples
1
>>> serial = DispatchConfig(SpeculationMode.DISABLE)
>>> dispatch_prefilter_confirm(
...     Backend(), learner, plan, [b"text"], serial, confirm_serial=lambda hits: [b"confirmed"])
SpeculationOutcome(outputs=[b'confirmed'], report=None, used_speculative_path=False)

**The variant race** compares what the two paths cost. Only a strictly cheaper speculative variant
wins:

>>> from vyre_dist.speculation import VariantTiming, race
>>> outcome = race(conservative=VariantTiming(1000, 0), speculative=VariantTiming(200, 100))
>>> outcome.winner, outcome.saved_ns
(<Variant.SPECULATIVE: 'speculative'>, 700)

**The store** keeps the best record for each key. `race_and_store` races two contenders and offers
the winner's record under the winner's key:

>>> from vyre_dist.speculation import (
...     AutotuneKey, AutotuneRecord, Contender, SpecCacheKey, open_store, race_and_store)
>>> serial_spec = SpecCacheKey(
...     shader_hash=1, binding_sig=2, workgroup_size=(256, 1, 1), spec_hash=3)
>>> fused_spec = SpecCacheKey(
...     shader_hash=9, binding_sig=2, workgroup_size=(256, 1, 1), spec_hash=3)
>>> with open_store("memory:") as store:
...     published = race_and_store(
...         store, "sm_90 example",
...         Contender(serial_spec, AutotuneRecord((256, 1, 1), unroll=1), VariantTiming(1000, 0)),
...         Contender(fused_spec, AutotuneRecord((256, 1, 1), unroll=4), VariantTiming(200, 100)))
...     key = AutotuneKey.of(fused_spec, "sm_90 example")
...     published.stored, key.key_hex, store.get(key, fused_spec).record.unroll
(True, '03010100010000000b00000000000000', 4)

Stores are opened by URL: `memory:`, `sqlite:///path`, `redis://host`, or None for the user's own
file (docs/store.md). `import_toml` and `export_toml` exchange records with Vyre's file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.codec import InvalidRecordError
from vyre_dist.autotune.fence import Fence
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.memory import MemoryStore
from vyre_dist.autotune.publish import Contender, PublishedRace, race_and_store
from vyre_dist.autotune.record import LaunchLimits, LoserTiming, Measured, Provenance, StoredRecord
from vyre_dist.autotune.sqlite_store import SqliteStore
from vyre_dist.autotune.store import AutotuneStore, StoreClosedError, StoreStats
from vyre_dist.autotune.urls import StoreUrlError, open_store
from vyre_dist.autotune.vyre_toml import VyreTomlError, export_toml, import_toml
from vyre_dist.autotune.wait_budget import WaitBudget
from vyre_dist.dispatch.backend import Backend, DispatchConfig, Program, SpeculationMode
from vyre_dist.dispatch.errors import (
    CounterTailError,
    DispatchError,
    MissingCounterOutputError,
    UnsupportedFeatureError,
)
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey
from vyre_dist.dispatch.prefilter_confirm import (
    SpeculationOutcome,
    SpeculationPlan,
    dispatch_prefilter_confirm,
)
from vyre_dist.dispatch.race import RaceOutcome, Variant, VariantTiming, race
from vyre_dist.dispatch.report import (
    COUNTER_TAIL_BYTES,
    MergedReport,
    SpeculationReport,
    encode_counter_tail,
    merge,
    parse_counter_tail,
)
from vyre_dist.dispatch.speculator import (
    AdaptiveSpeculator,
    ProbingSpeculator,
    Speculator,
    SpeculatorState,
)

if TYPE_CHECKING:
    from vyre_dist.autotune.redis_store import RedisStore
    from vyre_dist.autotune.tiered import TieredStore

__all__ = [
    "COUNTER_TAIL_BYTES",
    "AdaptiveSpeculator",
    "AutotuneKey",
    "AutotuneRecord",
    "AutotuneStore",
    "Backend",
    "Choice",
    "Contender",
    "CounterTailError",
    "DispatchConfig",
    "DispatchError",
    "Fence",
    "Gain",
    "InvalidRecordError",
    "LaunchLimits",
    "LoserTiming",
    "Measured",
    "MemoryStore",
    "MergedReport",
    "MissingCounterOutputError",
    "ProbingSpeculator",
    "Program",
    "Provenance",
    "PublishedRace",
    "RaceOutcome",
    "RedisStore",
    "SpecCacheKey",
    "SpeculationMode",
    "SpeculationOutcome",
    "SpeculationPlan",
    "SpeculationReport",
    "Speculator",
    "SpeculatorState",
    "SqliteStore",
    "StoreClosedError",
    "StoreStats",
    "StoreUrlError",
    "StoredRecord",
    "TieredStore",
    "UnsupportedFeatureError",
    "Variant",
    "VariantTiming",
    "VyreTomlError",
    "WaitBudget",
    "dispatch_prefilter_confirm",
    "encode_counter_tail",
    "export_toml",
    "import_toml",
    "merge",
    "open_store",
    "parse_counter_tail",
    "race",
    "race_and_store",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Imports the stores on Redis at their first use: redis takes 0.1 s to import."""
        if name == "RedisStore":
            from vyre_dist.autotune.redis_store import RedisStore

            return RedisStore
        if name == "TieredStore":
            from vyre_dist.autotune.tiered import TieredStore

            return TieredStore
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
