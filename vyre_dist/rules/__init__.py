"""Rule packs: loading them, what they hold, and what their filters do with a match.

pack = RulePack.load("gitleaks.toml")  # or .builtin(), .from_patterns({"id": r"regex"})
filters = CompiledFilters(pack)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vyre_dist.rules.check import RuleReport, check_pack
    from vyre_dist.rules.diagnostics import Diagnostic, PackError
    from vyre_dist.rules.entropies import entropy
    from vyre_dist.rules.filters import CompiledFilters, pick_secret
    from vyre_dist.rules.left_out import LeftOut
    from vyre_dist.rules.loading import PackNotFoundError, builtin_names
    from vyre_dist.rules.model import Allowlist, Origin, PackData, Rule
    from vyre_dist.rules.pack import RulePack

__all__ = [
    "Allowlist",
    "CompiledFilters",
    "Diagnostic",
    "LeftOut",
    "Origin",
    "PackData",
    "PackError",
    "PackNotFoundError",
    "Rule",
    "RulePack",
    "RuleReport",
    "builtin_names",
    "check_pack",
    "entropy",
    "pick_secret",
]

_HOMES = {
    "Allowlist": "vyre_dist.rules.model",
    "CompiledFilters": "vyre_dist.rules.filters",
    "LeftOut": "vyre_dist.rules.left_out",
    "Origin": "vyre_dist.rules.model",
    "PackData": "vyre_dist.rules.model",
    "PackError": "vyre_dist.rules.diagnostics",
    "PackNotFoundError": "vyre_dist.rules.loading",
    "Diagnostic": "vyre_dist.rules.diagnostics",
    "Rule": "vyre_dist.rules.model",
    "RulePack": "vyre_dist.rules.pack",
    "RuleReport": "vyre_dist.rules.check",
    "builtin_names": "vyre_dist.rules.loading",
    "check_pack": "vyre_dist.rules.check",
    "entropy": "vyre_dist.rules.entropies",
    "pick_secret": "vyre_dist.rules.filters",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: a worker with a compiled pack needs no loader."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(home), name)
