"""A drawing of how one rule is matched: as text for a terminal, and as a Graphviz graph.

What is drawn was decided in routed_rule.py; its numbers and words are in explain.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from vyre_dist.compiler.anchors import Anchor
from vyre_dist.compiler.determinize import ACCEPT, DEAD, EDGE_SYMBOL, Dfa
from vyre_dist.compiler.explain import automaton_text, hits_per_mb, run_text, summarize, window_text
from vyre_dist.compiler.nfa import Nfa
from vyre_dist.compiler.probes import Probe
from vyre_dist.compiler.routed_rule import Route, RoutedRule
from vyre_dist.regex import charclass, to_re2
from vyre_dist.regex.nodes import CharClass

_SHOWN_WINDOWS = 12
# An automaton of more states than this is one box with numbers, in Graphviz too.
_DRAWN_STATES = 40


def draw_text(routed: RoutedRule, title: str, regex: str) -> str:
    """The stages from top to bottom, what each looks at, and why the rule takes no better route."""
    summary = summarize(routed)
    shown = (
        ["regex:", *(f"    {line}" for line in regex.splitlines())]
        if "\n" in regex
        else [f"regex: {regex}"]
    )
    lines = [title, *shown, f"route: {summary.route.replace('_', ' ')}"]
    if summary.reason:
        lines.append(f"why: {summary.reason}")
    lines.append("")
    stages = list(_stages(routed))
    for number, (name, details) in enumerate(stages):
        lines.append(f"  {name}")
        rail = "  │  " if number < len(stages) - 1 else "     "
        lines += [rail + detail for detail in details]
        if number < len(stages) - 1:
            lines.append("  ▼")
    return "\n".join(lines) + "\n"


def _stages(routed: RoutedRule) -> Iterator[tuple[str, list[str]]]:
    summary = summarize(routed)
    anchors = sorted(routed.anchors.anchors, key=lambda anchor: -anchor.rate)
    if routed.route is Route.NEVER:
        yield "nothing to do", ["no document is looked at for this rule"]
        return
    if anchors:
        windows = list(dict.fromkeys((window_text(a.classes), a.rate) for a in anchors))
        details = [
            f"{hits_per_mb(rate):10.3f} hits/MB  {text}" for text, rate in windows[:_SHOWN_WINDOWS]
        ]
        if len(windows) > _SHOWN_WINDOWS:
            rest = sum(rate for _, rate in windows[_SHOWN_WINDOWS:])
            details.append(
                f"{hits_per_mb(rest):10.3f} hits/MB  {len(windows) - _SHOWN_WINDOWS} more windows"
            )
        details.append(
            f"{summary.chance_hits_per_mb:10.3f} hits/MB  by chance, of {summary.grams} grams in "
            "the bitmap"
        )
        yield "bitmap, then grams: every match contains one of these windows", details
        yield (
            "probes: bytes around the window, by their distance from the pivot",
            list(_probe_lines(routed)),
        )
    if routed.route is Route.ALWAYS_ON:
        yield "every place: a match may begin there", [f"{len(routed.pivots)} ways to begin"]
        yield "probes: bytes around the place", list(_probe_lines(routed))
        yield "automaton after, from the place's own byte on", [_size(routed.forward)]
        yield "automaton before: the byte before the place", [_size(routed.backward)]
        yield (
            "confirmed",
            ["google-re2 finds the spans in documents where a candidate comes this far"],
        )
    elif routed.route is Route.AUTOMATA:
        yield "automaton after, from the pivot's own byte on", [_size(routed.forward)]
        yield "automaton before, from the byte before the pivot back", [_size(routed.backward)]
        yield (
            "confirmed",
            ["google-re2 finds the spans in documents where a candidate comes this far"],
        )
    else:
        if routed.run is not None:
            yield (
                "runs: blocks of sixteen bytes of one class, and what is around them",
                [run_text(routed.run)],
            )
        narrowed = anchors or routed.run
        where = "documents with such a candidate" if narrowed else "every document"
        yield "host", [f"google-re2 searches {where}"]


def _probe_lines(routed: RoutedRule) -> Iterator[str]:
    for number, (pivot, probes) in enumerate(zip(routed.pivots, routed.probes, strict=True)):
        own = [anchor for anchor in routed.anchors.anchors if anchor.pivot == pivot]
        seen = " ".join(_probe_text(probe) for probe in sorted(probes))
        where = _window_list(own) if own else f"way {number + 1}"
        yield f"{where}: {seen or 'none, no other byte is sure'}"


def _window_list(anchors: list[Anchor]) -> str:
    texts = list(dict.fromkeys(window_text(anchor.classes) for anchor in anchors))
    return texts[0] + (f" and {len(texts) - 1} more" if len(texts) > 1 else "")


def _probe_text(probe: Probe) -> str:
    edge = " or the edge" if probe.edge else ""
    return f"{probe.offset:+d} {to_re2(CharClass(probe.mask)).decode('latin-1')}{edge}"


def _size(automaton: Dfa | Nfa | None) -> str:
    match automaton:
        case Dfa(table=table):
            return f"{automaton_text(automaton)} by {table.shape[1]} columns, {table.nbytes} bytes"
        case Nfa():
            cells = automaton.follow.nbytes + automaton.reach.nbytes + automaton.final.nbytes
            return f"{automaton_text(automaton)}, {automaton.reach.shape[0]} columns, {cells} bytes"
    return "none"


def draw_dot(routed: RoutedRule, title: str) -> str:
    """The same as a Graphviz graph; automata of few states are drawn state by state."""
    lines = [
        "digraph way {",
        f"  label={_quoted(title)}; labelloc=t; rankdir=LR; compound=true;",
        "  node [shape=box, fontname=monospace];",
        f"  end [label={_quoted(_end_label(routed))}, peripheries=2];",
    ]
    windows: dict[str, str] = {}
    for anchor in routed.anchors.anchors:
        text = window_text(anchor.classes)
        if text not in windows:
            windows[text] = f"w{len(windows)}"
            label = f"{text}\n{hits_per_mb(anchor.rate):.3g} hits/MB"
            lines.append(f"  {windows[text]} [label={_quoted(label)}];")
    for number, (pivot, probes) in enumerate(zip(routed.pivots, routed.probes, strict=True)):
        label = f"pivot {number}" + "".join(f"\n{_probe_text(probe)}" for probe in sorted(probes))
        lines.append(f"  p{number} [shape=ellipse, label={_quoted(label)}];")
        for anchor in routed.anchors.anchors:
            if anchor.pivot == pivot:
                edge = (
                    f"  {windows[window_text(anchor.classes)]} -> p{number} "
                    f"[label={_quoted(f'+{anchor.pivot_offset}')}];"
                )
                if edge not in lines:
                    lines.append(edge)
    lines += _dot_automata(routed)
    return "\n".join([*lines, "}"]) + "\n"


def _end_label(routed: RoutedRule) -> str:
    if routed.route is Route.NEVER:
        return "no text can match"
    if routed.run is not None:
        return f"google-re2 on documents with {run_text(routed.run)}"
    if routed.route is Route.HOST and not routed.anchors.anchors:
        return "google-re2 on every document"
    return "google-re2 finds the spans"


def _dot_automata(routed: RoutedRule) -> Iterator[str]:
    pivots = range(len(routed.pivots))
    if routed.route is Route.ALWAYS_ON:
        yield '  all [label="every place"];'
        yield from (f"  all -> p{number};" for number in pivots)
    if routed.route is Route.HOST:
        yield from (f"  p{number} -> end;" for number in pivots)
    if routed.forward is None or routed.backward is None:
        return
    yield from _dot_automaton("f", "after: reads onwards, the pivot's byte first", routed.forward)
    yield from _dot_automaton("b", "before: reads backwards", routed.backward)
    for number in pivots:
        for prefix, automaton in (("f", routed.forward), ("b", routed.backward)):
            if entry := _entry_node(prefix, automaton, number):
                yield f"  p{number} -> {entry};"
    yield "  f1 -> end;"
    yield "  b1 -> end;"


def _entry_node(prefix: str, automaton: Dfa | Nfa, number: int) -> str:
    """The node where the automaton begins for that pivot; empty where nothing can match."""
    entry = automaton.entries[number]
    if isinstance(automaton, Nfa):
        return f"{prefix}1" if entry >= 0 else ""
    return "" if entry == DEAD else f"{prefix}{entry if _is_drawn(automaton) else 1}"


def _is_drawn(automaton: Dfa | Nfa) -> bool:
    return isinstance(automaton, Dfa) and automaton.states <= _DRAWN_STATES


def _dot_automaton(prefix: str, label: str, automaton: Dfa | Nfa) -> Iterator[str]:
    """A cluster of states, named by prefix and number; a large automaton is one node."""
    yield f"  subgraph cluster_{prefix} {{ label={_quoted(label)};"
    if not isinstance(automaton, Dfa) or not _is_drawn(automaton):
        yield f"    {prefix}1 [label={_quoted(_size(automaton))}];"
        yield "  }"
        return
    yield f"    {prefix}1 [shape=doublecircle, label=yes];"
    for state in range(2, automaton.states):
        yield f"    {prefix}{state} [shape=circle, label={state}];"
    columns = [
        charclass.of(b for b in range(256) if automaton.columns[b] == c)
        for c in range(automaton.table.shape[1])
    ]
    edge_column = automaton.columns[EDGE_SYMBOL]
    for state in range(2, automaton.states):
        to: dict[int, int] = {}
        for column, mask in enumerate(columns):
            target = int(automaton.table[state, column])
            to[target] = to.get(target, 0) | mask
        at_edge = int(automaton.table[state, edge_column])
        for target, mask in sorted(to.items()):
            if target == DEAD:
                continue
            texts = [to_re2(CharClass(mask)).decode("latin-1")] if mask else []
            texts += ["edge"] if target == ACCEPT == at_edge else []
            if texts:
                label = _quoted(" or ".join(texts))
                yield f"    {prefix}{state} -> {prefix}{target} [label={label}];"
        if at_edge == ACCEPT and ACCEPT not in to:
            yield f"    {prefix}{state} -> {prefix}{ACCEPT} [label=edge];"
    yield "  }"


def _quoted(text: str) -> str:
    """A quoted label: of JSON's escapes only those occur that Graphviz knows."""
    return json.dumps(text, ensure_ascii=False)
