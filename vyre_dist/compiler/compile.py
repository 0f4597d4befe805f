"""compile_tables: from a pack's syntax trees to PackTables.

How one rule is compiled is in routed_rule.py, how rules are put together in tables.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vyre_dist.compiler.gram_model import GramModel, default_model
from vyre_dist.compiler.routed_rule import Route, RoutedRule, compile_rule
from vyre_dist.compiler.runs import MAX_RUNS
from vyre_dist.compiler.tables import PackTables, build_tables
from vyre_dist.regex.nodes import Node


@dataclass(frozen=True, slots=True)
class CompiledTables:
    """`rules`: one for each tree that was given, in order. `tables`: all of them together."""

    rules: tuple[RoutedRule, ...]
    tables: PackTables

    def route_counts(self) -> dict[str, int]:
        """How many rules take each route, by its name in lower case."""
        counts = {route.name.lower(): 0 for route in Route}
        for routed in self.rules:
            counts[routed.route.name.lower()] += 1
        return counts


def compile_tables(roots: Sequence[Node], model: GramModel | None = None) -> CompiledTables:
    """Compile syntax trees (`vyre_dist.regex.parse(...).root`), equal ones once.

    `model`: None for the shipped one. No tree makes it fail: what is too large is for the host.
    """
    model = model or default_model()
    done: dict[Node, RoutedRule] = {}
    rules = []
    runs = 0
    for root in roots:
        routed = done.get(root)
        if routed is None:
            routed = done[root] = compile_rule(root, model)
        runs += routed.run is not None
        if routed.run is not None and runs > MAX_RUNS:
            why = f"{routed.reason}; {MAX_RUNS} other rules are looked for by runs of bytes already"
            routed = replace(routed, run=None, reason=why)
        rules.append(routed)
    return CompiledTables(tuple(rules), build_tables(rules, model))
