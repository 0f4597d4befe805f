"""compile_tables: a pack's syntax trees to PackTables, with what was decided for each rule kept for
people.
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
    """`programs`: one for each tree that was given, in order; `tables`: all of them together."""

    programs: tuple[RoutedRule, ...]
    tables: PackTables

    def route_counts(self) -> dict[str, int]:
        """How many rules take each route, by its name in lower case."""
        counts = {route.name.lower(): 0 for route in Route}
        for program in self.programs:
            counts[program.route.name.lower()] += 1
        return counts


def compile_tables(roots: Sequence[Node], model: GramModel | None = None) -> CompiledTables:
    """Compile syntax trees (`vyre_dist.regex.parse(...).root`); `model`: the shipped one unless
    another is given.

    Equal trees are compiled once. Never fails for a tree's sake: what does not fit takes the route
    HOST.
    """
    model = model or default_model()
    done: dict[Node, RoutedRule] = {}
    programs = []
    runs = 0
    for root in roots:
        program = done.get(root)
        if program is None:
            program = done[root] = compile_rule(root, model)
        runs += program.run is not None
        if program.run is not None and runs > MAX_RUNS:
            why = (
                f"{program.reason}; {MAX_RUNS} other rules are looked for by runs of bytes already"
            )
            program = replace(program, run=None, reason=why)
        programs.append(program)
    return CompiledTables(tuple(programs), build_tables(programs, model))
