"""vyre-dist: cluster-wide scan batches. Whole rule packs over very large corpora, exact, at the
speed of the hardware.

from vyre_dist import RulePack, Scanner
findings = Scanner(RulePack.builtin()).scan(data)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vyre_dist.engine import EngineConfig, Scanner, ScanResult
    from vyre_dist.errors import UsageError, VyreError
    from vyre_dist.finding import Finding
    from vyre_dist.rules import RulePack
    from vyre_dist.secret_key import SecretKey

__version__ = "0.1.0"

__all__ = [
    "EngineConfig",
    "Finding",
    "RulePack",
    "ScanResult",
    "Scanner",
    "SecretKey",
    "UsageError",
    "VyreError",
    "__version__",
]

_HOMES = {
    "EngineConfig": "vyre_dist.engine",
    "Finding": "vyre_dist.finding",
    "RulePack": "vyre_dist.rules",
    "ScanResult": "vyre_dist.engine",
    "Scanner": "vyre_dist.engine",
    "SecretKey": "vyre_dist.secret_key",
    "UsageError": "vyre_dist.errors",
    "VyreError": "vyre_dist.errors",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: `vyre-dist --help` need not load Hyperscan."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(home), name)
