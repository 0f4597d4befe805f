"""vyre-dist: cluster-wide scan batches. Whole rule packs over very large corpora, exact, at the
speed of the hardware.

>>> from vyre_dist import Scanner
>>> scanner = Scanner({"number": r"n = \\d+"})
>>> [(finding.rule_id, finding.line, finding.match) for finding in scanner.scan("\\nn = 42")]
[('number', 2, b'n = 42')]

docs/library.md tells more. `vyre_dist.speculation` is the speculative dispatcher by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vyre_dist.driver.run import ScanAbortedError
    from vyre_dist.engine.config import EngineConfig
    from vyre_dist.errors import UsageError, VyreError
    from vyre_dist.finding import Finding
    from vyre_dist.input_problem import InputNote, InputProblem
    from vyre_dist.library.path_scan import PathScan, ScanProgress
    from vyre_dist.library.result import ScanResult, ScanTotals
    from vyre_dist.library.row_scan import RowFinding
    from vyre_dist.library.scanner import Scanner
    from vyre_dist.rules import PackError, RulePack
    from vyre_dist.secret_key import SecretKey

__version__ = "0.1.0"

__all__ = [
    "EngineConfig",
    "Finding",
    "InputNote",
    "InputProblem",
    "PackError",
    "PathScan",
    "RowFinding",
    "RulePack",
    "ScanAbortedError",
    "ScanProgress",
    "ScanResult",
    "ScanTotals",
    "Scanner",
    "SecretKey",
    "UsageError",
    "VyreError",
    "__version__",
]

_HOMES = {
    "EngineConfig": "vyre_dist.engine.config",
    "Finding": "vyre_dist.finding",
    "InputNote": "vyre_dist.input_problem",
    "InputProblem": "vyre_dist.input_problem",
    "PackError": "vyre_dist.rules",
    "PathScan": "vyre_dist.library.path_scan",
    "ScanProgress": "vyre_dist.library.path_scan",
    "RowFinding": "vyre_dist.library.row_scan",
    "RulePack": "vyre_dist.rules",
    "ScanAbortedError": "vyre_dist.driver.run",
    "ScanResult": "vyre_dist.library.result",
    "ScanTotals": "vyre_dist.library.result",
    "Scanner": "vyre_dist.library.scanner",
    "SecretKey": "vyre_dist.secret_key",
    "UsageError": "vyre_dist.errors",
    "VyreError": "vyre_dist.errors",
}

# type checkers take the imports above, and so see a name that is not there
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Imports a public name at its first use: `vyre-dist --help` need not load Hyperscan."""
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        return getattr(importlib.import_module(home), name)

    def __dir__() -> list[str]:
        """Names the public names, too, before their first use."""
        return sorted({*globals(), *__all__})
