"""Drawings of a rule's way: every stage that the rule has, and a graph whose edges lead
somewhere.
"""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from vyre_dist.compiler import compile_rule, default_model
from vyre_dist.compiler.drawing import draw_dot, draw_text
from vyre_dist.compiler.routed_rule import Route, RoutedRule
from vyre_dist.regex import parse

EDGE = re.compile(r"^ +(\w+) -> (\w+)( \[label=.*\])?;$")
ENDS: dict[Route, str] = {
    Route.AUTOMATA: "google-re2 finds the spans in documents where",
    Route.ALWAYS_ON: "google-re2 finds the spans in documents where",
    Route.HOST: "google-re2 searches ",
    Route.NEVER: "no document is looked at",
}


def program_of(pattern: str) -> RoutedRule:
    return compile_rule(parse(pattern).root, default_model())


def graph_of(dot: str) -> tuple[set[str], list[tuple[str, str]]]:
    """(nodes, edges) of a drawing; every line of it must be one that is known."""
    lines = dot.splitlines()
    assert lines[0] == "digraph way {" and lines[-1] == "}"
    nodes, edges, depth = set(), [], 0
    for line in lines[1:-1]:
        if found := EDGE.match(line):
            edges.append((found[1], found[2]))
        elif line.lstrip().startswith("subgraph cluster_"):
            depth += 1
        elif line.strip() == "}":
            depth -= 1
        elif not line.startswith(("  label=", "  node ")):
            found = re.match(r"^ +(\w+) \[.*\];$", line)
            assert found, line
            nodes.add(found[1])
    assert depth == 0
    return nodes, edges


PATTERNS = [
    (r"xqzj_[0-9a-f]{8}\b", Route.AUTOMATA),
    ("~q~", Route.AUTOMATA),
    ("tok_(?:a|b)*a(?:a|b){60}", Route.AUTOMATA),
    (r"(?m)^[a-z]{9}$", Route.ALWAYS_ON),
    (r"\b[a-f0-9]{40}\b", Route.HOST),
    ("[a-f]{2}", Route.ALWAYS_ON),
    ("a*", Route.HOST),
    ("a.{0,1000}b.{0,1000}c", Route.HOST),
    ("token_[a-z]{65000}", Route.HOST),
    ("token[^\\x00-\\xff]", Route.NEVER),
]


@pytest.mark.parametrize(("pattern", "route"), PATTERNS)
def test_every_route_is_drawn(pattern: str, route: Route) -> None:
    """The text names the regex, the route, its reason and how it ends; the graph's way leads to its
    end.
    """
    program = program_of(pattern)
    assert program.route is route
    text = draw_text(program, "a title", pattern)
    assert text.startswith(
        f"a title\nregex: {pattern}\nroute: {route.name.lower().replace('_', ' ')}\n"
    )
    assert (f"why: {program.reason}" in text) == bool(program.reason)
    assert ENDS[route] in text.splitlines()[-1]
    assert ("  runs: " in text) == (program.run is not None)
    for stage, shown in (
        ("bitmap", bool(program.anchors.anchors)),
        ("every place", route is Route.ALWAYS_ON),
        ("probes", bool(program.pivots)),
    ):
        assert (f"  {stage}" in text) == shown
    nodes, edges = graph_of(draw_dot(program, "a title"))
    assert {node for edge in edges for node in edge} <= nodes
    assert ("end" in {target for _, target in edges}) == (
        route in (Route.AUTOMATA, Route.ALWAYS_ON) or bool(program.anchors.anchors)
    )


def test_small_automata_are_drawn_state_by_state() -> None:
    """The graph has every state but the dead one, and its labelled edges are the table's
    transitions.
    """
    program = program_of(r"xqzj_[ab]?c\b")
    assert program.forward is not None
    nodes, edges = graph_of(dot := draw_dot(program, "t"))
    drawn = {node for node in nodes if re.fullmatch(r"f\d+", node)}
    assert drawn == {f"f{state}" for state in range(1, program.forward.states)}
    wanted = {
        (f"f{state}", f"f{target}")
        for state in range(2, program.forward.states)
        for target in program.forward.table[state].tolist()
        if target
    }
    assert wanted == {edge for edge in edges if edge[0] in drawn and edge[1] in drawn}
    assert "[\\\\W_]" in dot or "edge" in dot


def test_every_rule_of_a_pack(gitleaks: SimpleNamespace, noseyparker: SimpleNamespace) -> None:
    """All rules of real packs, verbose regexes too, are drawn both ways, each window by its own
    node.
    """
    for pack in (gitleaks, noseyparker):
        for name, program, regex in zip(pack.ids, pack.compiled.rules, pack.regexes, strict=True):
            text = draw_text(program, name, str(regex.pattern))
            assert text.endswith("\n") and name in text
            nodes, edges = graph_of(draw_dot(program, name))
            assert {node for edge in edges for node in edge} <= nodes
            windows = {anchor.classes for anchor in program.anchors.anchors}
            assert len([node for node in nodes if re.fullmatch(r"w\d+", node)]) == len(windows)
