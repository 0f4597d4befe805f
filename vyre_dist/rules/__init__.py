"""Rule packs: loading them, what they hold, what their filters do with a match.

pack = RulePack.load("gitleaks.toml")   # or RulePack.builtin(), RulePack.from_patterns({"id": r"regex"})
filters = CompiledFilters(pack)
"""

from vyre_dist.rules.check import RuleReport, check_pack
from vyre_dist.rules.filters import CompiledFilters, entropy, pick_secret
from vyre_dist.rules.loading import PackNotFoundError, builtin_names
from vyre_dist.rules.model import Allowlist, Origin, PackData, Rule
from vyre_dist.rules.pack import RulePack
from vyre_dist.rules.problems import PackError, Problem

__all__ = [
    "Allowlist",
    "CompiledFilters",
    "Origin",
    "PackData",
    "PackError",
    "PackNotFoundError",
    "Problem",
    "Rule",
    "RulePack",
    "RuleReport",
    "builtin_names",
    "check_pack",
    "entropy",
    "pick_secret",
]
