"""Tuning: what earlier runs learned about fused against serial, taken from the autotune store, and what this run learned.

The store is asked once before the workers start and told once after they are done; a scan never waits for it in between.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

from vyre_dist.autotune.calibrate import threshold_to_store
from vyre_dist.autotune.publish import Contender, PublishedRace, race_and_store
from vyre_dist.autotune.record import Provenance
from vyre_dist.autotune.store import AutotuneStore
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey
from vyre_dist.dispatch.race import VariantTiming
from vyre_dist.dispatch.report import MergedReport
from vyre_dist.driver.totals import Totals

# Both paths are compared by their time for this much of the run's data.
_WORK_BYTES = 8 << 20
# Less than this in a lane is no measurement. One worker races four dispatches a lane, of 2 MiB or a little less.
_ENOUGH_BYTES = 4 << 20
# A shared store that has not answered by then is done without; its answer is there for the next run.
_PATIENCE_SECONDS = 0.4
_ONE = (1, 1, 1)


class Tuning:
    """The two programs of one pack on one kind of machine, as the store knows them."""

    def __init__(self, pack_key: str, backend: str) -> None:
        versions = _versions("hyperscan", "google-re2", "vyre-dist")
        self._provenance = Provenance.here(versions)
        engine = f"{backend} {sorted(versions.items())}"
        own = _gpu() if backend == "cuda" else f"cpu {platform.machine()} {_processor()}"
        self.adapter_id = own[:200]
        self._fused, self._serial = (
            SpecCacheKey(_u64(f"{kind} {pack_key}"), _u64("windows, spans 24"), _ONE, _u64(engine))
            for kind in ("fused", "prefilter")
        )

    def threshold_pct(self, store: AutotuneStore) -> int | None:
        """The measured break-even commit rate, if the store has one; waits at most 0.4 s for a server."""
        wanted = [(AutotuneKey.of(spec, self.adapter_id), spec) for spec in (self._fused, self._serial)]
        found = store.get_many(wanted)
        if not any(found) and hasattr(store, "flush"):
            # a shared store's answer is on its way; not isinstance: its module imports redis, which takes 0.1 s
            store.flush(_PATIENCE_SECONDS)
            found = store.get_many(wanted)
        known = [record.threshold_pct for record in found if record and record.threshold_pct is not None]
        # a path is recorded for the data it was fastest on, and these say least of what the other one costs elsewhere
        return max(known, default=None)

    def publish(self, store: AutotuneStore, totals: Totals) -> PublishedRace | None:
        """Offer the outcome of this run's race; None when too little was raced to tell."""
        fused_ns, fused_bytes, serial_ns, serial_bytes = totals.raced
        if min(fused_bytes, serial_bytes) < _ENOUGH_BYTES:
            return None
        fused = VariantTiming(0, fused_ns * _WORK_BYTES // fused_bytes)
        serial = VariantTiming(0, serial_ns * _WORK_BYTES // serial_bytes)
        report = MergedReport(totals.committed, totals.rolled_back, totals.fused)
        record = AutotuneRecord(_ONE, 1, recorded_at=self._provenance.date)
        return race_and_store(
            store,
            self.adapter_id,
            Contender(self._serial, record, serial),
            Contender(self._fused, record, fused),
            threshold_pct=threshold_to_store(report, fused.dispatch_ns, serial.dispatch_ns),
            provenance=self._provenance,
        )


def _u64(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def _versions(*names: str) -> dict[str, str]:
    """The versions of the distributions that are installed, told by the names of their metadata's folders.

    importlib.metadata would read these, with a parser for e-mail that takes as long to import as a tenth of a small scan.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            entries = os.listdir(folder or ".")
        except OSError:
            continue  # sys.path may name what is not there, or an archive
        for entry in entries:
            name, dash, version = entry.removesuffix(".dist-info").partition("-")
            name = name.replace("_", "-").lower()
            if dash and entry.endswith(".dist-info") and name in names:
                found.setdefault(name, version)
    return found


def _gpu() -> str:
    """The driver's first GPU and its version, as the kernel module tells them: no CUDA context is made for that."""
    lines = []
    for pattern, wanted in (("gpus/*/information", "Model:"), ("version", "NVRM version:")):
        for file in sorted(Path("/proc/driver/nvidia").glob(pattern))[:1]:
            text = file.read_text(encoding="ascii", errors="replace")
            lines += [line.partition(":")[2] for line in text.splitlines() if line.startswith(wanted)]
    return "cuda " + (" ".join(" ".join(lines).split()) or "unknown")


def _processor() -> str:
    """The processor's name as the kernel tells it, printable."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            name = next((line.partition(":")[2] for line in f if line.startswith("model name")), "")
    except OSError:
        name = platform.processor()
    return "".join(c for c in name.strip() if c.isprintable()) or "unknown"
